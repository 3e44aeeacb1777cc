/* What FMI 3.0 wants every library to export, of abilities that this unit has not: each says so and
 * returns fmi3Error. */
#include "fmi3.h"

#define REFERENCES const fmi3ValueReference reference[], size_t count

#define ABSENT(name, ...) \
  FMI3_EXPORT fmi3Status fmi3##name(fmi3Instance it, __VA_ARGS__) { \
    return fmi3_told(it, "this unit has no fmi3" #name); \
  }

#define ABSENT_PLAIN(name) \
  FMI3_EXPORT fmi3Status fmi3##name(fmi3Instance it) { \
    return fmi3_told(it, "this unit has no fmi3" #name); \
  }

/* No variable is of these types, so that every value reference is wrong; none at all is right. */
#define NO_GET(type, ...) \
  FMI3_EXPORT fmi3Status fmi3Get##type(fmi3Instance it, REFERENCES, __VA_ARGS__) { \
    return fmi3_told(it, count ? "this unit has no variable of type " #type : 0); \
  }

#define NO_SET(type, ...) \
  FMI3_EXPORT fmi3Status fmi3Set##type(fmi3Instance it, REFERENCES, __VA_ARGS__) { \
    return fmi3_told(it, \
                     count ? "this unit has no variable of type " #type " that may be set" : 0); \
  }

#define NO_VARIABLE(type, c_type) \
  NO_GET(type, c_type value[], size_t room) NO_SET(type, const c_type value[], size_t room)

NO_VARIABLE(Float32, float)
NO_VARIABLE(Int8, int8_t)
NO_VARIABLE(UInt8, uint8_t)
NO_VARIABLE(Int16, int16_t)
NO_VARIABLE(UInt16, uint16_t)
NO_VARIABLE(Int32, int32_t)
NO_SET(UInt32, const uint32_t value[], size_t room)
NO_VARIABLE(Int64, int64_t)
NO_VARIABLE(UInt64, uint64_t)
NO_VARIABLE(Boolean, bool)
NO_GET(String, const char *value[], size_t room)
NO_SET(String, const char *const value[], size_t room)
NO_GET(Binary, size_t size[], const uint8_t *value[], size_t room)
NO_SET(Binary, const size_t size[], const uint8_t *const value[], size_t room)
NO_GET(Clock, bool value[])
NO_SET(Clock, const bool value[])

ABSENT(GetNumberOfVariableDependencies, fmi3ValueReference reference, size_t *count)
ABSENT(GetVariableDependencies, fmi3ValueReference dependent, size_t element[],
       fmi3ValueReference independent[], size_t of[], int kind[], size_t count)
ABSENT(SerializedFMUStateSize, void *saved, size_t *size)
ABSENT(SerializeFMUState, void *saved, uint8_t bytes[], size_t size)
ABSENT(DeserializeFMUState, const uint8_t bytes[], size_t size, void **saved)
ABSENT(GetDirectionalDerivative, REFERENCES, const fmi3ValueReference known[], size_t knowns,
       const double seed[], size_t seeds, double sensitivity[], size_t room)
ABSENT(GetAdjointDerivative, REFERENCES, const fmi3ValueReference known[], size_t knowns,
       const double seed[], size_t seeds, double sensitivity[], size_t room)
ABSENT(GetOutputDerivatives, REFERENCES, const int32_t order[], double value[], size_t room)

ABSENT_PLAIN(EnterConfigurationMode)
ABSENT_PLAIN(ExitConfigurationMode)
ABSENT_PLAIN(EnterEventMode)
ABSENT_PLAIN(EnterStepMode)
ABSENT_PLAIN(EvaluateDiscreteStates)
ABSENT(UpdateDiscreteStates, bool *again, bool *terminate, bool *nominals, bool *states,
       bool *defined, double *next)

ABSENT(GetIntervalDecimal, REFERENCES, double interval[], int qualifier[])
ABSENT(GetIntervalFraction, REFERENCES, uint64_t counter[], uint64_t resolution[], int qualifier[])
ABSENT(GetShiftDecimal, REFERENCES, double shift[])
ABSENT(GetShiftFraction, REFERENCES, uint64_t counter[], uint64_t resolution[])
ABSENT(SetIntervalDecimal, REFERENCES, const double interval[])
ABSENT(SetIntervalFraction, REFERENCES, const uint64_t counter[], const uint64_t resolution[])
ABSENT(SetShiftDecimal, REFERENCES, const double shift[])
ABSENT(SetShiftFraction, REFERENCES, const uint64_t counter[], const uint64_t resolution[])
ABSENT(ActivateModelPartition, fmi3ValueReference clock, double time)

ABSENT_PLAIN(EnterContinuousTimeMode)
ABSENT(CompletedIntegratorStep, bool no_way_back, bool *event, bool *terminate)
ABSENT(SetTime, double time)
ABSENT(SetContinuousStates, const double state[], size_t count)
ABSENT(GetContinuousStateDerivatives, double derivative[], size_t count)
ABSENT(GetEventIndicators, double indicator[], size_t count)
ABSENT(GetContinuousStates, double state[], size_t count)
ABSENT(GetNominalsOfContinuousStates, double nominal[], size_t count)
ABSENT(GetNumberOfEventIndicators, size_t *count)
ABSENT(GetNumberOfContinuousStates, size_t *count)

FMI3_EXPORT fmi3Instance fmi3InstantiateModelExchange(const char *name, const char *token,
                                                      const char *resources, bool visible,
                                                      bool logging, void *environment,
                                                      fmi3LogMessage log) {
  return 0;
}

FMI3_EXPORT fmi3Instance fmi3InstantiateScheduledExecution(const char *name, const char *token,
                                                           const char *resources, bool visible,
                                                           bool logging, void *environment,
                                                           fmi3LogMessage log, void *clock,
                                                           void *lock, void *unlock) {
  return 0;
}
