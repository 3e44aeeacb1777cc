/*
 * Every check of a state by itself: a member that cannot be is made anew, with a status, and a sound
 * one is left alone. Models of which one margin alone fails, and budgets. Prints what was not so; 0:
 * all was.
 */
#include "@name@.c"

#include <stdio.h>
#include <string.h>

#define MODEL (&@name@_data)

static model_t model;
static state_t state;
static work_t work;
static real y[NY], reference[REFERENCES * NY], u[NU];
static int bad;

static void check(int holds, const char *what) {
  if (!holds) {
    printf("%s\n", what);
    ++bad;
  }
}

static void begin(void) {
  uint32_t i;
  for (i = 0u; i < NY; ++i) y[i] = MODEL->y_mid[i];
  for (i = 0u; i < REFERENCES * NY; ++i) reference[i] = MODEL->y_mid[i % NY];
  for (i = 0u; i < NU; ++i) u[i] = R(0.5) * (MODEL->u_low[i] + MODEL->u_high[i]);
  (void)@name@_init(MODEL, &state, y, u);
}

static void reset(int expected, const char *what) {
  const uint32_t status = @name@_step(MODEL, &state, &work, y, reference, u);
  check(((status & @NAME@_STATE_RESET) != 0u) == expected, what);
  begin();
}

static void members(void) {
  uint32_t i;
  begin();
  reset(0, "sound");
  for (i = 0u; i < NCHI; ++i) {
    state.chi[i] = R(1.001) * MODEL->bound[i];
    reset(1, "chi beyond its bound");
#if KALMAN
    state.estimate[i] = R(-1.001) * MODEL->bound[i];
    reset(1, "estimate beyond its bound");
#endif
  }
  for (i = 0u; i < NU; ++i) {
    state.applied[i] = MODEL->u_low[i] - R(1.0);
    reset(1, "input below its bound");
    state.applied[i] = MODEL->u_high[i] + R(1.0);
    reset(1, "input above its bound");
#if KALMAN
    state.estimate[NCHI + i] = R(1.001) * MODEL->max_disturbance[i];
    reset(1, "disturbance beyond its limit");
    state.chi[0] = R(2.0) * MODEL->bound[0];
    state.estimate[NCHI + i] = R(1.001) * MODEL->max_disturbance[i];
    reset(1, "two at once");
#endif
#if HISTORY > 0
    state.input_history[i] = normalised(MODEL, MODEL->u_high[i], i) + R(1.0);
    reset(1, "input under way above its bound");
    state.input_history[i] = normalised(MODEL, MODEL->u_low[i], i) - R(1.0);
    reset(1, "input under way below its bound");
#endif
  }
  for (i = 0u; i < NY; ++i) {
#if KALMAN
    state.noise_variance[i] = R(0.0);
    reset(1, "a variance that is none");
    state.chi[0] = R(2.0) * MODEL->bound[0];
    state.noise_variance[i] = R(-1.0);
    reset(1, "two at once");
#endif
    state.reference[i] = R(1e30) * R(1e30) * R(1e30) * R(1e30) * R(1e30) * R(1e30) * R(1e30) *
                         R(1e30) * R(1e30) * R(1e30) * R(1e30);
    reset(1, "a setpoint that is no number");
    state.last_measurement[i] = state.reference[i] * R(0.0);
    reset(0, "a measurement that was lost");
  }
  for (i = 0u; i < NV; ++i) {
    state.plan[i] = MODEL->v_high[i % NU] + R(1.0);
    reset(1, "a plan beyond its bounds");
  }
  state.oldest = PROBES;
  reset(1, "a place in no buffer");
}

/* A witness that proves nothing leaves the margin of (7) as it was; weights that grow take both. */
static void margins(void) {
  uint32_t j;
  model = *MODEL;
  model.witness[0] = R(1e-6) * model.witness[0];
  model.crc = crc_of(&model);
  check((@name@_verify(&model) == 0u) == (@NAME@_DELTA_ISS_FLOOR < R(0.0)), "no witness");
  model = *MODEL;
  for (j = 0u; j < @NAME@_WEIGHTS; ++j) model.weights[j] = R(8.0) * model.weights[j];
  model.crc = crc_of(&model);
  check((@name@_verify(&model) == 0u) ==
            (@NAME@_ISS_FLOOR < R(0.0) && @NAME@_DELTA_ISS_FLOOR < R(0.0)),
        "weights that grow");
}

/* The status of the last of `samples` under the numbers of `model`, with a setpoint far away. */
static uint32_t status_of(uint32_t samples, uint32_t iterations, uint32_t frozen_after) {
  uint32_t k, status = 0u;
  model = *MODEL;
  model.sqp_iterations = iterations;
  model.qp_iterations = 1000u;
  model.frozen_after = frozen_after;
  model.tolerance = R(0.0);
  model.crc = crc_of(&model);
  begin();
  for (k = 0u; k < REFERENCES * NY; ++k) {
    reference[k] = MODEL->y_mid[k % NY] + MODEL->y_span[k % NY];
  }
  (void)@name@_init(&model, &state, y, u);
  for (k = 0u; k < samples; ++k) {
    status = @name@_step(&model, &state, &work, y, reference, u);
  }
  return status;
}

static void budgets(void) {
  check((status_of(6u, 30u, 3u) & @NAME@_MEASUREMENT_FROZEN) != 0u, "frozen");
  check((status_of(6u, 30u, 0u) & @NAME@_MEASUREMENT_FROZEN) == 0u, "never frozen");
  /* one iteration is all that was asked for, unless its step was cut */
  check((status_of(1u, 1u, 0u) & ~(uint32_t)@NAME@_BUDGET) == 0u, "one iteration");
  check((status_of(1u, 2u, 0u) & @NAME@_BUDGET) != 0u, "two were not enough");
}

int main(void) {
  members();
  margins();
  budgets();
  return bad;
}
