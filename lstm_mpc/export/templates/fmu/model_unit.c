/* The model @name@ as a unit: the outputs are those at the end of the step, before the next input
 * acts. */
#include "unit.h"

void unit_begin(unit_memory *memory, double value[UNIT_VALUES]) {
  @name@_init(memory->state);
  @name@_output(memory->state, value + UNIT_INPUTS);
}

uint32_t unit_step(unit_memory *memory, double value[UNIT_VALUES]) {
  @name@_step(memory->state, value);
  @name@_output(memory->state, value + UNIT_INPUTS);
  return 0u;
}
