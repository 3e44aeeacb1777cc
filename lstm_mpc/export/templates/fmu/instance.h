/*
 * One running copy of the unit, whichever version of FMI is in front of it.
 * Every function returns 0, or a sentence that says what was wrong; then nothing has changed.
 */
#ifndef INSTANCE_H
#define INSTANCE_H

#include <stddef.h>
#include "unit.h"

enum { INSTANCE_NEW, INSTANCE_BEGINNING, INSTANCE_RUNNING, INSTANCE_OVER };

/* Without pointers: a copy of it is all that there is to save. */
typedef struct {
  double time; /* [s] */
  double value[UNIT_VALUES];
  uint32_t status;
  int mode;
  unit_memory memory;
} instance_state;

typedef struct {
  instance_state now;
  char sentence[160]; /* the last complaint */
} instance;

/* A new copy, in zeroed memory; 0 when `token` is another unit's or memory has run out. The caller
 * frees it. */
instance *instance_make(size_t size, const char *token);

void instance_reset(instance *it);
const char *instance_enter(instance *it, double time);
const char *instance_exit(instance *it);
const char *instance_step(instance *it, double time, double size);
const char *instance_end(instance *it);
const char *instance_get(instance *it, const unsigned reference[], size_t count, double value[],
                         size_t room);
const char *instance_set(instance *it, const unsigned reference[], size_t count,
                         const double value[], size_t room);
const char *instance_get_status(instance *it, const unsigned reference[], size_t count,
                                uint32_t value[], size_t room);
const char *instance_save(instance *it, void **saved);
const char *instance_restore(instance *it, const void *saved);

#endif
