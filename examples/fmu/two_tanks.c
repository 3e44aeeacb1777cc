/* Two tanks in a row as the machine code of an FMU for model exchange, FMI 3.0 or, with -DFMI=2,
   FMI 2.0.

     A dh1/dt = q - a s(h1)     A dh2/dt = a s(h1) - a s(h2) + w     s(h) = sqrt(2 g h)

   Variables by their value references: 0, 1 levels h1, h2 [cm]; 2, 3 their derivatives; 4 pump
   q [cm3/s]; 5 unknown flow w [cm3/s]; 6 outlet a [cm2]. Every instance is a block of its own. What
   this plant does not need is a stub that reports an error. */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

enum { OK = 0, ERROR = 3, COUNT = 7 };

typedef struct {
  double value[COUNT];
} Tanks;

static void *made(void) {
  Tanks *tanks = calloc(1, sizeof(Tanks));
  if (tanks != NULL) {
    tanks->value[0] = tanks->value[1] = 8.0;
    tanks->value[4] = 60.0;
    tanks->value[6] = 0.5;
  }
  return tanks;
}

static double outflow(double a, double h) {
  return a * sqrt(2.0 * 981.0) * h / sqrt(h > 0.01 ? h : 0.01);
}

static int get(Tanks *tanks, const uint32_t *which, size_t count, double *values) {
  const double *v = tanks->value, area = 100.0;
  const double q1 = outflow(v[6], v[0]), q2 = outflow(v[6], v[1]);
  tanks->value[2] = (v[4] - q1) / area;
  tanks->value[3] = (q1 - q2 + v[5]) / area;
  for (size_t j = 0; j < count; j++) {
    if (which[j] >= COUNT) {
      return ERROR;
    }
    values[j] = v[which[j]];
  }
  return OK;
}

static int set(Tanks *tanks, const uint32_t *which, size_t count, const double *values) {
  for (size_t j = 0; j < count; j++) {
    if (which[j] >= COUNT || !isfinite(values[j])) {
      return ERROR;
    }
    tanks->value[which[j]] = values[j];
  }
  return OK;
}

static const uint32_t STATES[] = {0, 1}, RATES[] = {2, 3};

#define STUB(name) \
  int name(void) { return ERROR; }
#define DONE(name) \
  int name(void *tanks) { \
    (void)tanks; \
    return OK; \
  }

#if FMI == 2

void *fmi2Instantiate(const char *name, int type, const char *id, const char *place,
                      const void *calls, int seen, int told) {
  (void)name, (void)id, (void)place, (void)calls, (void)seen, (void)told;
  return type == 0 ? made() : NULL;
}
void fmi2FreeInstance(void *tanks) { free(tanks); }
const char *fmi2GetVersion(void) { return "2.0"; }
const char *fmi2GetTypesPlatform(void) { return "default"; }
int fmi2SetupExperiment(void *tanks, int is, double tolerance, double start, int ends,
                        double stop) {
  (void)tanks, (void)is, (void)tolerance, (void)start, (void)ends, (void)stop;
  return OK;
}
int fmi2SetTime(void *tanks, double t) {
  (void)tanks, (void)t;
  return OK;
}
int fmi2NewDiscreteStates(void *tanks, void *event) {
  /* fmi2EventInfo: five booleans as int, then a double */
  (void)tanks;
  for (int j = 0; j < 5; j++) {
    ((int *)event)[j] = 0;
  }
  return OK;
}
int fmi2SetContinuousStates(void *tanks, const double *x, size_t n) {
  return set(tanks, STATES, n, x);
}
int fmi2GetContinuousStates(void *tanks, double *x, size_t n) { return get(tanks, STATES, n, x); }
int fmi2GetDerivatives(void *tanks, double *dx, size_t n) { return get(tanks, RATES, n, dx); }
int fmi2SetReal(void *tanks, const uint32_t *which, size_t n, const double *v) {
  return set(tanks, which, n, v);
}
int fmi2GetReal(void *tanks, const uint32_t *which, size_t n, double *v) {
  return get(tanks, which, n, v);
}
DONE(fmi2EnterInitializationMode)
DONE(fmi2ExitInitializationMode)
DONE(fmi2EnterContinuousTimeMode)
DONE(fmi2EnterEventMode)
DONE(fmi2Terminate)
STUB(fmi2CompletedIntegratorStep) STUB(fmi2DeSerializeFMUstate) STUB(fmi2FreeFMUstate)
STUB(fmi2GetBoolean) STUB(fmi2GetDirectionalDerivative) STUB(fmi2GetEventIndicators)
STUB(fmi2GetFMUstate) STUB(fmi2GetInteger) STUB(fmi2GetNominalsOfContinuousStates)
STUB(fmi2GetString) STUB(fmi2Reset) STUB(fmi2SerializeFMUstate) STUB(fmi2SerializedFMUstateSize)
STUB(fmi2SetBoolean) STUB(fmi2SetDebugLogging) STUB(fmi2SetFMUstate) STUB(fmi2SetInteger)
STUB(fmi2SetString)

