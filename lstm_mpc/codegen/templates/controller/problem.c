/* -- the problem ------------------------------------------------------------------------------- */

OUT_OF_LINE static real before(const context *c, const real *plan, uint32_t j) {
  return j < NU ? c->state->last_input[j] : plan[j - NU];
}

{% if terminal %}
static real normalised_output(const model_t *model, real y, uint32_t i) {
  return (y - model->y_mid[i]) / model->y_span[i];
}

/* Are the setpoints of this row the last ones, for which the target stands? */
static bool is_last(const context *c, const real *row) {
  const real *last = &c->reference[N * c->stride];
  bool same = true;
  uint32_t i;
  for (i = 0u; i < NY; ++i) {
    same = same && row[i] == last[i];
  }
  return same;
}

/* How far the predicted output is from its setpoint, or from the target where that stands for it; k
 * from 0 is the sample after this one. */
{% else %}
/* How far the predicted output is from its setpoint; k from 0 is the sample after this one. */
{% endif %}
OUT_OF_LINE static real error_of(const context *c, const real outputs[N * NY], uint32_t k,
                                 uint32_t i) {
{% if terminal %}
  const real *row = &c->reference[(k + 1u) * c->stride];
  if (!(REFERENCES > 1) || is_last(c, row)) {
    return outputs[k * NY + i] - c->work->aimed[i];
  }
  return outputs[k * NY + i] + c->state->disturbance[i] - normalised_output(c->model, row[i], i);
{% else %}
  const real target =
      (c->reference[(k + 1u) * c->stride + i] - c->model->y_mid[i]) / c->model->y_span[i];
  return outputs[k * NY + i] + c->state->disturbance[i] - target;
{% endif %}
}

