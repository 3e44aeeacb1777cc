#ifdef @NAME@_RETUNE
/* -- other limits and weights at run time ------------------------------------------------------ */

/* Does `low` <= `high` hold, or `low` < `high` where they are `apart`? Not for what is no number. */
static bool ordered(real low, real high, bool apart) { return apart ? low < high : low <= high; }

/* Where the program has no rows for a limit, only one that nothing reaches will do. */
#define LEAST_MOVE (HARD_ROWS > BOUND_ROWS ? R(0.0) : NEVER * R(0.5))
#define LEAST_HIGH (ROWS > HARD_ROWS ? -NEVER : NEVER * R(0.5))

{# R11: what changes at run time is checked, and kept from the next sample on #}
/* Within what the certificates hold for and the program has rows for, and the input in force? */
static bool tunable(const model_t *model, const state_t *state, const @name@_tuning *t) {
  real weight = R(0.0), outside = R(0.0);
  bool good = true;
  uint32_t i;
#if KALMAN
  for (i = 0u; i < NU; ++i) {
    outside = maximum(outside, model->max_disturbance[i]);
  }
#endif
  for (i = 0u; i < NU; ++i) {
    const real reach = (model->radius - outside) * (R(1.0) + ROUNDING);
    good = good && ordered(t->u_low[i], t->u_high[i], true) &&
           magnitude(normalised(model, t->u_low[i], i)) <= reach &&
           magnitude(normalised(model, t->u_high[i], i)) <= reach &&
           ordered(t->u_low[i], t->u_safe[i], false) && ordered(t->u_safe[i], t->u_high[i], false) &&
           ordered(t->u_low[i], state->applied[i], false) &&
           ordered(state->applied[i], t->u_high[i], false) &&
           ordered(LEAST_MOVE, t->max_move[i], true) &&
{% if uneven %}
           ordered(LEAST_MOVE, t->max_move_down[i], true) &&
{% endif %}
{% if targets %}
           finite(t->input_target[i]) && ordered(R(0.0), t->input_weight[i], false) &&
           finite(t->input_weight[i]) &&
{% endif %}
           ordered(R(0.0), t->move_penalty[i], false) && finite(t->move_penalty[i]);
    weight = weight + t->move_penalty[i];
  }
  for (i = 0u; i < NY; ++i) {
    good = good && ordered(t->y_low[i], t->y_high[i], true) &&
           ordered(LEAST_HIGH, t->y_high[i], false) && ordered(t->y_low[i], -LEAST_HIGH, false) &&
           ordered(R(0.0), t->output_weight[i], false) && finite(t->output_weight[i]) &&
           ordered(R(0.0), t->violation_weight[i], false) && finite(t->violation_weight[i]);
    weight = weight + t->output_weight[i];
  }
  return good && weight > R(0.0);
}

/* A limit that nothing reaches stays one. */
static real within_never(real x) { return clamp(x, -NEVER, NEVER); }

uint32_t @name@_retune(model_t *model, state_t *state, const @name@_tuning *t) {
  const context c = {model, state, NULL, NULL, 0u};
  const uint32_t turn = claim(model, state);
  uint32_t i, status = 0u;
  if (turn >= ASLEEP || @name@_verify(model) != 0u) {
    status = @NAME@_REFUSED;
  } else if (turn != READY && turn != PREPARED) {
    status = @NAME@_OUT_OF_ORDER;
  } else if (!tunable(model, state, t)) {
    status = @NAME@_REFUSED;
  } else {
    for (i = 0u; i < NU; ++i) {
      const real span = model->u_span[i],
                 largest = maximum(magnitude(t->u_low[i]), magnitude(t->u_high[i]));
      model->u_low[i] = t->u_low[i];
      model->u_high[i] = t->u_high[i];
      model->u_safe[i] = t->u_safe[i];
      /* an input plus a move is rounded: a unit in the last place less */
      model->max_move[i] = maximum(within_never(t->max_move[i]) - largest * LAST_PLACE, R(0.0));
{% if uneven %}
      model->max_move_down[i] =
          maximum(within_never(t->max_move_down[i]) - largest * LAST_PLACE, R(0.0));
      model->v_move_down[i] = within_never(t->max_move_down[i] / span);
{% endif %}
      model->v_low[i] = normalised(model, t->u_low[i], i);
      model->v_high[i] = normalised(model, t->u_high[i], i);
      model->v_move[i] = within_never(t->max_move[i] / span);
      model->move_penalty[i] = t->move_penalty[i] * span * span;
{% if targets %}
      model->input_target[i] = normalised(model, t->input_target[i], i);
      model->input_weight[i] = t->input_weight[i] * span * span;
{% endif %}
    }
    for (i = 0u; i < NY; ++i) {
      const real mid = model->y_mid[i], span = model->y_span[i];
      model->y_low[i] = within_never((t->y_low[i] - mid) / span);
      model->y_high[i] = within_never((t->y_high[i] - mid) / span);
      model->output_weight[i] = t->output_weight[i] * span * span;
      model->violation_weight[i] = t->violation_weight[i] * span;
    }
    model->crc = crc_of(model);
    normalise(model, state);
    project(&c, state->plan);
    set_turn(model, state, READY);
    return 0u;
  }
  set_turn(model, state, turn);
  return status;
}
#endif
