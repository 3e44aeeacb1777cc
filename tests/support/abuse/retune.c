/*
 * Limits and weights that change at run time: `retune`. Prints what was not so; 0: all was.
 */
#define @NAME@_RETUNE
#include "@name@.c"

#include <math.h>
#include <stdio.h>
#include <string.h>

static model_t model, kept;
static state_t state, held;
static work_t work;
static @name@_tuning tuning;
static real y[NY], reference[REFERENCES * NY], u[NU];
static int bad;

static void check(int holds, const char *what) {
  if (!holds) {
    printf("%s\n", what);
    ++bad;
  }
}

/* The tuning that the model has, at rest in the middle. */
static void begin(void) {
  uint32_t i;
  model = @name@_data;
  for (i = 0u; i < NY; ++i) {
    y[i] = model.y_mid[i];
    tuning.y_low[i] = model.y_mid[i] + model.y_span[i] * model.y_low[i];
    tuning.y_high[i] = model.y_mid[i] + model.y_span[i] * model.y_high[i];
    tuning.output_weight[i] = model.output_weight[i] / model.y_span[i] / model.y_span[i];
    tuning.violation_weight[i] = model.violation_weight[i] / model.y_span[i];
  }
  for (i = 0u; i < NU; ++i) {
    u[i] = R(0.5) * (model.u_low[i] + model.u_high[i]);
    tuning.u_low[i] = model.u_low[i];
    tuning.u_high[i] = model.u_high[i];
    tuning.u_safe[i] = model.u_safe[i];
    tuning.max_move[i] = model.u_span[i] * model.v_move[i];
#ifdef UNEVEN
    tuning.max_move_down[i] = model.u_span[i] * model.v_move_down[i];
#endif
#ifdef TARGETS
    tuning.input_target[i] = model.u_mid[i] + model.u_span[i] * model.input_target[i];
    tuning.input_weight[i] = model.input_weight[i] / model.u_span[i] / model.u_span[i];
#endif
    tuning.move_penalty[i] = model.move_penalty[i] / model.u_span[i] / model.u_span[i];
  }
  for (i = 0u; i < REFERENCES * NY; ++i) {
    reference[i] = model.y_mid[i % NY] + model.y_span[i % NY];
  }
  check(@name@_init(&model, &state, y, u) == 0u, "init");
  check(@name@_step(&model, &state, &work, y, reference, u) < 16u, "the first step");
  kept = model;
  held = state;
}

static void refused(const char *what) {
  const uint32_t status = @name@_retune(&model, &state, &tuning);
  check(status == @NAME@_REFUSED && memcmp(&model, &kept, sizeof model) == 0 &&
            memcmp(&state, &held, sizeof state) == 0,
        what);
}

#define WRONG(member, value, what) \
  begin();                         \
  tuning.member[0] = (value);      \
  refused(what)

static void refusals(void) {
  const real none = (real)NAN, reach = model.radius * R(1.01);
  WRONG(u_low, none, "a bound that is no number");
  WRONG(u_high, none, "a bound that is no number");
  WRONG(u_low, model.u_mid[0] - reach * model.u_span[0], "a radius without a certificate, below");
  WRONG(u_high, model.u_mid[0] + reach * model.u_span[0], "a radius without a certificate, above");
  WRONG(u_high, tuning.u_low[0], "bounds without room");
  WRONG(u_safe, tuning.u_high[0] + R(1.0), "a safe input above");
  WRONG(u_safe, tuning.u_low[0] - R(1.0), "a safe input below");
  WRONG(u_safe, none, "a safe input that is no number");
  WRONG(max_move, R(0.0), "no rate");
  WRONG(max_move, none, "a rate that is no number");
#ifdef UNEVEN
  WRONG(max_move_down, R(0.0), "no rate down");
  WRONG(max_move_down, none, "a rate down that is no number");
#endif
#ifdef TARGETS
  WRONG(input_target, none, "a target that is no number");
  WRONG(input_weight, R(-1.0), "a weight of an input that pays");
  WRONG(input_weight, (real)INFINITY, "a weight of an input without end");
#endif
  WRONG(move_penalty, R(-1.0), "a penalty that pays");
  WRONG(move_penalty, (real)INFINITY, "a penalty without end");
  WRONG(y_low, tuning.y_high[0], "soft bounds without room");
  WRONG(y_high, none, "a soft bound that is no number");
  WRONG(output_weight, R(-1.0), "a weight that pays");
  WRONG(output_weight, none, "a weight that is no number");
  WRONG(output_weight, (real)INFINITY, "a weight without end");
  WRONG(violation_weight, R(-1.0), "a price that pays");
  WRONG(violation_weight, (real)INFINITY, "a price without end");
  begin();
  tuning.u_low[0] = u[0] + R(1e-3) * model.u_span[0];
  tuning.u_safe[0] = tuning.u_high[0];
  refused("bounds above the input in force");
  begin();
  tuning.u_high[0] = u[0] - R(1e-3) * model.u_span[0];
  tuning.u_safe[0] = tuning.u_low[0];
  refused("bounds below the input in force");
  WRONG(y_high, -(real)INFINITY, "a soft bound below everything");
  WRONG(y_low, (real)INFINITY, "a soft bound above everything");
  begin();
  fill(tuning.output_weight, R(0.0), NY);
  fill(tuning.move_penalty, R(0.0), NU);
  refused("nothing that is wanted");
  if (ROWS == HARD_ROWS) {
    WRONG(y_high, model.y_mid[0], "a soft bound without a row");
    WRONG(y_low, model.y_mid[0], "a soft bound without a row");
  }
  if (HARD_ROWS == BOUND_ROWS) {
    WRONG(max_move, model.u_span[0], "a rate without a row");
  }
  begin();
  memset(&state, 0, sizeof state);
  held = state;
  refused("a state that never began");
  begin();
  model.weights[0] = model.weights[0] * R(0.5);
  kept = model;
  refused("a corrupt model");
}

