/* -- the network ------------------------------------------------------------------------------- */

typedef struct {
  real f, i, o, c;
} gates_t;

/* The gates of one cell. `w` is its row of gate f, `next` the way to the same cell's row of the
 * next gate, `z` what the rows act on. */
static gates_t gates(const real *w, uint32_t next, const real *z, uint32_t row) {
  gates_t g;
  real f = R(0.0), i = R(0.0), o = R(0.0), c = R(0.0);
  uint32_t j;
  for (j = 0u; j < row; ++j) {
    f = f + w[j] * z[j];
    i = i + w[next + j] * z[j];
    o = o + w[2u * next + j] * z[j];
    c = c + w[3u * next + j] * z[j];
  }
  g.f = sigmoid(f);
  g.i = sigmoid(i);
  g.o = sigmoid(o);
  g.c = tanh_of(c);
  return g;
}

/* chi moves on by one sample under the normalised input `v`. With a `stage`, also its slopes: per
 * cell f, k, the row of d x+ / d [below; xi] and that of d xi+ / d [below; xi] at fixed x+, where
 * xi+ gains k times x+. */
static void advance_chi(const model_t *model, real chi[NCHI], const real v[@NW@], real *stage) {
  real z[2 * WIDEST + 1]; /* below, xi, 1 */
  const real *w = model->weights, *below = v;
  real *x = chi;
  uint32_t layer, i, j, width = @NW@;
  for (layer = 0u; layer < LAYERS; ++layer) {
    const uint32_t nx = CELLS(layer), row = width + nx + 1u, next = nx * row;
    real *xi = &x[nx];
    copy(z, below, width);
    copy(&z[width], xi, nx);
    z[row - 1u] = R(1.0);
    for (i = 0u; i < nx; ++i) {
      const gates_t g = gates(w, next, z, row);
      const real old = x[i], now = g.f * old + g.i * g.c, t = tanh_of(now);
      x[i] = now;
      xi[i] = g.o * t;
      if (stage != NULL) {
        const real df = g.f * (R(1.0) - g.f) * old, di = g.i * (R(1.0) - g.i) * g.c,
                   dc = g.i * (R(1.0) - g.c * g.c);
        const real dout = g.o * (R(1.0) - g.o) * t;
        stage[0] = g.f;
        stage[1] = g.o * (R(1.0) - t * t);
        stage = &stage[2];
        for (j = 0u; j < row - 1u; ++j) {
          stage[j] = df * w[j] + di * w[next + j] + dc * w[3u * next + j];
          stage[row - 1u + j] = dout * w[2u * next + j];
        }
        stage = &stage[2u * (row - 1u)];
      }
      w = &w[row];
    }
    w = &w[3u * next];
    below = xi;
    width = nx;
    x = &xi[nx];
  }
}

/* One row of slopes, d chi / d variable, through a stage; `push` is what the variable does to the
 * inputs now, NULL: nothing. */
OUT_OF_LINE static void propagate_slopes(const real *stage, real *x, const real *push) {
  real fresh[WIDEST];
  const real *below = push;
{% if measured %}
  uint32_t layer, i, width = NW, pushed = NU; /* what is measured, nothing here pushes */
{% else %}
  uint32_t layer, i, width = NU;
{% endif %}
  for (layer = 0u; layer < LAYERS; ++layer) {
    const uint32_t nx = CELLS(layer);
    real *xi = &x[nx];
    for (i = 0u; i < nx; ++i) {
      const real *to_x = &stage[2], *to_xi = &to_x[width + nx];
      real a = stage[0] * x[i], b = R(0.0);
      uint32_t j;
      if (below != NULL) {
        a = a + short_dot(to_x, below, @pushed@);
        b = short_dot(to_xi, below, @pushed@);
      }
      for (j = 0u; j < nx; ++j) {
        a = a + to_x[width + j] * xi[j];
        b = b + to_xi[width + j] * xi[j];
      }
      x[i] = a;
      fresh[i] = stage[1] * a + b;
      stage = &to_xi[width + nx];
    }
    copy(xi, fresh, nx);
    below = xi;
    width = nx;
{% if measured %}
    pushed = nx;
{% endif %}
    x = &xi[nx];
  }
}

OUT_OF_LINE static void output(const model_t *model, const real chi[NCHI], real y[NY]) {
  uint32_t i;
  for (i = 0u; i < NY; ++i) {
    const real *head = &model->head[i * (NXI + 1u)];
    y[i] = short_dot(head, &chi[NCHI - NXI], NXI) + head[NXI];
  }
}
