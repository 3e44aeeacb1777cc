/* -- the quadratic program --------------------------------------------------------------------- */

/* What worst_row looks for: the largest violation so far, and whose it is. */
typedef struct {
  real violation;
  uint32_t row;
} worst;

/* The same limit from both sides: rows `row` and `row + apart`, `above` and `below` it. */
OUT_OF_LINE static void consider(worst *w, const uint8_t *entry, uint32_t row, uint32_t apart,
                                 real above, real below) {
  uint32_t side;
  for (side = 0u; side < 2u; ++side) {
    if (entry[row] != ACTIVE) {
      const real by = entry[row] == FREE ? above : -above;
      if (by > w->violation) {
        w->violation = by;
        w->row = row;
      }
    }
    above = below;
    row = row + apart;
  }
}

/* The outputs that the linearisation expects after the step, into work->trial_outputs. */
OUT_OF_LINE static void predict(const context *c) {
  work_t *work = c->work;
  const real *gain = work->gains;
  uint32_t place;
  for (place = 0u; place < N * NY; ++place) {
    const uint32_t length = ROW_LENGTH(place / NY);
    work->trial_outputs[place] = work->outputs[place] + dot(gain, work->step, length);
    gain = &gain[length];
  }
}

/* The most violated row: a free one outside, or a capped one inside. */
static worst worst_row(const context *c) {
  const model_t *model = c->model;
  const state_t *state = c->state;
  const real *p = c->work->step;
  worst w = {SLACK, ROWS};
  uint32_t j;
  for (j = 0u; j < NV; ++j) {
    const real at = state->plan[j] + p[j];
    const uint32_t i = j % NU;
    consider(&w, state->working_set, j, NV, at - model->v_high[i], model->v_low[i] - at);
    if (HARD_ROWS > BOUND_ROWS) {
      const real move = at - (j < NU ? state->last_input[j] : state->plan[j - NU] + p[j - NU]);
      consider(&w, state->working_set, BOUND_ROWS + j, NV, move - model->v_move[i],
               -move - model->v_@fall@[i]);
    }
  }
  if (ROWS > HARD_ROWS) {
    predict(c);
    for (j = 0u; j < N * NY; ++j) {
      const real y = c->work->trial_outputs[j] + state->disturbance[j % NY];
      consider(&w, state->working_set, HARD_ROWS + j, N * NY, y - model->y_high[j % NY],
               model->y_low[j % NY] - y);
    }
  }
  return w;
}

/* Raise (sign 1, from 0) or lower (sign -1, from its cap) the multiplier of a row until it holds,
 * or has nothing left to say. 0: done, else a status. */
static uint32_t satisfy_row(const context *c, uint32_t row, real left) {
  work_t *work = c->work;
  uint8_t *entry = &c->state->working_set[row];
  const real sign = *entry == FREE ? R(1.0) : R(-1.0), price = cap(c, row);
  real multiplier = *entry == FREE ? R(0.0) : price;
  uint32_t used, k, j;
  for (used = work->qp_iterations; used < c->model->qp_iterations; ++used) {
    real *d = work->image, *r = work->scratch;
    const uint32_t q = work->count;
    real square, length, edge = sign > R(0.0) ? price - multiplier : multiplier;
    uint32_t place = NV;
    bool capped = false, whole = false;
    work->qp_iterations = used + 1u;
    image_of(work, row);
    copy(r, d, q);
    solve_triangle(work, r);
    square = dot(&d[q], &d[q], NV - q);
    length = edge;
    if (square > DEPENDENT * (square + dot(d, d, q)) && left <= edge * square) {
      length = left / square;
      whole = true;
    }
    for (k = 0u; k < q; ++k) {
      const real falls = sign * r[k], room_k = falls > R(0.0)
                                                   ? work->multiplier[k]
                                                   : cap(c, work->active[k]) - work->multiplier[k];
      const real speed = magnitude(falls);
      if (speed > R(0.0) && maximum(room_k, R(0.0)) < length * speed) {
        length = maximum(room_k, R(0.0)) / speed;
        place = k;
        capped = !(falls > R(0.0));
      }
    }
    if (!(length < NEVER * R(0.5))) {
      return @NAME@_SOLVE_FAILED; /* rows that contradict each other, or numbers that are none */
    }
    multiplier = multiplier + sign * length;
    left = left - length * square;
    add_scaled(work->multiplier, -sign * length, r, q);
    for (j = 0u; j < NV; ++j) {
      work->step[j] = work->step[j] - sign * length * dot(&work->factor[j * NV + q], &d[q], NV - q);
    }
    if (place < NV) {
      release_row(c, place, capped);
    } else if (whole) {
      if (sign < R(0.0)) {
        add_price(c, row, -price);
      }
      work->multiplier[q] = multiplier;
      (void)enter(work, row);
      *entry = ACTIVE;
      return 0u;
    } else {
      add_price(c, row, sign * price);
      *entry = sign > R(0.0) ? CAPPED : FREE;
      return 0u;
    }
  }
  return @NAME@_BUDGET;
}

/* The quadratic program around the plan, from the guess in the working set; work->gradient holds
 * its smooth slope. */
static uint32_t solve_program(const context *c) {
  work_t *work = c->work;
  uint32_t row, k, status = 0u;
  worst w;
  for (row = HARD_ROWS; row < ROWS; ++row) {
    if (c->state->working_set[row] == CAPPED) {
      add_price(c, row, cap(c, row));
    }
  }
  for (;;) { /* a guess may want multipliers that cannot be: let those rows go, the worst first */
    real largest = R(0.0);
    uint32_t place = NV;
    solve_on_set(c);
    if (!all_finite(work->multiplier, work->count)) {
      return @NAME@_SOLVE_FAILED; /* a comparison below would take it for a good one */
    }
    for (k = 0u; k < work->count; ++k) {
      const real wrong =
          maximum(-work->multiplier[k], work->multiplier[k] - cap(c, work->active[k]));
      if (wrong > largest) {
        largest = wrong;
        place = k;
      }
    }
    if (place == NV) {
      break;
    }
    if (work->qp_iterations >= c->model->qp_iterations) {
      return @NAME@_BUDGET;
    }
    work->qp_iterations = work->qp_iterations + 1u;
    release_row(c, place, work->multiplier[place] > R(0.0));
  }
  for (w = worst_row(c); w.row < ROWS && status == 0u; w = worst_row(c)) {
    status = satisfy_row(c, w.row, w.violation);
  }
  if (status == 0u && work->qp_iterations > 0u) {
    solve_on_set(c); /* without the drift of the steps that led here */
  }
  return status;
}
