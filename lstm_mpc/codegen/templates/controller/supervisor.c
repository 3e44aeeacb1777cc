/* -- what keeps the state sound ---------------------------------------------------------------- */

/* A value `u` of input `i`, normalised. */
static real normalised(const model_t *model, real u, uint32_t i) {
  return (u - model->u_mid[i]) / model->u_span[i];
}

/* The input in force, as the program sees it. */
OUT_OF_LINE static void normalise(const model_t *model, state_t *state) {
  uint32_t j;
  for (j = 0u; j < NU; ++j) {
{% if terminal %}
    /* the number that was planned, so that plans cost what they did, to the bit */
    const real v = normalised(model, state->applied[j], j);
    state->last_input[j] = magnitude(v - state->last_input[j]) <= ALIKE ? state->last_input[j] : v;
{% else %}
    state->last_input[j] = normalised(model, state->applied[j], j);
{% endif %}
  }
}

/* The safe input, normalised. */
static real safe_input(const model_t *model, uint32_t i) {
  return normalised(model, model->u_safe[i], i);
}

{% if measured %}
/* A value `m` of measured input `i`, normalised. */
static real normalised_measured(const model_t *model, real m, uint32_t i) {
  return normalised(model, m, NU + i);
}

/* Take in the measured inputs, a row for each sample that is foreseen; what is not valid is taken
 * to be as it was before. What it returns is 0 or MEASURED_INVALID; `changed` says whether anything
 * is not as it was expected. */
static uint32_t take_measured(const model_t *model, state_t *state,
                              const real measured[FORESEEN * NM], bool *changed) {
  const real *before = state->last_measured;
  uint32_t k, status = 0u;
  *changed = false;
  for (k = 0u; k < FORESEEN * NM; ++k) {
    const uint32_t i = k % NM;
    real now = before[i];
    if (finite(measured[k]) && measured[k] >= model->measured_low[i] &&
        measured[k] <= model->measured_high[i]) {
      now = normalised_measured(model, measured[k], i);
    } else {
      status = @NAME@_MEASURED_INVALID;
    }
    *changed = *changed || state->measured[k] != now;
    state->measured[k] = now;
    if (i + 1u == NM) {
      before = &state->measured[k + 1u - NM];
    }
  }
  copy(state->last_measured, state->measured, NM);
  return status;
}

{% endif %}
{# R5: a state that cannot be is made anew, and a sound one is left alone #}
/* Make anew what cannot be a state of this controller. */
static uint32_t check_state(const model_t *model, state_t *state, work_t *work) {
  const context c = {model, state, work, NULL, 0u};
  /* reals before the last measurement, which may be no number */
  const uint32_t reals = (uint32_t)offsetof(state_t, last_measurement) / (uint32_t)sizeof(real);
  bool sound = state->oldest < PROBES, held = true;
{% if measured %}
  real rest[NW]; /* inputs of a rest */
{% endif %}
  uint32_t j;
  for (j = 0u; j < NCHI; ++j) {
    sound = sound && magnitude(state->chi[j]) <= model->bound[j];
{% if terminal %}
    sound = sound && magnitude(state->target[j]) <= model->bound[j];
{% endif %}
#if KALMAN
    sound = sound && magnitude(state->estimate[j]) <= model->bound[j];
#endif
  }
  sound = sound && all_finite(state->chi, reals);
#if KALMAN
  for (j = 0u; j < NU; ++j) {
    sound = sound && magnitude(state->estimate[NCHI + j]) <= model->max_disturbance[j];
  }
  for (j = 0u; j < NY; ++j) {
    sound = sound && state->noise_variance[j] > R(0.0);
  }
#endif
#if HISTORY > 0
{% if measured %}
  for (j = 0u; j < HISTORY * NW; ++j) {
    const uint32_t i = j % NW;
    const real low = i < NU ? model->u_low[i] : model->measured_low[i - NU],
               high = i < NU ? model->u_high[i] : model->measured_high[i - NU];
    sound = sound && state->input_history[j] >= normalised(model, low, i) &&
            state->input_history[j] <= normalised(model, high, i);
  }
{% else %}
  for (j = 0u; j < HISTORY * NU; ++j) {
    const uint32_t i = j % NU;
    sound = sound && state->input_history[j] >= normalised(model, model->u_low[i], i) &&
            state->input_history[j] <= normalised(model, model->u_high[i], i);
  }
{% endif %}
#endif
  for (j = 0u; j < NU; ++j) {
    const bool inside =
        state->applied[j] >= model->u_low[j] && state->applied[j] <= model->u_high[j];
    if (!inside) {
      state->applied[j] = model->u_safe[j];
    }
    held = held && inside;
  }
{% if measured %}
  for (j = 0u; j < NM; ++j) {
    const bool inside =
        state->last_measured[j] >= normalised_measured(model, model->measured_low[j], j) &&
        state->last_measured[j] <= normalised_measured(model, model->measured_high[j], j);
    if (!inside) {
      state->last_measured[j] = normalised_measured(model, model->measured_rest[j], j);
    }
    held = held && inside;
  }
  for (j = 0u; j < FORESEEN * NM; ++j) {
    const uint32_t i = j % NM;
    if (!(state->measured[j] >= normalised_measured(model, model->measured_low[i], i) &&
          state->measured[j] <= normalised_measured(model, model->measured_high[i], i))) {
      state->measured[j] = state->last_measured[i];
    }
  }
{% endif %}
  normalise(model, state);
  for (j = 0u; j < NV; ++j) {
    held = held && state->plan[j] == admitted(&c, state->plan, j);
  }
{% if blocked %}
  for (j = 0u; j < N * NU; ++j) {
    held = held && state->closed[j] == admitted(&c, state->closed, j);
  }
{% endif %}
  if (!sound) {
    copy(state->chi, model->start, NCHI);
{% if measured %}
    for (j = 0u; j < NW; ++j) {
      rest[j] = j < NU ? safe_input(model, j)
                       : normalised_measured(model, model->measured_rest[j - NU], j - NU);
    }
    start_observer(model, state, rest);
{% else %}
{% if not terminal %}
#if KALMAN || HISTORY > 0
{% endif %}
    for (j = 0u; j < NU; ++j) {
      work->trial[j] = safe_input(model, j);
    }
{% if not terminal %}
#endif
{% endif %}
    start_observer(model, state, work->trial);
{% endif %}
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
