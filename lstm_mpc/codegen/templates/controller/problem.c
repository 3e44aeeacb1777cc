/* -- the problem ------------------------------------------------------------------------------- */

OUT_OF_LINE static real before(const context *c, const real plan[NV], uint32_t j) {
  return j < NU ? c->state->last_input[j] : plan[j - NU];
}

/* How far the predicted output is from its setpoint; k from 0 is the sample after this one. */
OUT_OF_LINE static real error_of(const context *c, const real outputs[N * NY], uint32_t k,
                                 uint32_t i) {
  const real target =
      (c->reference[(k + 1u) * c->stride + i] - c->model->y_mid[i]) / c->model->y_span[i];
  return outputs[k * NY + i] + c->state->disturbance[i] - target;
}

/* The cost; *roundoff becomes what an error of 1 in every sum of it would make of it. */
static real cost_of(const context *c, const real plan[NV], const real outputs[N * NY],
                    real *roundoff) {
  const model_t *model = c->model;
  real sum = R(0.0), slopes = R(0.0);
  uint32_t j, k, i;
  for (j = 0u; j < NV; ++j) {
    const real move = plan[j] - before(c, plan, j);
    sum = sum + model->move_penalty[j % NU] * move * move;
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
  return sum;
}

/* The slope of the smooth part of the cost, into work->gradient. */
static void gradient_of(const context *c) {
  const real *plan = c->state->plan, *gain = c->work->gains;
  real *gradient = c->work->gradient;
  uint32_t j;
  for (j = 0u; j < NV; ++j) {
    const real push =
        R(2.0) * c->model->move_penalty[j % NU] * (plan[j] - before(c, plan, j));
    gradient[j] = push;
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
      return model->v_move[i] - sign * (value - before(c, c->state->plan, at));
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
