/* -- the observer ------------------------------------------------------------------------------ */

/* The observer begins at rest in state->chi under the normalised input `v`. */
OUT_OF_LINE static void start_observer(const model_t *model, state_t *state, const real v[@NW@]) {
  uint32_t k;
#if KALMAN
  copy(state->estimate, state->chi, NCHI);
  fill(&state->estimate[NCHI], R(0.0), NU);
  fill(state->covariance, R(0.0), NP * NP);
  for (k = 0u; k < NU; ++k) {
    state->covariance[(NCHI + k) * (NP + 1u)] =
        R(0.25) * model->max_disturbance[k] * model->max_disturbance[k];
  }
  copy(state->noise_variance, model->noise, NY);
  fill(state->innovation_trend, R(0.0), NY);
  fill(state->innovation, NEVER, NY);
  fill(state->output_change, R(0.0), NY);
#endif
  for (k = 0u; k < PROBES; ++k) {
#if KALMAN
    copy(&state->delay_buffer[k * @NW@], v, @NW@);
#else
    (void)v;
    output(model, state->chi, &state->delay_buffer[k * NY]);
#endif
{% if alarm %}
#if ALARM && KALMAN
    output(model, state->chi, &state->open_outputs[k * NY]);
#endif
{% endif %}
  }
{% if alarm %}
#if ALARM
  state->compared = 0u;
#if KALMAN
  copy(state->open_loop, state->chi, NCHI);
#endif
#endif
{% endif %}
#if HISTORY > 0
  for (k = 0u; k < HISTORY; ++k) {
    copy(&state->input_history[k * @NW@], v, @NW@);
  }
#endif
{% if terminal %}
  copy(state->target, state->chi, NCHI);
  copy(&state->target[NCHI], v, NU);
  fill(state->wanted, NEVER, NY);
{% endif %}
  fill(state->disturbance, R(0.0), NY);
  state->oldest = 0u;
}

#if KALMAN
/* The normalised input `k` samples after the moment that the probe speaks of. */
static const real *delayed_input(const state_t *state, uint32_t k) {
  return &state->delay_buffer[(state->oldest + k) % PROBES * @NW@];
}

/* The state now, from what the probe speaks of. */
OUT_OF_LINE static void predict_to_now(const model_t *model, state_t *state) {
  real sum[@NW@];
  uint32_t k;
  copy(state->chi, state->estimate, NCHI);
  for (k = 0u; k + 1u < PROBES; ++k) {
    advance_chi(model, state->chi, with_disturbance(state, delayed_input(state, k), sum), NULL);
  }
}

/* What the probe speaks of moves on by one sample under the input `v`, and its
 * covariance: A P A'. */
OUT_OF_LINE static void propagate_covariance(const model_t *model, state_t *state,
                                             const real v[@NW@], real stage[STAGE]) {
  real *P = state->covariance, sum[@NW@];
  uint32_t side, r, j;
  advance_chi(model, state->estimate, with_disturbance(state, v, sum), stage);
  /* each row through the stage: P A', then the same of its transpose */
  for (side = 0u; side < 2u; ++side) {
    for (r = 0u; r < NP; ++r) {
      propagate_slopes(stage, &P[r * NP], &P[r * NP + NCHI]);
    }
    for (r = 0u; r < NP; ++r) {
      for (j = 0u; j < r; ++j) {
        const real swapped = P[r * NP + j];
        P[r * NP + j] = P[j * NP + r];
        P[j * NP + r] = swapped;
      }
    }
  }
}
#endif

/* As if there had been no measurement: nothing is equal to the next one. */
OUT_OF_LINE static void forget_measurement(state_t *state) {
  uint32_t j;
#if KALMAN
  fill(state->innovation, NEVER, NY);
#endif
  for (j = 0u; j < NY; ++j) {
    state->last_measurement[j] = NEVER;
    state->unchanged[j] = 0u;
  }
}

#if KALMAN
/* Take in output `j`, measured as `y` (normalised). With `gains`, the predicted
 * `outputs` change to first order. */
static void update_output(const model_t *model, state_t *state, uint32_t j, real y, real *gains,
                          real *outputs) {
  const real *head = &model->head[j * (NXI + 1u)];
  real D[NP], *P = state->covariance, error, s;
  uint32_t r;
  for (r = 0u; r < NP; ++r) {
    D[r] = short_dot(head, &P[r * NP + NCHI - NXI], NXI);
  }
  error = y - (short_dot(head, &state->estimate[NCHI - NXI], NXI) + head[NXI]);
  s = maximum(short_dot(head, &D[NCHI - NXI], NXI), R(0.0)) + state->noise_variance[j] +
      model->delay_uncertainty * state->output_change[j] * state->output_change[j];
  if (gains != NULL) {
    add_scaled(outputs, error / s, &gains[j * PREDICTED], PREDICTED);
    for (r = j + 1u; r < NY; ++r) { /* what the others will still change */
      const real share = short_dot(&model->head[r * (NXI + 1u)], &D[NCHI - NXI], NXI) / s;
      add_scaled(&gains[r * PREDICTED], -share, &gains[j * PREDICTED], PREDICTED);
    }
  }
  add_scaled(state->estimate, error / s, D, NP);
  for (r = 0u; r < NP; ++r) {
    add_scaled(&P[r * NP], -D[r] / s, D, NP);
  }
  state->innovation_trend[j] =
      TREND_MEMORY * state->innovation_trend[j] + (R(1.0) - TREND_MEMORY) * error / root(s);
  if (magnitude(state->innovation[j]) < NEVER) {
    const real turn = error - state->innovation[j],
               seen = minimum(R(0.5) * turn * turn, R(9.0) * state->noise_variance[j]);
    state->noise_variance[j] =
        maximum(state->noise_variance[j] + VARIANCE_GAIN * (seen - state->noise_variance[j]),
                MIN_VARIANCE * model->noise[j]);
  }
  state->innovation[j] = error;
}
#endif

