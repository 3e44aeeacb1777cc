/* What a controller remembers from sample to sample, and its scratch. */
#ifndef UNIT_MEMORY_H
#define UNIT_MEMORY_H

#include "@name@.h"

typedef struct {
  @name@_state state;
  @name@_work work;
  int begun; /* it begins at its first measurement */
} unit_memory;

#endif
