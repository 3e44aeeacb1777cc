/* -- the plan, by sequential quadratic programming --------------------------------------------- */

static void clear_working_set(state_t *state) {
  uint32_t j;
  for (j = 0u; j < ROWS; ++j) {
    state->working_set[j] = FREE;
  }
}

OUT_OF_LINE static void start_plan(state_t *state) {
  uint32_t j;
  for (j = 0u; j < NV; ++j) {
    state->plan[j] = state->last_input[j % NU];
  }
{% if blocked %}
  for (j = 0u; j < N * NU; ++j) {
    state->closed[j] = state->last_input[j % NU];
  }
{% endif %}
  clear_working_set(state);
  state->failures = 0u;
}

{# R1: the input is a number within bounds and rates, whatever comes #}
/* Variable `j` of a plan, brought into bounds and next to the one before it. */
OUT_OF_LINE static real admitted(const context *c, const real *plan, uint32_t j) {
  const uint32_t i = j % NU;
  const real from = before(c, plan, j);
  return clamp(plan[j], maximum(c->model->v_low[i], from - c->model->v_@fall@[i]),
               minimum(c->model->v_high[i], from + c->model->v_move[i]));
}

/* `plan` brought into bounds and rates, block after block. */
OUT_OF_LINE static void project(const context *c, real plan[NV]) {
  uint32_t j;
  for (j = 0u; j < NV; ++j) {
    plan[j] = admitted(c, plan, j);
  }
}

{% if terminal %}
{# R8: no plan costs more than the one before it #}
/* As far towards the admissible plan next to plan + step as the cost does not rise. `taken` becomes
 * the size of what was gone, 0 where the cost rises all the way, `wanted` the whole size. On the
 * `first` pass a filter may have corrected the cost to beat to first order: it is computed anew
 * before a step is given up. A status other than 0: there were no numbers. */
{% else %}
{# R8: no plan costs more than the one before it, but for a step within the tolerance #}
/* As far towards the admissible plan next to plan + step as the cost does not rise. A step within
 * the tolerance, of a `complete` program, is not tried: the next linearisation is its test. `taken`
 * becomes the size of what was gone, 0 where the cost rises all the way, `wanted` the whole size.
 * On the `first` pass a filter may have corrected the cost to beat to first order: it is computed
 * anew before a step is given up. A status other than 0: there were no numbers. */
{% endif %}
static uint32_t line_search(const context *c, bool first, bool complete, real *taken,
                            real *wanted) {
  state_t *state = c->state;
  work_t *work = c->work;
  real size = R(0.0), cost = work->cost, roundoff;
  bool accepted;
  uint32_t j, k;
  *taken = R(0.0);
  copy(work->trial, state->plan, NV);
  add_scaled(work->trial, R(1.0), work->step, NV);
  if (!all_finite(work->trial, NV)) {
    return @NAME@_SOLVE_FAILED;
  }
  project(c, work->trial);
  for (j = 0u; j < NV; ++j) {
    work->step[j] = work->trial[j] - state->plan[j];
    size = maximum(size, magnitude(work->step[j]));
  }
  *wanted = size;
{% if terminal %}
  accepted = false;
  if (complete && size <= R(0.001) * c->model->tolerance) {
    return 0u; /* not worth a trial: the plan stays, which the terminal law leads on */
  }
{% else %}
  accepted = complete && size <= c->model->tolerance;
  if (accepted) {
    predict(c);
    cost = cost_of(c, work->trial, work->trial_outputs, &roundoff);
  }
{% endif %}
  for (k = 0u; k <= c->model->line_search_steps && !accepted; ++k) {
    if (k > 0u) {
      size = R(0.5) * size;
      for (j = 0u; j < NV; ++j) {
        work->step[j] = R(0.5) * work->step[j];
        work->trial[j] = state->plan[j] + work->step[j];
      }
{% if terminal %}
      project(c, work->trial); /* between two plans that are admitted, but for rounding */
{% endif %}
    }
    cost = simulated_cost(c, work->trial, work->trial_outputs, &roundoff);
#if KALMAN
    if (first && cost > work->cost) {
      first = false;
      work->cost = simulated_cost(c, state->plan, work->outputs, &roundoff);
    }
#endif
{% if terminal %}
    accepted = cost <= work->cost;
    if (!accepted && cost <= work->cost + ROUNDING * roundoff) {
      *wanted = R(0.0); /* the optimum, but for rounding: the plan stays */
      break;
    }
{% else %}
    accepted = cost <= work->cost + ROUNDING * roundoff;
{% endif %}
  }
#if !KALMAN
  (void)first;
#endif
  if (accepted) {
    copy(state->plan, work->trial, NV);
    copy(work->outputs, work->trial_outputs, PREDICTED);
    work->cost = cost;
    *taken = size;
  }
  return 0u;
}

/* Linearise along the plan, factorise, and take in the rows that were active. */
static void linearise(const context *c) {
  work_t *work = c->work;
  real *gain = work->gains, sum[@NW@];
  uint32_t block, k, i, j, row;
#if KALMAN
  real moved[NY * NP]; /* what a measurement will change, on its way to the outputs */
  for (j = 0u; j < NY * NP; ++j) {
    moved[j] = short_dot(&c->model->head[j / NP * (NXI + 1u)],
                         &c->state->covariance[j % NP * NP + NCHI - NXI], NXI);
  }
  copy(work->chi, c->state->estimate, NCHI);
  for (k = 0u; k + 1u < PROBES; ++k) {
    advance_chi(c->model, work->chi, with_disturbance(c->state, delayed_input(c->state, k), sum),
                work->stage);
    for (j = 0u; j < NY; ++j) {
      propagate_slopes(work->stage, &moved[j * NP], &moved[j * NP + NCHI]);
    }
  }
#endif
  copy(work->chi, c->state->chi, NCHI);
  for (block = 0u; block < BLOCKS; ++block) {
    fill(&work->a.slope[block * NU * NCHI], R(0.0), NU * NCHI);
    for (k = START(block); k < START(block + 1u); ++k) {
      advance_chi(
          c->model, work->chi,
          with_disturbance(c->state, arriving(c->state, c->state->plan, block, k, sum), sum),
          work->stage);
      output(c->model, work->chi, &work->outputs[k * NY]);
#if KALMAN
      for (j = 0u; j < NY; ++j) {
        propagate_slopes(work->stage, &moved[j * NP], &moved[j * NP + NCHI]);
        for (i = 0u; i < NY; ++i) {
          work->measurement_gains[j * PREDICTED + k * NY + i] =
              short_dot(&c->model->head[i * (NXI + 1u)], &moved[j * NP + NCHI - NXI], NXI);
        }
      }
#endif
      for (j = 0u; j < ROW_LENGTH(k); ++j) {
        propagate_slopes(work->stage, &work->a.slope[j * NCHI],
                         arrives(block, k, j) ? &unit[NU - 1u - j % NU] : NULL);
      }
      for (i = 0u; i < NY; ++i) {
        for (j = 0u; j < ROW_LENGTH(k); ++j) {
          gain[j] = short_dot(&c->model->head[i * (NXI + 1u)],
                              &work->a.slope[j * NCHI + NCHI - NXI], NXI);
        }
        gain = &gain[ROW_LENGTH(k)];
      }
    }
  }
{% if terminal %}
  copy(&work->outputs[N * NY], work->chi, NCHI);
  copy(&work->outputs[N * NY + NCHI], &c->state->plan[NV - NU], NU);
#if KALMAN
  for (j = 0u; j < NY; ++j) {
    fill(&work->measurement_gains[j * PREDICTED + N * NY], R(0.0), NCHI + NU);
    copy(&work->measurement_gains[j * PREDICTED + N * NY], &moved[j * NP], NCHI);
  }
#endif
{% endif %}
  factorise(c);
  work->count = 0u;
  for (row = 0u; row < ROWS; ++row) {
    uint8_t *entry = &c->state->working_set[row];
    const bool real_row = room(c, row) < NEVER * R(0.5);
    if (*entry == ACTIVE && real_row) {
      image_of(work, row);
      if (!enter(work, row)) {
        *entry = FREE;
      }
    } else if (*entry != CAPPED || row < HARD_ROWS || !real_row) {
      *entry = FREE;
    } else {
      /* capped soft rows push from the start */
    }
  }
}

{# R9: the budgets end the work, and a plan that may not be the optimum has a status #}
/* The plan for this sample, and what was wrong with it. */
static uint32_t plan_ahead(const context *c) {
  const model_t *model = c->model;
  work_t *work = c->work;
  real last = R(0.0), taken = R(0.0), wanted = R(0.0);
  uint32_t status, changes = 0u;
  work->cost = cost_of(c, c->state->plan, work->outputs, &wanted);
  for (work->sqp_iterations = 1u;; ++work->sqp_iterations) {
    const bool first = work->sqp_iterations == 1u;
    bool sure;
    work->qp_iterations = 0u;
    gradient_of(c);
    status = solve_program(c);
    if (status != @NAME@_SOLVE_FAILED) {
      status |= line_search(c, first, status == 0u, &taken, &wanted);
    }
    changes += work->qp_iterations;
    if ((status & @NAME@_SOLVE_FAILED) != 0u) {
      status = first ? status : @NAME@_BUDGET; /* an earlier pass has left a good plan */
      clear_working_set(c->state); /* the guess may be what failed */
      break;
    }
    /* only the whole step of a whole program says how far the optimum is */
{% if terminal %}
    sure = status == 0u && (!(taken < wanted) || wanted <= model->tolerance);
{% else %}
    sure = status == 0u && !(taken < wanted);
{% endif %}
    /* the second is what a linear rate leaves */
    if (sure &&
        (taken <= model->tolerance || taken * taken <= model->tolerance * (last - taken))) {
      break;
    }
    if (work->sqp_iterations >= model->sqp_iterations || (status == 0u && !(taken > R(0.0)))) {
      status |= first && sure ? 0u : @NAME@_BUDGET; /* one pass may be all that was asked for */
      break;
    }
    last = taken;
    linearise(c);
  }
  work->qp_iterations = changes;
  return status;
}

{% if blocked %}
/* The plan stays only if it costs no more than the last one, shifted and closed, which knows no
 * blocks; that one is applied where it costs less, or where the solve has `failed`. */
static void choose_plan(const context *c, bool failed) {
  state_t *state = c->state;
  work_t *work = c->work;
  real cost, roundoff;
  uint32_t block, k;
  cost = simulated_cost(c, state->closed, work->trial_outputs, &roundoff);
  if (!failed && work->cost <= cost) {
    for (block = 0u; block < BLOCKS; ++block) {
      for (k = START(block); k < START(block + 1u); ++k) {
        copy(&state->closed[k * NU], &state->plan[block * NU], NU);
      }
    }
  } else {
    work->cost = cost;
    copy(work->outputs, work->trial_outputs, PREDICTED);
    copy(state->plan, state->closed, NU);
  }
}
{% endif %}