{% if alarm %}
#if ALARM
/* Is a measurement further from the model in open loop than its error tube is wide? One that is no
 * number is not. */
static uint32_t compare(const model_t *model, state_t *state, const real y[NY]) {
#if KALMAN
  const real *known = &state->open_outputs[state->oldest % PROBES * NY];
#else
  const real *known = &state->delay_buffer[state->oldest % PROBES * NY];
#endif
  uint32_t j, status = 0u;
  if (state->compared < @NAME@_TRANSIENT) {
    state->compared = state->compared + 1u;
    return 0u;
  }
  for (j = 0u; j < NY; ++j) {
    const real normal = (y[j] - model->y_mid[j]) / model->y_span[j];
    if (magnitude(normal - known[j]) > model->error_width[j]) {
      status = @NAME@_MODEL_ALARM;
    }
  }
  return status;
}
#endif

{% endif %}
{# R3: a measurement that is not finite, beyond the sensor or frozen is not believed #}
/* Take in the measurement, where it can be believed; `work` where outputs were predicted from what
 * was known before. */
static uint32_t measurement_update(const model_t *model, state_t *state, work_t *work,
                                   const real y[NY], real gain) {
  uint32_t j, status = 0u;
  for (j = 0u; j < NY; ++j) {
    const bool valid =
        finite(y[j]) && y[j] >= model->sensor_low[j] && y[j] <= model->sensor_high[j];
    state->unchanged[j] = y[j] == state->last_measurement[j] ? state->unchanged[j] + 1u : 0u;
    state->last_measurement[j] = y[j];
    if (valid && (model->frozen_after == 0u || state->unchanged[j] < model->frozen_after)) {
      const real normal = (y[j] - model->y_mid[j]) / model->y_span[j];
#if KALMAN
      update_output(model, state, j, normal, work != NULL ? work->measurement_gains : NULL,
                    work != NULL ? work->outputs : NULL);
#else
      const real seen = normal - state->delay_buffer[state->oldest % PROBES * NY + j];
      state->disturbance[j] = state->disturbance[j] + gain * (seen - state->disturbance[j]);
#endif
    } else {
      status |= valid ? @NAME@_MEASUREMENT_FROZEN : @NAME@_MEASUREMENT_INVALID;
#if KALMAN
      state->innovation[j] = NEVER;
#endif
    }
  }
#if KALMAN
  (void)gain;
  for (j = 0u; j < NP; ++j) {
    const real end = j < NCHI ? model->bound[j] : model->max_disturbance[j - NCHI];
    state->estimate[j] = clamp(state->estimate[j], -end, end);
  }
  predict_to_now(model, state);
#else
  (void)work;
#endif
  return status;
}

#if KALMAN
/* The filter goes to the next sample, in which the input `v` arrives. */
static void time_update(const model_t *model, state_t *state, const real v[@NW@],
                        real stage[STAGE]) {
  real y[NY], *P = state->covariance, alarm = R(0.0);
  uint32_t j;
  copy(&state->delay_buffer[(state->oldest + LAG) % PROBES * @NW@], v, @NW@);
  output(model, state->estimate, y);
  propagate_covariance(model, state, delayed_input(state, 0u), stage);
  state->oldest = (state->oldest + 1u) % PROBES;
  output(model, state->estimate, state->output_change);
  for (j = 0u; j < NY; ++j) {
    state->output_change[j] = state->output_change[j] - y[j];
    alarm = maximum(alarm, state->innovation_trend[j] * state->innovation_trend[j]);
  }
  alarm = R(1.0) + model->drift_boost *
                       maximum(R(0.0), alarm * ((R(1.0) + TREND_MEMORY) / (R(1.0) - TREND_MEMORY)) -
                                           WHITE_LEVEL);
  for (j = 0u; j < NP; ++j) {
    real *variance = &P[j * (NP + 1u)];
    if (j < NCHI) {
      *variance = *variance + model->state_noise;
    } else if (*variance <
               R(0.25) * model->max_disturbance[j - NCHI] * model->max_disturbance[j - NCHI]) {
      *variance = *variance + alarm * model->drift[j - NCHI];
    } else {
      /* as uncertain as it can be */
    }
  }
  predict_to_now(model, state);
}
#endif
