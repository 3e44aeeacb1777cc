/* The FMI 2.0 co-simulation interface of a unit with a fixed sampling time: what such a unit needs
 * of the standard, and the refusals. */
#include <stdlib.h>
#include "instance.h"

#ifdef _WIN32
#define FMI2_EXPORT __declspec(dllexport)
#else
#define FMI2_EXPORT __attribute__((visibility("default")))
#endif

typedef enum { fmi2OK, fmi2Warning, fmi2Discard, fmi2Error, fmi2Fatal, fmi2Pending } fmi2Status;
typedef void (*fmi2Logger)(void *environment, const char *name, fmi2Status status,
                           const char *category, const char *message, ...);

typedef struct {
  fmi2Logger log;
  void (*unused[3])(void); /* allocate, free, step finished */
  void *environment;
} fmi2Callbacks;

typedef struct {
  instance core; /* first: an instance_make makes both */
  fmi2Callbacks importer;
} component;

static fmi2Status told(component *it, const char *complaint) {
  if (!complaint) return fmi2OK;
  if (it->importer.log)
    it->importer.log(it->importer.environment, UNIT_NAME, fmi2Error, "logStatusError", "%s",
                     complaint);
  return fmi2Error;
}

FMI2_EXPORT const char *fmi2GetTypesPlatform(void) { return "default"; }
FMI2_EXPORT const char *fmi2GetVersion(void) { return "2.0"; }
FMI2_EXPORT fmi2Status fmi2SetDebugLogging(component *it, int on, size_t count,
                                           const char *const categories[]) {
  return fmi2OK;
}
FMI2_EXPORT void *fmi2Instantiate(const char *name, int type, const char *token,
                                  const char *resources, const fmi2Callbacks *importer, int visible,
                                  int logging) {
  /* 1: co-simulation */
  component *it = type == 1 ? (component *)instance_make(sizeof *it, token) : 0;
  if (it) it->importer = *importer;
  return it;
}

FMI2_EXPORT void fmi2FreeInstance(component *it) { free(it); }
FMI2_EXPORT fmi2Status fmi2SetupExperiment(component *it, int has_tolerance, double tolerance,
                                           double start, int has_stop, double stop) {
  it->core.now.time = start;
  return fmi2OK;
}

FMI2_EXPORT fmi2Status fmi2EnterInitializationMode(component *it) {
  return told(it, instance_enter(&it->core, it->core.now.time));
}
FMI2_EXPORT fmi2Status fmi2ExitInitializationMode(component *it) {
  return told(it, instance_exit(&it->core));
}
FMI2_EXPORT fmi2Status fmi2Terminate(component *it) { return told(it, instance_end(&it->core)); }
FMI2_EXPORT fmi2Status fmi2Reset(component *it) {
  instance_reset(&it->core);
  return fmi2OK;
}

#define VARIABLES component *it, const unsigned reference[], size_t count

FMI2_EXPORT fmi2Status fmi2GetReal(VARIABLES, double value[]) {
  return told(it, instance_get(&it->core, reference, count, value, count));
}
FMI2_EXPORT fmi2Status fmi2SetReal(VARIABLES, const double value[]) {
  return told(it, instance_set(&it->core, reference, count, value, count));
}

/* an int of 32 bits may be looked at as uint32_t */
FMI2_EXPORT fmi2Status fmi2GetInteger(VARIABLES, int value[]) {
  return told(it, instance_get_status(&it->core, reference, count, (uint32_t *)value, count));
}

FMI2_EXPORT fmi2Status fmi2GetFMUstate(component *it, void **saved) {
  return told(it, instance_save(&it->core, saved));
}
FMI2_EXPORT fmi2Status fmi2SetFMUstate(component *it, void *saved) {
  return told(it, instance_restore(&it->core, saved));
}
FMI2_EXPORT fmi2Status fmi2FreeFMUstate(component *it, void **saved) {
  free(*saved);
  *saved = 0;
  return fmi2OK;
}

FMI2_EXPORT fmi2Status fmi2DoStep(component *it, double time, double size, int no_way_back) {
  return told(it, instance_step(&it->core, time, size));
}

/* What this unit has not. No variable at all is right where there is none of a type. */
#define ABSENT(name, ...) \
  FMI2_EXPORT fmi2Status fmi2##name(component *it, __VA_ARGS__) { \
    return told(it, "this unit has no fmi2" #name); \
  }
#define NO_VARIABLE(name, c_type) \
  FMI2_EXPORT fmi2Status fmi2##name(VARIABLES, c_type value[]) { \
    return told(it, count ? "no variable suits fmi2" #name : 0); \
  }

NO_VARIABLE(SetInteger, const int)
NO_VARIABLE(GetBoolean, int)
NO_VARIABLE(SetBoolean, const int)
NO_VARIABLE(GetString, const char *)
NO_VARIABLE(SetString, const char *const)
ABSENT(SerializedFMUstateSize, void *saved, size_t *size)
ABSENT(SerializeFMUstate, void *saved, char bytes[], size_t size)
ABSENT(DeSerializeFMUstate, const char bytes[], size_t size, void **saved)
ABSENT(GetDirectionalDerivative, const unsigned unknown[], size_t unknowns, const unsigned known[],
       size_t knowns, const double seed[], double sensitivity[])
ABSENT(SetRealInputDerivatives, const unsigned reference[], size_t count, const int order[],
       const double value[])
ABSENT(GetRealOutputDerivatives, const unsigned reference[], size_t count, const int order[],
       double value[])
ABSENT(GetStatus, int kind, fmi2Status *value)
ABSENT(GetRealStatus, int kind, double *value)
ABSENT(GetIntegerStatus, int kind, int *value)
ABSENT(GetBooleanStatus, int kind, int *value)
ABSENT(GetStringStatus, int kind, const char **value)

FMI2_EXPORT fmi2Status fmi2CancelStep(component *it) {
  return told(it, "this unit has no fmi2CancelStep");
}
