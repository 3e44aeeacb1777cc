/* The FMI 3.0 co-simulation interface of a unit with a fixed sampling time. What the unit cannot do
 * is in fmi3_absent.c. */
#include "fmi3.h"

#include <stdlib.h>
#include "instance.h"

typedef struct {
  instance core; /* first: an instance_make makes both */
  fmi3LogMessage log;
  void *environment;
} component;

static void tell(fmi3LogMessage log, void *environment, const char *complaint) {
  if (log) log(environment, fmi3Error, "logStatusError", complaint);
}

fmi3Status fmi3_told(fmi3Instance it, const char *complaint) {
  if (!complaint) return fmi3OK;
  tell(((component *)it)->log, ((component *)it)->environment, complaint);
  return fmi3Error;
}

FMI3_EXPORT const char *fmi3GetVersion(void) { return "3.0"; }

FMI3_EXPORT fmi3Status fmi3SetDebugLogging(fmi3Instance it, bool on, size_t count,
                                           const char *const categories[]) {
  return fmi3OK;
}

FMI3_EXPORT fmi3Instance fmi3InstantiateCoSimulation(const char *name, const char *token,
                                                     const char *resources, bool visible,
                                                     bool logging, bool events, bool early,
                                                     const fmi3ValueReference intermediate[],
                                                     size_t count, void *environment,
                                                     fmi3LogMessage log, void *update) {
  component *it = events ? 0 : (component *)instance_make(sizeof *it, token);
  if (!it) {
    tell(log, environment,
         events ? "this unit has no event mode"
                : "the token is not that of this unit, or memory has run out");
    return 0;
  }
  it->log = log;
  it->environment = environment;
  return it;
}

FMI3_EXPORT void fmi3FreeInstance(fmi3Instance it) { free(it); }

FMI3_EXPORT fmi3Status fmi3EnterInitializationMode(fmi3Instance it, bool has_tolerance,
                                                   double tolerance, double start, bool has_stop,
                                                   double stop) {
  return fmi3_told(it, instance_enter(it, start));
}

FMI3_EXPORT fmi3Status fmi3ExitInitializationMode(fmi3Instance it) {
  return fmi3_told(it, instance_exit(it));
}

FMI3_EXPORT fmi3Status fmi3Terminate(fmi3Instance it) { return fmi3_told(it, instance_end(it)); }

FMI3_EXPORT fmi3Status fmi3Reset(fmi3Instance it) {
  instance_reset(it);
  return fmi3OK;
}

FMI3_EXPORT fmi3Status fmi3GetFloat64(fmi3Instance it, const fmi3ValueReference reference[],
                                      size_t count, double value[], size_t room) {
  return fmi3_told(it, instance_get(it, reference, count, value, room));
}

FMI3_EXPORT fmi3Status fmi3SetFloat64(fmi3Instance it, const fmi3ValueReference reference[],
                                      size_t count, const double value[], size_t room) {
  return fmi3_told(it, instance_set(it, reference, count, value, room));
}

FMI3_EXPORT fmi3Status fmi3GetUInt32(fmi3Instance it, const fmi3ValueReference reference[],
                                     size_t count, uint32_t value[], size_t room) {
  return fmi3_told(it, instance_get_status(it, reference, count, value, room));
}

FMI3_EXPORT fmi3Status fmi3GetFMUState(fmi3Instance it, void **saved) {
  return fmi3_told(it, instance_save(it, saved));
}

FMI3_EXPORT fmi3Status fmi3SetFMUState(fmi3Instance it, void *saved) {
  return fmi3_told(it, instance_restore(it, saved));
}

FMI3_EXPORT fmi3Status fmi3FreeFMUState(fmi3Instance it, void **saved) {
  if (saved) {
    free(*saved);
    *saved = 0;
  }
  return fmi3OK;
}

FMI3_EXPORT fmi3Status fmi3DoStep(fmi3Instance it, double time, double size, bool no_way_back,
                                  bool *event, bool *terminate, bool *early, double *last) {
  const fmi3Status status = fmi3_told(it, instance_step(it, time, size));
  *event = *terminate = *early = false;
  *last = ((component *)it)->core.now.time;
  return status;
}
