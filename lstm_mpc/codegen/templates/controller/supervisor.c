/* -- what keeps the state sound ---------------------------------------------------------------- */

/* A value `u` of input `i`, normalised. */
static real normalised(const model_t *model, real u, uint32_t i) {
  return (u - model->u_mid[i]) / model->u_span[i];
}

/* The input in force, as the program sees it. */
OUT_OF_LINE static void normalise(const model_t *model, state_t *state) {
  uint32_t j;
  for (j = 0u; j < NU; ++j) {
    state->last_input[j] = normalised(model, state->applied[j], j);
  }
}

/* The safe input, normalised. */
static real safe_input(const model_t *model, uint32_t i) {
  return normalised(model, model->u_safe[i], i);
}

/* Make anew what cannot be a state of this controller. */
static uint32_t check_state(const model_t *model, state_t *state, work_t *work) {
  const context c = {model, state, work, NULL, 0u};
  bool sound = state->oldest < PROBES, held = true;
  uint32_t j;
  for (j = 0u; j < NCHI; ++j) {
    sound = sound && magnitude(state->chi[j]) <= model->bound[j];
#if KALMAN
    sound = sound && magnitude(state->estimate[j]) <= model->bound[j];
#endif
  }
  sound = sound && all_finite(state->disturbance, NY) && all_finite(state->reference, NY) &&
          all_finite(state->delay_buffer, PROBES * WIDE);
#if KALMAN
  for (j = 0u; j < NU; ++j) {
    sound = sound && magnitude(state->estimate[NCHI + j]) <= model->max_disturbance[j];
  }
  for (j = 0u; j < NY; ++j) {
    sound = sound && state->noise_variance[j] > R(0.0) && finite(state->noise_variance[j]) &&
            finite(state->innovation_trend[j]) && finite(state->output_change[j]);
  }
  sound = sound && all_finite(state->covariance, NP * NP) && all_finite(state->innovation, NY);
#endif
#if HISTORY > 0
  for (j = 0u; j < HISTORY * NU; ++j) {
    const uint32_t i = j % NU;
    sound = sound && state->input_history[j] >= normalised(model, model->u_low[i], i) &&
            state->input_history[j] <= normalised(model, model->u_high[i], i);
  }
#endif
  for (j = 0u; j < NU; ++j) {
    const bool inside =
        state->applied[j] >= model->u_low[j] && state->applied[j] <= model->u_high[j];
    if (!inside) {
      state->applied[j] = model->u_safe[j];
    }
    held = held && inside;
  }
  normalise(model, state);
  copy(work->trial, state->plan, NV);
  project(&c, work->trial);
  for (j = 0u; j < NV; ++j) {
    held = held && state->plan[j] == work->trial[j];
  }
  if (!sound) {
    copy(state->chi, model->start, NCHI);
#if KALMAN || HISTORY > 0
    for (j = 0u; j < NU; ++j) {
      work->trial[j] = safe_input(model, j);
    }
#endif
    start_observer(model, state, work->trial);
    for (j = 0u; j < NY; ++j) {
      state->reference[j] = finite(state->reference[j]) ? state->reference[j] : model->y_mid[j];
    }
  }
  if (!sound || !held) {
    start_plan(state);
    return @NAME@_STATE_RESET;
  }
  return 0u;
}