static void unprepared(void) {
  begin();
  model.crc ^= 0x10000u; /* another model than the one that init checked */
  @name@_prepare(&model, &state, &work);
  check(@name@_feedback(&model, &state, &work, y, reference, u) == @NAME@_REFUSED,
        "another model");
  begin();
  @name@_prepare(&model, &state, &work);
  (void)@name@_feedback(&model, &state, &work, y, reference, u);
  check(@name@_retune(&model, &state, &tuning) == @NAME@_OUT_OF_ORDER, "before advance");
  @name@_advance(&model, &state, &work);
  @name@_prepare(&model, &state, &work);
  check(@name@_retune(&model, &state, &tuning) == 0u, "after prepare");
  check(@name@_feedback(&model, &state, &work, y, reference, u) == @NAME@_OUT_OF_ORDER,
        "prepared under the tuning before");
}

#ifdef UNEVEN
/* Under the tuning that is in force: down at its rate, planned and applied. */
static void falls(void) {
  uint32_t i, k;
  real most = R(0.0), planned = R(0.0);
  for (i = 0u; i < REFERENCES * NY; ++i) {
    reference[i] = model.y_mid[i % NY] - model.y_span[i % NY];
  }
  for (k = 0u; k < 12u; ++k) {
    real before = state.applied[0];
    (void)@name@_step(&model, &state, &work, y, reference, u);
    most = maximum(most, before - u[0]);
    for (i = 1u; i < NV; ++i) {
      planned = maximum(planned, state.plan[i - 1u] - state.plan[i]);
    }
  }
  check(most <= tuning.max_move_down[0] && most > R(0.9) * tuning.max_move_down[0] &&
            planned <= R(1.001) * tuning.max_move_down[0] / model.u_span[0],
        "the new rate down");
}
#endif

#ifdef TARGETS
/* Where nothing is wanted of the outputs, the input comes to rest at the target it is given. */
static void rests(void) {
  uint32_t i, k;
  begin();
  fill(tuning.output_weight, R(0.0), NY);
  for (i = 0u; i < NY; ++i) {
    tuning.y_low[i] = -NEVER;
    tuning.y_high[i] = NEVER;
  }
  for (i = 0u; i < NU; ++i) {
    tuning.input_target[i] = u[i] + R(0.3) * model.u_span[i];
    tuning.input_weight[i] = R(1.0) / (model.u_span[i] * model.u_span[i]);
  }
  check(@name@_retune(&model, &state, &tuning) == 0u, "a target");
  for (k = 0u; k < 60u; ++k) {
    (void)@name@_step(&model, &state, &work, y, reference, u);
  }
  for (i = 0u; i < NU; ++i) {
    check(magnitude(u[i] - tuning.input_target[i]) < R(1e-2) * model.u_span[i], "at the target");
  }
}
#endif

/* The same tuning changes no more than a last place; another is kept from the next sample on. */
static void changes(void) {
  uint32_t i, k;
  real applied[NU];
  begin();
  check(@name@_retune(&model, &state, &tuning) == 0u, "the same tuning");
  check(@name@_verify(&model) == 0u, "a checksum that fits");
  check(magnitude(model.v_high[0] - kept.v_high[0]) <= R(1e-6) &&
            magnitude(model.max_move[0] - kept.max_move[0]) <= R(1e-5) * kept.max_move[0] &&
            magnitude(model.output_weight[0] - kept.output_weight[0]) <=
                R(1e-5) * kept.output_weight[0],
        "the same numbers");
  begin();
  for (i = 0u; i < NU; ++i) {
    tuning.u_high[i] = minimum(u[i] + R(0.2) * model.u_span[i], model.u_high[i]);
    tuning.u_safe[i] = u[i];
    if (HARD_ROWS > BOUND_ROWS) {
      tuning.max_move[i] = R(0.05) * model.u_span[i];
#ifdef UNEVEN
      tuning.max_move_down[i] = R(0.02) * model.u_span[i];
#endif
    }
  }
  check(@name@_retune(&model, &state, &tuning) == 0u, "another tuning");
  for (k = 0u; k < 12u; ++k) {
    uint32_t status;
    memcpy(applied, u, sizeof u);
    for (i = 0u; i < NY; ++i) { /* a sensor that is alive */
      y[i] = model.y_mid[i] + R(1e-3) * model.y_span[i] * (real)(k % 2u);
    }
    status = @name@_step(&model, &state, &work, y, reference, u);
    check((status & ~(uint32_t)@NAME@_BUDGET) == 0u, "a clean sample");
    for (i = 0u; i < NU; ++i) {
      check(u[i] <= tuning.u_high[i] && magnitude(u[i] - applied[i]) <= tuning.max_move[i],
            "the new limits");
    }
  }
  for (i = 0u, k = 0u; i < NU; ++i) {
    k += magnitude(u[i] - tuning.u_high[i]) < R(1e-3) * model.u_span[i] ||
         magnitude(u[i] - tuning.u_low[i]) < R(1e-3) * model.u_span[i];
  }
  check(k > 0u, "up to a new limit");
#ifdef UNEVEN
  falls();
#endif
#ifdef TARGETS
  rests();
#endif
}

int main(void) {
  begin();
  refusals();
  unprepared();
  changes();
  return bad;
}
