/* -- the target ---------------------------------------------------------------------------------- */

{# R13: the cost of the applied plan, with its end, falls by what a sample costs #}
/* On to the steady state whose output is the last setpoint, or as near as the bounds allow, by
 * Newton's method from the last target; one that has come to rest stays to the bit. I - A is an
 * H-matrix wherever the model is incrementally stable by its witness, so that it is eliminated
 * without pivots. Steps of the inputs may reach over half of what those before them could, so that
 * they end. What is returned is 0 or OUT_OF_REACH. */
static uint32_t find_target(const context *c) {
  const model_t *model = c->model;
  work_t *work = c->work;
  real *chi = c->state->target, *v = &chi[NCHI], *rows = work->steady, share = R(1.0);
  real *rest = &rows[(NCHI + NU) * NCHI], wanted[NY], arriving_now[@NW@];
  uint32_t turn, i, j, r;
{% if measured %}
  bool found = false, met = true; /* what is measured may have changed */
{% else %}
  bool found = true, met = true;
{% endif %}
  real size;
  for (i = 0u; i < NY; ++i) {
    wanted[i] = normalised_output(model, c->reference[N * c->stride + i], i) -
                c->state->disturbance[i];
    found = found && wanted[i] == c->state->wanted[i];
  }
#if KALMAN
  for (j = 0u; j < NU; ++j) { /* what arrives there stays, where the bounds allow */
    const real free = c->state->steady_input[j] - c->state->estimate[NCHI + j];
    v[j] = clamp(free, model->v_low[j], model->v_high[j]);
    found = found && v[j] == free;
  }
#endif
  size = found ? R(0.0) : NEVER;
  for (turn = 0u; turn < TARGET_STEPS && size > NEAR; ++turn) { /* the next one would be a square */
    real gain[NY * NU], error[NY], step[NU];
    size = R(0.0);
    copy(arriving_now, v, NU);
{% if measured %}
    copy(&arriving_now[NU], &c->state->measured[(FORESEEN - 1) * NM], NM);
{% endif %}
    copy(rest, chi, NCHI);
    advance_chi(model, rest, with_disturbance(c->state, arriving_now, arriving_now), work->stage);
    /* the columns of I - A, B and f(chi) - chi, one after the other */
    fill(rows, R(0.0), (NCHI + NU) * NCHI);
    for (j = 0u; j < NCHI; ++j) {
      rows[j * (NCHI + 1u)] = R(-1.0);
      propagate_slopes(work->stage, &rows[j * NCHI], NULL);
      rows[j * (NCHI + 1u)] = rows[j * (NCHI + 1u)] + R(1.0);
    }
    for (j = 0u; j < NU; ++j) {
      propagate_slopes(work->stage, &rows[(NCHI + j) * NCHI], &unit[NU - 1u - j]);
    }
    add_scaled(rest, R(-1.0), chi, NCHI);
    for (r = 0u; r < NCHI; ++r) {
      const real *pivot = &rows[r * NCHI];
      for (j = r + 1u; j <= NCHI + NU; ++j) {
        real *row = &rows[j * NCHI];
        const real factor = row[r] / pivot[r];
        add_scaled(row, -factor, pivot, NCHI);
        row[r] = factor;
      }
    }
    add_scaled(rest, R(1.0), chi, NCHI); /* the steady state under this input */
    output(model, rest, error);
    for (i = 0u; i < NY; ++i) {
      error[i] = wanted[i] - error[i];
      for (j = 0u; j < NU; ++j) {
        gain[i * NU + j] = short_dot(&model->head[i * (NXI + 1u)],
                                     &rows[(NCHI + j) * NCHI + NCHI - NXI], NXI);
      }
    }
    fill(step, R(0.0), NU);
    for (r = 0u; r < TARGET_SWEEPS; ++r) {
      for (j = 0u; j < NU; ++j) {
        const real reach = share * (model->v_high[j] - model->v_low[j]);
        real slope = model->pull * (safe_input(model, j) - v[j] - step[j]), bend = model->pull;
        for (i = 0u; i < NY; ++i) {
          const real weighted = model->output_weight[i] * gain[i * NU + j];
          slope = slope + weighted * (error[i] - short_dot(&gain[i * NU], step, NU));
          bend = bend + weighted * gain[i * NU + j];
        }
        step[j] = clamp(step[j] + slope / bend, maximum(model->v_low[j] - v[j], -reach),
                        minimum(model->v_high[j] - v[j], reach));
      }
    }
    for (j = 0u; j < NU; ++j) {
      size = maximum(size, magnitude(step[j]));
      add_scaled(rest, step[j], &rows[(NCHI + j) * NCHI], NCHI);
    }
    for (j = 0u; j < NCHI; ++j) {
      rest[j] = clamp(rest[j], -model->bound[j], model->bound[j]);
      size = maximum(size, magnitude(rest[j] - chi[j]));
    }
    if (size > STEADY) {
      copy(chi, rest, NCHI);
      for (j = 0u; j < NU; ++j) {
        v[j] = clamp(v[j] + step[j], model->v_low[j], model->v_high[j]);
      }
    }
    share = R(0.5) * share;
  }
#if KALMAN
  copy(c->state->steady_input, v, NU);
  add_scaled(c->state->steady_input, R(1.0), &c->state->estimate[NCHI], NU);
#endif
  output(model, chi, work->aimed);
  for (i = 0u; i < NY; ++i) {
    met = met && magnitude(work->aimed[i] - wanted[i]) <= REACHED;
  }
  copy(c->state->wanted, wanted, NY);
  if (!(size <= STEADY && met)) {
    c->state->wanted[0] = NEVER; /* go on in the next sample */
  }
  return met ? 0u : @NAME@_OUT_OF_REACH;
}