#else

void *fmi3InstantiateModelExchange(const char *name, const char *id, const char *place, bool seen,
                                   bool told, void *env, void *say) {
  (void)name, (void)id, (void)place, (void)seen, (void)told, (void)env, (void)say;
  return made();
}
void fmi3FreeInstance(void *tanks) { free(tanks); }
const char *fmi3GetVersion(void) { return "3.0"; }
int fmi3EnterInitializationMode(void *tanks, bool is, double tolerance, double start, bool ends,
                                double stop) {
  (void)tanks, (void)is, (void)tolerance, (void)start, (void)ends, (void)stop;
  return OK;
}
int fmi3SetTime(void *tanks, double t) {
  (void)tanks, (void)t;
  return OK;
}
int fmi3UpdateDiscreteStates(void *tanks, bool *more, bool *ends, bool *nominals, bool *states,
                             bool *has_next, double *next) {
  (void)tanks, (void)next;
  *more = *ends = *nominals = *states = *has_next = false;
  return OK;
}
int fmi3SetContinuousStates(void *tanks, const double *x, size_t n) {
  return set(tanks, STATES, n, x);
}
int fmi3GetContinuousStates(void *tanks, double *x, size_t n) { return get(tanks, STATES, n, x); }
int fmi3GetContinuousStateDerivatives(void *tanks, double *dx, size_t n) {
  return get(tanks, RATES, n, dx);
}
int fmi3SetFloat64(void *tanks, const uint32_t *which, size_t n, const double *v, size_t m) {
  return n == m ? set(tanks, which, n, v) : ERROR;
}
int fmi3GetFloat64(void *tanks, const uint32_t *which, size_t n, double *v, size_t m) {
  return n == m ? get(tanks, which, n, v) : ERROR;
}
int fmi3GetNumberOfContinuousStates(void *tanks, size_t *n) {
  (void)tanks;
  *n = 2;
  return OK;
}
int fmi3GetNumberOfEventIndicators(void *tanks, size_t *n) {
  (void)tanks;
  *n = 0;
  return OK;
}
DONE(fmi3ExitInitializationMode)
DONE(fmi3EnterContinuousTimeMode)
DONE(fmi3EnterEventMode)
DONE(fmi3Terminate)
STUB(fmi3ActivateModelPartition) STUB(fmi3CompletedIntegratorStep) STUB(fmi3DeserializeFMUState)
STUB(fmi3DoStep) STUB(fmi3EnterConfigurationMode) STUB(fmi3EnterStepMode)
STUB(fmi3EvaluateDiscreteStates) STUB(fmi3ExitConfigurationMode) STUB(fmi3FreeFMUState)
STUB(fmi3GetAdjointDerivative) STUB(fmi3GetBinary) STUB(fmi3GetBoolean) STUB(fmi3GetClock)
STUB(fmi3GetDirectionalDerivative) STUB(fmi3GetEventIndicators) STUB(fmi3GetFMUState)
STUB(fmi3GetFloat32) STUB(fmi3GetInt16) STUB(fmi3GetInt32) STUB(fmi3GetInt64) STUB(fmi3GetInt8)
STUB(fmi3GetIntervalDecimal) STUB(fmi3GetIntervalFraction) STUB(fmi3GetNominalsOfContinuousStates)
STUB(fmi3GetNumberOfVariableDependencies) STUB(fmi3GetOutputDerivatives) STUB(fmi3GetShiftDecimal)
STUB(fmi3GetShiftFraction) STUB(fmi3GetString) STUB(fmi3GetUInt16) STUB(fmi3GetUInt32)
STUB(fmi3GetUInt64) STUB(fmi3GetUInt8) STUB(fmi3GetVariableDependencies)
STUB(fmi3InstantiateCoSimulation) STUB(fmi3InstantiateScheduledExecution) STUB(fmi3Reset)
STUB(fmi3SerializeFMUState) STUB(fmi3SerializedFMUStateSize) STUB(fmi3SetBinary)
STUB(fmi3SetBoolean) STUB(fmi3SetClock) STUB(fmi3SetDebugLogging) STUB(fmi3SetFMUState)
STUB(fmi3SetFloat32) STUB(fmi3SetInt16) STUB(fmi3SetInt32) STUB(fmi3SetInt64) STUB(fmi3SetInt8)
STUB(fmi3SetIntervalDecimal) STUB(fmi3SetIntervalFraction) STUB(fmi3SetShiftDecimal)
STUB(fmi3SetShiftFraction) STUB(fmi3SetString) STUB(fmi3SetUInt16) STUB(fmi3SetUInt32)
STUB(fmi3SetUInt64) STUB(fmi3SetUInt8)

#endif
