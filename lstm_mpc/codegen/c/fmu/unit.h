/*
 * What the FMI interface knows of the unit behind it, @name@: its numbers, and two functions.
 * Values are one row: inputs, outputs, parameters. Value references: 0 time, 1 ... the values, then the status.
 */
#ifndef UNIT_H
#define UNIT_H

#include <stdint.h>
#include "unit_memory.h"

#define UNIT_NAME "@name@"
#define UNIT_TOKEN "@token@"
#define UNIT_TS @Ts@ /* [s] */
#define UNIT_INPUTS @inputs@
#define UNIT_OUTPUTS @outputs@
#define UNIT_PARAMETERS @parameters@
#define UNIT_VALUES (UNIT_INPUTS + UNIT_OUTPUTS + UNIT_PARAMETERS)
#define UNIT_HAS_STATUS @status@
#define UNIT_START @start@ /* of the values; outputs are computed */

/* Before any sample: the memory, and the outputs from inputs and parameters. */
void unit_begin(unit_memory *memory, double value[UNIT_VALUES]);

/* One sample under the inputs: the memory moves on, the outputs are new. Returns the status, 0 where there is none. */
uint32_t unit_step(unit_memory *memory, double value[UNIT_VALUES]);

#endif