{% if terminal %}
{# R13: the cost of the applied plan, with its end, falls by what a sample costs #}
/* What the `end` of a plan costs, its state and last input: the terminal cost V_f, and where soft
 * bounds may be violated behind it, how far reach * root(V_f) exceeds the distance of the target
 * from them, priced. A target beyond one has no distance. */
static real end_cost(const context *c, const real end[NCHI + NU]) {
  const model_t *model = c->model;
  real sum = R(0.0);
  uint32_t j;
  for (j = 0u; j < NCHI + NU; ++j) {
    const real off = end[j] - c->state->target[j];
    sum = sum + model->end_weight[j] * off * off;
  }
  if (ROWS > HARD_ROWS) {
    const real size = root(sum);
    real behind = R(0.0);
    bool within = true;
    for (j = 0u; j < NY; ++j) {
      const real y = c->work->aimed[j] + c->state->disturbance[j],
                 gap = minimum(model->y_high[j] - y, y - model->y_low[j]);
      within = within && gap > R(0.0);
      behind = behind + model->end_price[j] * maximum(R(0.0), model->reach[j] * size - gap);
    }
    sum = within ? sum + behind : sum;
  }
  return sum;
}
{% endif %}

{% if targets %}
/* What variable `j` costs in all samples of its block, for each unit away from its target. */
static real pull_of(const context *c, uint32_t j) {
  const uint32_t block = j / NU;
  return (real)(START(block + 1u) - START(block)) * c->model->input_weight[j % NU];
}

{% endif %}
/* The cost; *roundoff becomes what an error of 1 in every sum of it would make of it. */
static real cost_of(const context *c, const real *plan, const real outputs[PREDICTED],
                    real *roundoff) {
  const model_t *model = c->model;
{% if blocked %}
  const uint32_t count = plan == c->state->closed ? N * NU : NV;
{% else %}
  const uint32_t count = NV;
{% endif %}
  real sum = R(0.0), slopes = R(0.0);
  uint32_t j, k, i;
  for (j = 0u; j < count; ++j) {
    const real move = plan[j] - before(c, plan, j);
    sum = sum + model->move_penalty[j % NU] * move * move;
{% if targets %}
    const real away = plan[j] - model->input_target[j % NU];
    sum = sum + pull_of(c, j) * away * away;
{% endif %}
  }
  for (k = 0u; k < N; ++k) {
    for (i = 0u; i < NY; ++i) {
      const real error = error_of(c, outputs, k, i),
                 y = outputs[k * NY + i] + c->state->disturbance[i];
      const real outside =
          maximum(R(0.0), y - model->y_high[i]) + maximum(R(0.0), model->y_low[i] - y);
      const real pull = model->output_weight[i] * error;
      sum = sum + pull * error + model->violation_weight[i] * outside;
      slopes = slopes + R(2.0) * magnitude(pull) +
               (outside > R(0.0) ? model->violation_weight[i] : R(0.0));
    }
  }
  *roundoff = sum + slopes;
{% if terminal %}
  return sum + end_cost(c, &outputs[N * NY]);
{% else %}
  return sum;
{% endif %}
}

/* The same, of outputs that are simulated first. */
OUT_OF_LINE static real simulated_cost(const context *c, const real *plan, real outputs[PREDICTED],
                                       real *roundoff) {
  simulate(c, plan, outputs);
  return cost_of(c, plan, outputs, roundoff);
}

/* The slope of the smooth part of the cost, into work->gradient. */
static void gradient_of(const context *c) {
  const real *plan = c->state->plan, *gain = c->work->gains;
  real *gradient = c->work->gradient;
  uint32_t j;
  for (j = 0u; j < NV; ++j) {
    const real push =
        R(2.0) * c->model->move_penalty[j % NU] * (plan[j] - before(c, plan, j));
{% if targets %}
    gradient[j] = push + R(2.0) * pull_of(c, j) * (plan[j] - c->model->input_target[j % NU]);
{% else %}
    gradient[j] = push;
{% endif %}
    if (j >= NU) {
      gradient[j - NU] = gradient[j - NU] - push;
    }
  }
  for (j = 0u; j < N * NY; ++j) {
    const uint32_t length = ROW_LENGTH(j / NY), i = j % NY;
    const real error = error_of(c, c->work->outputs, j / NY, i);
    add_scaled(gradient, R(2.0) * c->model->output_weight[i] * error, gain, length);
    gain = &gain[length];
  }
}

/* Rows of the quadratic program: bounds above, below, rates up, down, soft outputs above, below. */

/* 1 for a limit from above, -1 from below. */
OUT_OF_LINE static real sign_of(uint32_t row) {
  const uint32_t width = row < HARD_ROWS ? (uint32_t)NV : (uint32_t)(N * NY);
  return (row < HARD_ROWS ? row : row - HARD_ROWS) / width % 2u == 0u ? R(1.0) : R(-1.0);
}

/* The variable that a rate is counted from, or NV. */
static uint32_t back_of(uint32_t row) {
  return row >= BOUND_ROWS && row % NV >= NU ? row % NV - NU : (uint32_t)NV;
}

/* How much room a row has at the plan; about NEVER where it has no limit. */
OUT_OF_LINE static real room(const context *c, uint32_t row) {
  const model_t *model = c->model;
  const real sign = sign_of(row);
  const real *pair;
  real value;
  uint32_t i;
  if (row < HARD_ROWS) {
    const uint32_t at = row % NV;
    i = at % NU;
    value = c->state->plan[at];
    if (row < BOUND_ROWS) {
      pair = sign > R(0.0) ? model->v_high : model->v_low;
    } else {
{% if uneven %}
      pair = sign > R(0.0) ? model->v_move : model->v_move_down;
      return pair[i] - sign * (value - before(c, c->state->plan, at));
{% else %}
      return model->v_move[i] - sign * (value - before(c, c->state->plan, at));
{% endif %}
    }
  } else {
    const uint32_t at = (row - HARD_ROWS) % (N * NY);
    i = at % NY;
    value = c->work->outputs[at] + c->state->disturbance[i];
    pair = sign > R(0.0) ? model->y_high : model->y_low;
  }
  return sign * (pair[i] - value);
}

OUT_OF_LINE static real cap(const context *c, uint32_t row) {
  return row < HARD_ROWS ? NEVER : c->model->violation_weight[(row - HARD_ROWS) % NY];
}

/* The row presses on the gradient: gradient += price * normal */
OUT_OF_LINE static void add_price(const context *c, uint32_t row, real price) {
  const uint32_t at = (row - HARD_ROWS) % (N * NY), k = at / NY; /* only a soft row has a price */
  const uint32_t length = ROW_LENGTH(k);
  add_scaled(c->work->gradient, sign_of(row) * price,
             &c->work->gains[ROW_START(k) + at % NY * length], length);
}

/* The image J' n of a row's normal, into work->image */
OUT_OF_LINE static void image_of(work_t *work, uint32_t row) {
  real *d = work->image;
  const real *J = work->factor, sign = sign_of(row);
  fill(d, R(0.0), NV);
  if (row < HARD_ROWS) {
    const uint32_t back = back_of(row);
    add_scaled(d, sign, &J[row % NV * NV], NV);
    if (back < NV) {
      add_scaled(d, -sign, &J[back * NV], NV);
    }
  } else {
    const uint32_t at = (row - HARD_ROWS) % (N * NY), k = at / NY, length = ROW_LENGTH(k);
    const real *gain = &work->gains[ROW_START(k) + at % NY * length];
    uint32_t r;
    for (r = 0u; r < length; ++r) {
      add_scaled(d, sign * gain[r], &J[r * NV], NV);
    }
  }
}
