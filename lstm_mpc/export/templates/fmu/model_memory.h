/* What a model remembers from sample to sample. */
#ifndef UNIT_MEMORY_H
#define UNIT_MEMORY_H

#include "@name@.h"

typedef struct {
  double state[@NAME@_STATES];
} unit_memory;

#endif
