/* The controller @name@ as a unit. Values: measurements, setpoints; inputs of the plant; those in
 * force before the first sample. */
#include "unit.h"

void unit_begin(unit_memory *memory, double value[UNIT_VALUES]) {
  int j;
  memory->begun = 0;
  for (j = 0; j < UNIT_OUTPUTS; ++j) value[UNIT_INPUTS + j] = value[UNIT_INPUTS + UNIT_OUTPUTS + j];
}

uint32_t unit_step(unit_memory *memory, double value[UNIT_VALUES]) {
  @name@_real y[@NAME@_NY], reference[@NAME@_REFERENCES * @NAME@_NY], u[@NAME@_NU];
{% if measured %}
  @name@_real known[@NAME@_FORESEEN * @NAME@_NM]; /* after the setpoints; held */
{% endif %}
  uint32_t status = 0u;
  int j;
  for (j = 0; j < @NAME@_NY; ++j) y[j] = (@name@_real)value[j];
  for (j = 0; j < @NAME@_REFERENCES * @NAME@_NY; ++j)
    reference[j] = (@name@_real)value[@NAME@_NY + j % @NAME@_NY];
  for (j = 0; j < @NAME@_NU; ++j) u[j] = (@name@_real)value[UNIT_INPUTS + j];
{% if measured %}
  for (j = 0; j < @NAME@_FORESEEN * @NAME@_NM; ++j)
    known[j] = (@name@_real)value[2 * @NAME@_NY + j % @NAME@_NM];
  if (!memory->begun) status = @name@_init(&@name@_data, &memory->state, y, u, known);
{% else %}
  if (!memory->begun) status = @name@_init(&@name@_data, &memory->state, y, u);
{% endif %}
  memory->begun = 1;
{% if measured %}
  status |= @name@_step(&@name@_data, &memory->state, &memory->work, y, reference, known, u);
{% else %}
  status |= @name@_step(&@name@_data, &memory->state, &memory->work, y, reference, u);
{% endif %}
  for (j = 0; j < @NAME@_NU; ++j) value[UNIT_INPUTS + j] = (double)u[j];
  return status;
}
