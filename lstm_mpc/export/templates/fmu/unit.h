/*
 * What the FMI interface knows of the unit behind it, @unit.name@: its numbers, and two functions.
 * Values are one row: inputs, outputs, parameters. Value references: 0 time, 1 ... the values, then
 * the status.
 */
#ifndef UNIT_H
#define UNIT_H

#include <stdint.h>
#include "unit_memory.h"

#define UNIT_NAME "@unit.name@"
#define UNIT_TOKEN "@unit.token@"
#define UNIT_TS @unit.Ts | number@ /* [s] */
#define UNIT_INPUTS @unit.inputs | length@
#define UNIT_OUTPUTS @unit.outputs | length@
#define UNIT_PARAMETERS @unit.parameters | length@
#define UNIT_VALUES (UNIT_INPUTS + UNIT_OUTPUTS + UNIT_PARAMETERS)
#define UNIT_HAS_STATUS @1 if unit.codes else 0@
#define UNIT_START {@starts | numbers@} /* of the values; outputs are computed */

/* Before any sample: the memory, and the outputs from inputs and parameters. */
void unit_begin(unit_memory *memory, double value[UNIT_VALUES]);

/* One sample under the inputs: the memory moves on, the outputs are new. Returns the status, 0
 * where there is none. */
uint32_t unit_step(unit_memory *memory, double value[UNIT_VALUES]);

#endif
