/* The controller for a process that loads it: sizes, and one call a sample, for one controller or
 * for many. */
#include "@name@.h"

/* What is measured of the inputs, where anything is; else never read. */
{% if measured %}
enum { NM = @NAME@_NM, FORESEEN = @NAME@_FORESEEN };
#define MEASURED(rows) , rows
{% else %}
enum { NM = 0, FORESEEN = 1 };
#define MEASURED(rows)
{% endif %}

void sil_sizes(uint32_t size[9]);
uint32_t sil_init(@name@_state *state, const @name@_real *y, const @name@_real *u,
                  const @name@_real *measured);
void sil_decide(@name@_state *state, @name@_work *work, const @name@_real *y,
                const @name@_real *reference, const @name@_real *measured, @name@_real *u,
                @name@_real *predicted, @name@_real *values, uint32_t *counts);
void sil_take(@name@_state *state, const @name@_real *u);
void sil_advance(@name@_state *state, @name@_work *work);
void sil_step(@name@_state *state, @name@_work *work, const @name@_real *y,
              const @name@_real *reference, const @name@_real *measured, @name@_real *u,
              @name@_real *predicted, @name@_real *values, uint32_t *counts);
uint32_t sil_init_many(@name@_state *states, uint32_t count, const @name@_real *y,
                       const @name@_real *u, const @name@_real *measured);
void sil_step_many(@name@_state *states, @name@_work *work, uint32_t count, const @name@_real *y,
                   const @name@_real *reference, const @name@_real *measured, @name@_real *u,
                   uint32_t *status);

void sil_sizes(uint32_t size[9]) {
  size[0] = @NAME@_NU;
  size[1] = @NAME@_NY;
  size[2] = @NAME@_N;
  size[3] = @NAME@_REFERENCES;
  size[4] = (uint32_t)sizeof(@name@_state);
  size[5] = (uint32_t)sizeof(@name@_work);
  size[6] = (uint32_t)sizeof(@name@_model);
  size[7] = NM;
  size[8] = FORESEEN;
}

uint32_t sil_init(@name@_state *state, const @name@_real *y, const @name@_real *u,
                  const @name@_real *measured) {
  (void)measured;
  return @name@_init(&@name@_data, state, y, u MEASURED(measured));
}

/* prepare and feedback. `predicted` begins with the output now; `values` are the cost, then the
 * disturbances of the outputs and of the inputs in their units. */
void sil_decide(@name@_state *state, @name@_work *work, const @name@_real *y,
                const @name@_real *reference, const @name@_real *measured, @name@_real *u,
                @name@_real *predicted, @name@_real *values, uint32_t *counts) {
  const @name@_model *model = &@name@_data;
  uint32_t i;
  (void)measured;
  @name@_prepare(model, state, work);
  counts[0] = @name@_feedback(model, state, work, y, reference MEASURED(measured), u);
  counts[1] = work->sqp_iterations;
  counts[2] = work->qp_iterations;
  values[0] = work->cost;
  @name@_predicted(model, state, work, &predicted[@NAME@_NY]);
  for (i = 0u; i < @NAME@_NY; ++i) {
    uint32_t j;
    const @name@_real *head = &model->head[i * (@NAME@_NXI + 1u)];
    @name@_real now = head[@NAME@_NXI];
    for (j = 0u; j < @NAME@_NXI; ++j) {
      now += head[j] * state->chi[@NAME@_NCHI - @NAME@_NXI + j];
    }
    predicted[i] = model->y_mid[i] + model->y_span[i] * (now + state->disturbance[i]);
    values[1u + i] = model->y_span[i] * state->disturbance[i];
  }
  for (i = 0u; i < @NAME@_NU; ++i) {
#if @NAME@_KALMAN
    values[1u + @NAME@_NY + i] = model->u_span[i] * state->estimate[@NAME@_NCHI + i];
#else
    values[1u + @NAME@_NY + i] = 0;
#endif
  }
}

/* The input `u`, brought into the bounds, is in force whatever was decided; the plan is to leave it
 * there. Between the calls of the controller only. */
void sil_take(@name@_state *state, const @name@_real *u) {
  const @name@_model *model = &@name@_data;
  uint32_t i;
  for (i = 0u; i < @NAME@_NU; ++i) {
    const @name@_real low = model->u_low[i], high = model->u_high[i];
    state->applied[i] = u[i] > high ? high : (u[i] > low ? u[i] : low);
    state->last_input[i] = (state->applied[i] - model->u_mid[i]) / model->u_span[i];
  }
  for (i = 0u; i < @NAME@_NV; ++i) {
    state->plan[i] = state->last_input[i % @NAME@_NU];
  }
  for (i = 0u; i < @NAME@_ROWS; ++i) {
    state->working_set[i] = 0u;
  }
  state->failures = 0u;
}

void sil_advance(@name@_state *state, @name@_work *work) {
  @name@_advance(&@name@_data, state, work);
}

void sil_step(@name@_state *state, @name@_work *work, const @name@_real *y,
              const @name@_real *reference, const @name@_real *measured, @name@_real *u,
              @name@_real *predicted, @name@_real *values, uint32_t *counts) {
  sil_decide(state, work, y, reference, measured, u, predicted, values, counts);
  sil_advance(state, work);
}

uint32_t sil_init_many(@name@_state *states, uint32_t count, const @name@_real *y,
                       const @name@_real *u, const @name@_real *measured) {
  uint32_t refused = 0u, i;
  for (i = 0u; i < count; ++i) {
    refused |= sil_init(&states[i], &y[i * @NAME@_NY], &u[i * @NAME@_NU],
                        &measured[i * FORESEEN * NM]);
  }
  return refused;
}

/* Controllers side by side; rows of `y`, `reference`, `u` and `status` are controllers. One scratch
 * serves them all. */
void sil_step_many(@name@_state *states, @name@_work *work, uint32_t count, const @name@_real *y,
                   const @name@_real *reference, const @name@_real *measured, @name@_real *u,
                   uint32_t *status) {
  uint32_t i;
  (void)measured;
  for (i = 0u; i < count; ++i) {
    status[i] = @name@_step(&@name@_data, &states[i], work, &y[i * @NAME@_NY],
                            &reference[i * @NAME@_REFERENCES * @NAME@_NY]
                                MEASURED(&measured[i * FORESEEN * NM]),
                            &u[i * @NAME@_NU]);
  }
}
