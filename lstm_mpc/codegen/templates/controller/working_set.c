/* -- the working set --------------------------------------------------------------------------- */

static real *column(work_t *work, uint32_t k) { return &work->a.triangle[k * (k + 1u) / 2u]; }

{# R12: what lay in the scratch before prepare does not matter #}
/* The Hessian of the stage, then J in its place: H = U'U, J = U^-1. */
static void factorise(const context *c) {
  real *H = c->work->factor, largest = R(0.0);
  const real *gain = c->work->gains;
  uint32_t i, j, k, r;
  fill(H, R(0.0), NV * NV);
  for (k = 0u; k < N; ++k) {
    for (i = 0u; i < NY; ++i) {
      for (r = 0u; r < ROW_LENGTH(k); ++r) {
        add_scaled(&H[r * NV + r], R(2.0) * c->model->output_weight[i] * gain[r], &gain[r],
                   ROW_LENGTH(k) - r);
      }
      gain = &gain[ROW_LENGTH(k)];
    }
  }
  for (j = 0u; j < NV; ++j) {
    const real push = R(2.0) * c->model->move_penalty[j % NU];
{% if targets %}
    H[j * NV + j] = H[j * NV + j] + push + R(2.0) * pull_of(c, j);
{% else %}
    H[j * NV + j] = H[j * NV + j] + push;
{% endif %}
    if (j >= NU) {
      H[(j - NU) * NV + j - NU] = H[(j - NU) * NV + j - NU] + push;
      H[(j - NU) * NV + j] = H[(j - NU) * NV + j] - push;
    }
  }
  for (j = 0u; j < NV; ++j) {
    largest = maximum(largest, H[j * NV + j]);
  }
  for (r = 0u; r < NV; ++r) { /* row r of U, and what it leaves of the rows below */
    real *row = &H[r * NV];
    const real scale = R(1.0) / root(maximum(row[r] + DAMPING * largest, DAMPING * largest));
    row[r] = scale; /* of J already */
    for (j = r + 1u; j < NV; ++j) {
      row[j] = row[j] * scale;
    }
    for (j = r + 1u; j < NV; ++j) {
      add_scaled(&H[j * NV + j], -row[j], &row[j], NV - j);
    }
  }
  for (r = NV; r > 0u; --r) { /* row r of J from those below it */
    real *row = &H[(r - 1u) * NV], *U = c->work->scratch;
    copy(U, row, NV);
    fill(row, R(0.0), NV);
    row[r - 1u] = U[r - 1u];
    for (j = r; j < NV; ++j) {
      add_scaled(&row[j], -U[j] * U[r - 1u], &H[j * NV + j], NV - j);
    }
  }
}

/* Take a row in, whose image J'n lies in work->image; false when its normal depends on those that
 * are in. */
OUT_OF_LINE static bool enter(work_t *work, uint32_t row) {
  const uint32_t q = work->count;
  real *d = work->image, *R_q = column(work, q);
  real square, head, share;
  uint32_t j;
  if (q >= NV) {
    return false;
  }
  square = dot(&d[q], &d[q], NV - q);
  if (!(square > DEPENDENT * (square + dot(d, d, q)))) {
    return false;
  }
  head = root(square);
  if (d[q] > R(0.0)) {
    head = -head;
  }
  copy(R_q, d, q);
  R_q[q] = head;
  share = R(1.0) / (square - head * d[q]); /* 2 / |d - head e1|^2 */
  d[q] = d[q] - head;
  for (j = 0u; j < NV; ++j) {
    real *J = &work->factor[j * NV + q];
    add_scaled(J, -share * dot(J, &d[q], NV - q), &d[q], NV - q);
  }
  work->active[q] = (uint16_t)row;
  work->count = q + 1u;
  return true;
}

/* Let the row at `place` go: R moves up by one column, and rotations make it a triangle again. */
static void leave(work_t *work, uint32_t place) {
  real *cosine = work->image, *sine = work->trial, *moved = work->scratch;
  const uint32_t last = work->count - 1u;
  uint32_t j, k;
  for (k = place; k < last; ++k) {
    real length;
    copy(moved, column(work, k + 1u), k + 2u);
    for (j = place; j < k; ++j) {
      const real a = moved[j], b = moved[j + 1u];
      moved[j] = cosine[j] * a + sine[j] * b;
      moved[j + 1u] = cosine[j] * b - sine[j] * a;
    }
    length = root(moved[k] * moved[k] + moved[k + 1u] * moved[k + 1u]);
    cosine[k] = moved[k] / length;
    sine[k] = moved[k + 1u] / length;
    moved[k] = length;
    copy(column(work, k), moved, k + 1u);
    for (j = 0u; j < NV; ++j) {
      real *J = &work->factor[j * NV + k];
      const real a = J[0], b = J[1];
      J[0] = cosine[k] * a + sine[k] * b;
      J[1] = cosine[k] * b - sine[k] * a;
    }
    work->active[k] = work->active[k + 1u];
    work->multiplier[k] = work->multiplier[k + 1u];
  }
  work->count = last;
}

/* x = R^-1 x on the working set */
OUT_OF_LINE static void solve_triangle(work_t *work, real x[NV]) {
  uint32_t k;
  for (k = work->count; k > 0u; --k) {
    const real *R_k = column(work, k - 1u);
    x[k - 1u] = x[k - 1u] / R_k[k - 1u];
    add_scaled(x, -x[k - 1u], R_k, k - 1u);
  }
}

/* The step that is best on the working set, and the multipliers of its rows. */
static void solve_on_set(const context *c) {
  work_t *work = c->work;
  real *w = work->scratch, *slope = work->image;
  const uint32_t q = work->count;
  uint32_t j, k;
  fill(slope, R(0.0), NV);
  for (j = 0u; j < NV; ++j) {
    add_scaled(slope, work->gradient[j], &work->factor[j * NV], NV);
  }
  for (k = 0u; k < q; ++k) {
    const real *R_k = column(work, k);
    w[k] = (room(c, work->active[k]) - dot(R_k, w, k)) / R_k[k];
    work->multiplier[k] = -(w[k] + slope[k]);
  }
  for (k = q; k < NV; ++k) {
    w[k] = -slope[k];
  }
  for (j = 0u; j < NV; ++j) {
    work->step[j] = dot(&work->factor[j * NV], w, NV);
  }
  solve_triangle(work, work->multiplier);
}

/* Drop the row at `place`, whose multiplier came to its end; at its cap it pushes on. */
OUT_OF_LINE static void release_row(const context *c, uint32_t place, bool capped) {
  const uint32_t row = c->work->active[place];
  if (capped) {
    add_price(c, row, cap(c, row));
  }
  c->state->working_set[row] = capped ? CAPPED : FREE;
  leave(c->work, place);
}
