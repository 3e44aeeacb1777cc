#include "instance.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double start[UNIT_VALUES] = UNIT_START;

instance *instance_make(size_t size, const char *token) {
  instance *it = strcmp(token, UNIT_TOKEN) == 0 ? calloc(1, size) : 0;
  if (it) instance_reset(it);
  return it;
}

void instance_reset(instance *it) {
  memset(&it->now, 0, sizeof it->now);
  memcpy(it->now.value, start, sizeof start);
  it->now.mode = INSTANCE_NEW;
}

static const char *advance_mode(instance *it, int from, int to, const char *complaint) {
  if (it->now.mode != from) return complaint;
  it->now.mode = to;
  return 0;
}

const char *instance_enter(instance *it, double time) {
  const char *complaint = advance_mode(it, INSTANCE_NEW, INSTANCE_BEGINNING,
                                       "initialization begins once; reset the instance first");
  if (!complaint) it->now.time = time;
  return complaint;
}

const char *instance_exit(instance *it) {
  const char *complaint =
      advance_mode(it, INSTANCE_BEGINNING, INSTANCE_RUNNING, "initialization ends before it began");
  if (!complaint) unit_begin(&it->now.memory, it->now.value);
  return complaint;
}

const char *instance_end(instance *it) {
  return advance_mode(it, INSTANCE_RUNNING, INSTANCE_OVER,
                      "nothing is running that could be terminated");
}

const char *instance_step(instance *it, double time, double size) {
  /* [s] what the rounding of communication points makes */
  const double slack = 1e-6 * UNIT_TS + 1e-12 * fabs(time);
  if (it->now.mode != INSTANCE_RUNNING)
    return "a step outside of the simulation; initialize the instance first";
  if (!(fabs(size - UNIT_TS) <= slack)) {
    snprintf(it->sentence, sizeof it->sentence,
             "the step size %.9g s is not the sampling time %.9g s", size, UNIT_TS);
    return it->sentence;
  }
  if (!(fabs(time - it->now.time) <= slack)) {
    snprintf(it->sentence, sizeof it->sentence, "a step from %.9g s, but the instance is at %.9g s",
             time, it->now.time);
    return it->sentence;
  }
  it->now.status = unit_step(&it->now.memory, it->now.value);
  it->now.time = time + size;
  return 0;
}

static const char *no_such(instance *it, unsigned reference, const char *what) {
  snprintf(it->sentence, sizeof it->sentence, "value reference %u is no %s", reference, what);
  return it->sentence;
}

static const char *unequal(size_t count, size_t room) {
  return count == room ? 0 : "every variable is a scalar: as many values as value references";
}

const char *instance_get(instance *it, const unsigned reference[], size_t count, double value[],
                         size_t room) {
  size_t i;
  if (unequal(count, room)) return unequal(count, room);
  for (i = 0; i < count; ++i)
    if (reference[i] > UNIT_VALUES) return no_such(it, reference[i], "real variable");
  if (it->now.mode < INSTANCE_RUNNING) unit_begin(&it->now.memory, it->now.value);
  for (i = 0; i < count; ++i)
    value[i] = reference[i] ? it->now.value[reference[i] - 1u] : it->now.time;
  return 0;
}

const char *instance_set(instance *it, const unsigned reference[], size_t count,
                         const double value[], size_t room) {
  size_t i;
  if (unequal(count, room)) return unequal(count, room);
  for (i = 0; i < count; ++i) {
    const unsigned r = reference[i];
    const int parameter =
        r > UNIT_INPUTS + UNIT_OUTPUTS && r <= UNIT_VALUES && it->now.mode < INSTANCE_RUNNING;
    if (!(r > 0u && r <= UNIT_INPUTS) && !parameter)
      return no_such(it, r, "real variable that may be set now");
  }
  for (i = 0; i < count; ++i) it->now.value[reference[i] - 1u] = value[i];
  return 0;
}

const char *instance_get_status(instance *it, const unsigned reference[], size_t count,
                                uint32_t value[], size_t room) {
  size_t i;
  if (unequal(count, room)) return unequal(count, room);
  for (i = 0; i < count; ++i)
    if (!UNIT_HAS_STATUS || reference[i] != UNIT_VALUES + 1u)
      return no_such(it, reference[i], "integer variable");
  for (i = 0; i < count; ++i) value[i] = it->now.status;
  return 0;
}

const char *instance_save(instance *it, void **saved) {
  if (!*saved) *saved = malloc(sizeof it->now);
  if (!*saved) return "no memory to save the state in";
  memcpy(*saved, &it->now, sizeof it->now);
  return 0;
}

const char *instance_restore(instance *it, const void *saved) {
  if (!saved) return "no saved state was given";
  memcpy(&it->now, saved, sizeof it->now);
  return 0;
}
