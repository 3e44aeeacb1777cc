#if MONITOR > 0
/* -- the monitor ------------------------------------------------------------------------------- */

/* Where may the model go under the plan? Boxes, pairs of lower and upper ends, are carried through
 * the network: sums with the end that the sign of a weight asks for, sigmoid and tanh at their
 * ends, for they rise.
 *
 * Rounded outwards: model->slack is more than the rounding of any one of these operations. All they
 * work on is bounded, gates by 1, states by model->bound, inputs by model->radius, so one absolute
 * number does. A sum of m products whose terms have the sizes t_k errs by less than
 * 2 (m + 7) eps sum t_k, the scaling of inputs included, a gate by 8 eps,
 * a state by 4 eps (1 + bound). */
enum { STATES = NCHI + NU }; /* with the disturbances behind the states */

/* The ends of w z + b, z in boxes; b stands behind w. */
OUT_OF_LINE static void sum_of(const model_t *model, const real *w, const real *z, uint32_t count,
                               real end[2]) {
  real low = R(0.0) - model->slack, high = model->slack;
  for (; count > 0u; --count) {
    const uint32_t falls = w[0] < R(0.0) ? 1u : 0u;
    low = low + w[0] * z[falls];
    high = high + w[0] * z[1u - falls];
    w = &w[1];
    z = &z[2];
  }
  end[0] = low + w[0];
  end[1] = high + w[0];
}

/* The end on one `side` of a product of the box `gate`, whose values are never negative, and
 * a box with the end `b` on that side. */
OUT_OF_LINE static real product(const real gate[2], real b, uint32_t side) {
  return gate[b < R(0.0) ? 1u - side : side] * b;
}

/* The states in the boxes `x` move on by one sample. `z` has room for all that a layer
 * reads: before, the inputs; after, what the last layer gives. */
static void advance_box(const model_t *model, real *x, real *z) {
  const real out[2] = {-model->slack, model->slack}, *w = model->weights;
  uint32_t layer, i, j, side, width = @NW@;
  for (layer = 0u; layer < LAYERS; ++layer) {
    const uint32_t nx = CELLS(layer), row = width + nx + 1u;
    copy(&z[2u * width], &x[2u * nx], 2u * nx);
    for (i = 0u; i < nx; ++i) {
      real gate[8];
      for (j = 0u; j < 4u; ++j) {
        sum_of(model, &w[j * nx * row], z, row - 1u, &gate[2u * j]);
      }
      for (j = 0u; j < 8u; ++j) {
        const real scale = j < 6u ? R(0.5) : R(1.0); /* sigmoid, but of the candidate tanh */
        gate[j] = (R(1.0) - scale) + scale * tanh_of(scale * gate[j]) + out[j % 2u];
      }
      for (side = 0u; side < 2u; ++side) {
        real *end = &x[2u * i + side];
        end[0] = product(gate, end[0], side) + product(&gate[2], gate[6u + side], side) + out[side];
        end[2u * nx] = product(&gate[4], tanh_of(end[0]) + out[side], side) + out[side];
      }
      w = &w[row];
    }
    w = &w[3u * nx * row];
    copy(z, &x[2u * nx], 2u * nx);
    x = &x[4u * nx];
    width = nx;
  }
}

/* The box of the states where the probe speaks: the estimate and what it may be off. */
static void possible(const model_t *model, const state_t *state, real *chi) {
  uint32_t j;
#if KALMAN
  for (j = 0u; j < NP; ++j) {
    const real end = j < NCHI ? model->bound[j] : model->max_disturbance[j - NCHI],
               spread = DEVIATIONS * root(state->covariance[j * (NP + 1u)]);
    chi[2u * j] = clamp(state->estimate[j] - spread, -end, end);
    chi[2u * j + 1u] = clamp(state->estimate[j] + spread, -end, end);
  }
#else
  (void)model;
  for (j = 0u; j < 2 * STATES; ++j) {
    chi[j] = j < 2 * NCHI ? state->chi[j / 2u] : R(0.0);
  }
#endif
}

/* May an output leave the safe set within the next MONITOR samples? */
OUT_OF_LINE static bool may_leave(const context *c) {
  const model_t *model = c->model;
  const state_t *state = c->state;
  const uint32_t passed = KALMAN ? (uint32_t)LAG : 0u; /* samples since the probe spoke */
  real chi[2 * STATES], z[4 * WIDEST], sum[@NW@], y[2];
  uint32_t block = 0u, k, j;
  bool inside = true;
  possible(model, state, chi);
  for (k = 0u; k < passed + MONITOR; ++k) {
    const real *input = sum;
#if KALMAN
    if (k < passed) {
      input = delayed_input(state, k);
    } else
#endif
    {
      block = block + (START(block + 1u) <= k - passed ? 1u : 0u);
      input = arriving(state, state->plan, block, k - passed, sum);
    }
    for (j = 0u; j < 2 * @NW@; ++j) {
      z[j] = input[j / 2u];
    }
    add_scaled(z, R(1.0), &chi[2 * NCHI], 2 * NU);
    advance_box(model, chi, z);
    for (j = 0u; k >= passed && j < NY; ++j) {
      sum_of(model, &model->head[j * (NXI + 1u)], z, NXI, y);
      inside = inside && y[0] + state->disturbance[j] >= model->safe_low[j] &&
               y[1] + state->disturbance[j] <= model->safe_high[j];
    }
  }
  return !inside;
}
#endif
