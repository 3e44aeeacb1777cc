/* -- interface --------------------------------------------------------------------------------- */

/* What is written before is there for whoever finds the phase. */
static void set_turn(const model_t *model, state_t *state, uint32_t turn) {
  BARRIER();
  state->phase = model->crc + turn;
}

{# R2: a call out of turn, on scratch that others wrote, or within another one, keeps the input in force #}
/* Whose turn it was; from now on the state is busy. */
OUT_OF_LINE static uint32_t claim(const model_t *model, state_t *state) {
#if LOCK_FREE
  const uint32_t phase = __atomic_exchange_n(&state->phase, model->crc + BUSY, __ATOMIC_RELAXED);
#else
  const uint32_t phase = state->phase;
  state->phase = model->crc + BUSY;
#endif
  BARRIER();
  return phase - model->crc;
}

{% if measured %}
uint32_t @name@_init(const model_t *model, state_t *state, const real y[NY], const real u[NU],
                     const real measured[FORESEEN * NM]) {
  real v[NW];
  bool changed;
{% else %}
uint32_t @name@_init(const model_t *model, state_t *state, const real y[NY], const real u[NU]) {
{% endif %}
#if KALMAN
  real stage[STAGE];
#endif
  uint32_t j, k;
  set_turn(model, state, ASLEEP);
  state->status = 0u;
  if (@name@_verify(model) != 0u) {
    return @NAME@_REFUSED;
  }
  for (j = 0u; j < NU; ++j) {
    state->applied[j] =
        finite(u[j]) ? clamp(u[j], model->u_low[j], model->u_high[j]) : model->u_safe[j];
  }
{% if terminal %}
  fill(state->last_input, NEVER, NU);
{% endif %}
  normalise(model, state);
{% if measured %}
  for (j = 0u; j < NM; ++j) {
    state->last_measured[j] = normalised_measured(model, model->measured_rest[j], j);
  }
  fill(state->measured, R(0.0), FORESEEN * NM);
  (void)take_measured(model, state, measured, &changed);
  copy(v, state->last_input, NU);
  copy(&v[NU], state->last_measured, NM);
{% endif %}
  copy(state->chi, model->start, NCHI);
  for (k = 0u; k < REST_SAMPLES; ++k) {
    real held[NCHI], moved = R(0.0);
    copy(held, state->chi, NCHI);
    advance_chi(model, state->chi, @rest@, NULL);
    for (j = 0u; j < NCHI; ++j) {
      moved = maximum(moved, magnitude(state->chi[j] - held[j]));
    }
    if (moved <= REST_TOLERANCE) {
      break;
    }
  }
  start_observer(model, state, @rest@);
  forget_measurement(state);
#if KALMAN
  /* the mismatch is that of a disturbance which has long been there */
  for (k = 0u; k < COVARIANCE_SAMPLES; ++k) {
    propagate_covariance(model, state, @rest@, stage);
  }
#endif
  (void)measurement_update(model, state, NULL, y, R(1.0));
  forget_measurement(state); /* the first step may bring this measurement once more */
  output(model, state->chi, state->reference);
  for (j = 0u; j < NY; ++j) {
    state->reference[j] =
        model->y_mid[j] + model->y_span[j] * (state->reference[j] + state->disturbance[j]);
  }
  start_plan(state);
  set_turn(model, state, READY);
  return 0u;
}

/* Everything that needs no measurement of the outputs; where it is prepare's turn. */
{% if measured %}
static void begin_sample(const context *c, const real *measured) {
  state_t *state = c->state;
  bool changed;
{% else %}
static void begin_sample(const context *c) {
  state_t *state = c->state;
{% endif %}
  uint32_t turn = claim(c->model, state);
  if (turn == READY || turn == PREPARED) {
    state->status = check_state(c->model, state, c->work);
{% if measured %}
    if (measured != NULL) {
      (void)take_measured(c->model, state, measured, &changed); /* before the one linearisation */
    }
{% endif %}
    linearise(c);
    c->work->owner = state;
    turn = PREPARED;
  }
  set_turn(c->model, state, turn);
}

void @name@_prepare(const model_t *model, state_t *state, work_t *work) {
  const context c = {model, state, work, NULL, 0u};
  begin_sample(&c@", NULL" | raw if measured else ""@);
}

{# R2: a call out of turn, on scratch that others wrote, or within another one, keeps the input in force #}
/* Is the scratch one that prepare left for this state? What it counts must fit its arrays. */
static bool prepared(const state_t *state, const work_t *work) {
  bool fits = work->owner == state && work->count <= NV;
  uint32_t k;
  for (k = 0u; fits && k < work->count; ++k) {
    fits = work->active[k] < ROWS;
  }
  return fits;
}

{# R4: a setpoint that is not finite leaves the last valid one #}
{# R7: a solve that fails leaves the last good plan, then the way to the safe input #}
{% if measured %}
uint32_t @name@_feedback(const model_t *model, state_t *state, work_t *work, const real y[NY],
                         const real reference[REFERENCES * NY], const real measured[FORESEEN * NM],
                         real u[NU]) {
  bool changed;
{% else %}
uint32_t @name@_feedback(const model_t *model, state_t *state, work_t *work, const real y[NY],
                         const real reference[REFERENCES * NY], real u[NU]) {
{% endif %}
  context c = {model, state, work, &reference[@NAME@_SHARED * NY], REFERENCES > 1 ? NY : 0u};
  uint32_t j, status, turn;
  turn = claim(model, state);
  if (turn != PREPARED || !prepared(state, work)) {
    const bool begun = turn < ASLEEP;
    set_turn(model, state, turn);
    for (j = 0u; j < NU; ++j) {
      u[j] = begun ? clamp(state->applied[j], model->u_low[j], model->u_high[j]) : model->u_safe[j];
    }
    return begun ? @NAME@_OUT_OF_ORDER : @NAME@_REFUSED;
  }
  status = state->status;
{% if measured %}
  j = take_measured(model, state, measured, &changed);
  if (changed) {
    linearise(&c); /* along the same plan, under what is measured now */
  }
{% endif %}
#if KALMAN
  status |= measurement_update(model, state, work, y, R(1.0));
#else
  status |= measurement_update(model, state, work, y, status != 0u ? R(1.0) : model->observer_gain);
#endif
{% if alarm %}
#if ALARM
  status |= compare(model, state, y);
#endif
{% endif %}
{% if measured %}
  status |= j;
{% endif %}
  for (j = 0u; j < REFERENCES * NY; ++j) {
    if (!finite(reference[j])) {
      c.reference = state->reference;
      c.stride = 0u;
      status |= @NAME@_SETPOINT_INVALID;
    }
  }
  copy(state->reference, c.reference, NY);
{% if terminal %}
  status |= find_target(&c);
{% endif %}
  j = plan_ahead(&c);
  status |= j;
{% if blocked %}
  choose_plan(&c, (j & @NAME@_SOLVE_FAILED) != 0u);
{% endif %}
{% if not terminal %}
  if ((j & @NAME@_SOLVE_FAILED) == 0u) {
    state->failures = 0u;
  } else if (state->failures < N) {
    state->failures = state->failures + 1u;
  } else {
    status |= @NAME@_SAFE_INPUT;
    for (j = 0u; j < NV; ++j) {
      state->plan[j] = safe_input(model, j % NU);
    }
    project(&c, state->plan);
  }
{% endif %}
{% if monitor %}
#if MONITOR > 0
  if (may_leave(&c)) {
    status |= @NAME@_UNSAFE_PLAN;
    for (j = 0u; j < NV; ++j) {
      state->plan[j] = safe_input(model, j % NU);
    }
    project(&c, state->plan);
    simulate(&c, state->plan, work->outputs);
  }
#endif
{% endif %}
  for (j = 0u; j < NU; ++j) {
    const real near =
        clamp(model->u_mid[j] + model->u_span[j] * state->plan[j],
              state->applied[j] - model->max_@fall@[j], state->applied[j] + model->max_move[j]);
    /* bounds last: they hold whatever became of the state since prepare */
    u[j] = clamp(near, model->u_low[j], model->u_high[j]);
    state->applied[j] = u[j];
{% if terminal %}
    state->last_input[j] = state->plan[j];
{% endif %}
  }
  state->status = status;
  set_turn(model, state, APPLIED);
  return status;
}

void @name@_advance(const model_t *model, state_t *state, work_t *work) {
  const context c = {model, state, work, NULL, 0u};
  const real *v;
  real sum[@NW@];
  uint32_t block, i, k;
  k = claim(model, state);
  if (k != APPLIED) {
    set_turn(model, state, k);
    return;
  }
  normalise(model, state);
  v = arriving(state, state->last_input, 0u, 0u, sum);
{% if alarm %}
#if ALARM && KALMAN
  advance_chi(model, state->open_loop, v, NULL);
  output(model, state->open_loop, &state->open_outputs[state->oldest % PROBES * NY]);
#endif
{% endif %}
#if KALMAN
  time_update(model, state, v, work->stage);
#else
  advance_chi(model, state->chi, v, NULL);
  output(model, state->chi, &state->delay_buffer[state->oldest % PROBES * NY]);
  state->oldest = (state->oldest + 1u) % PROBES;
#endif
#if HISTORY > 0
  copy(state->input_history, &state->input_history[@NW@], (HISTORY - 1) * @NW@);
  copy(&state->input_history[(HISTORY - 1) * @NW@], state->last_input, NU);
{% if measured %}
  copy(&state->input_history[(HISTORY - 1) * NW + NU], state->last_measured, NM);
{% endif %}
#endif
{% if measured %}
  copy(state->measured, &state->measured[NM], (FORESEEN - 1) * NM); /* as it was foreseen */
{% endif %}
{% if blocked %}
  for (i = 0u; i < (N - 1) * NU; ++i) {
    state->closed[i] = state->closed[i + NU];
  }
{% endif %}
  for (block = 0u; block < BLOCKS; ++block) {
    const uint32_t single = START(block) + 1u == START(block + 1u) && block + 1u < BLOCKS ? 1u : 0u,
                   from = (block + single) * NU;
    for (i = 0u; i < NU; ++i) {
{% if not blocked %}
      state->plan[block * NU + i] = state->plan[from + i];
{% endif %}
      for (k = 0u; k < HARD_ROWS; k += NV) {
        state->working_set[k + block * NU + i] = state->working_set[k + from + i];
      }
    }
  }
{% if terminal %}
  for (i = 0u; i < NU; ++i) { /* the terminal law closes the plan */
{% if blocked %}
    real *last = &state->closed[(N - 1) * NU + i];
{% else %}
    real *last = &state->plan[NV - NU + i];
{% endif %}
    *last = state->target[NCHI + i] + model->eta[i] * (*last - state->target[NCHI + i]);
  }
{% endif %}
{% if blocked %}
  for (i = 0u; i < N * NU; ++i) {
    state->closed[i] = admitted(&c, state->closed, i);
  }
  for (block = 0u; block < BLOCKS; ++block) {
    copy(&state->plan[block * NU], &state->closed[START(block) * NU], NU);
  }
{% endif %}
  project(&c, state->plan);
  for (k = HARD_ROWS; k < ROWS; k += N * NY) {
    for (i = 0u; i < (N - 1u) * NY; ++i) {
      state->working_set[k + i] = state->working_set[k + i + NY];
    }
  }
  set_turn(model, state, READY);
}

{% if measured %}
uint32_t @name@_step(const model_t *model, state_t *state, work_t *work, const real y[NY],
                     const real reference[REFERENCES * NY], const real measured[FORESEEN * NM],
                     real u[NU]) {
  const context c = {model, state, work, NULL, 0u};
  uint32_t status;
  begin_sample(&c, measured);
  status = @name@_feedback(model, state, work, y, reference, measured, u);
{% else %}
uint32_t @name@_step(const model_t *model, state_t *state, work_t *work, const real y[NY],
                     const real reference[REFERENCES * NY], real u[NU]) {
  uint32_t status;
  @name@_prepare(model, state, work);
  status = @name@_feedback(model, state, work, y, reference, u);
{% endif %}
  @name@_advance(model, state, work);
  return status;
}

void @name@_predicted(const model_t *model, const state_t *state, const work_t *work,
                      real y[N * NY]) {
  uint32_t k;
  for (k = 0u; k < N * NY; ++k) {
    y[k] = model->y_mid[k % NY] +
           model->y_span[k % NY] * (work->outputs[k] + state->disturbance[k % NY]);
  }
}
