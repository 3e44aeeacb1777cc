/*
 * @name@: the algorithm. See the header for its use, README.md for what was tested and how.
 *
 * Every sample solves min over the inputs of the blocks: tracking + moves + exact L1 price of soft output bounds, within hard bounds
 * and rates, by sequential quadratic programming in the inputs alone (condensed, Gauss-Newton). The quadratic program is solved by a
 * dual active-set method after Goldfarb and Idnani with H^-1 = J J' and J' [normals of the working set] = [R; 0]; the multiplier of a
 * soft row cannot exceed its price, and a row that reaches it is released and pushes with its full price, which needs no slack variable.
 *
 * Only + - * / act on numbers, in an order that the text fixes, so that every IEEE machine computes the same bits. Compile with
 * -ffp-contract=off, and without vector units that flush small numbers to zero.
 */
#include "@name@.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __FAST_MATH__
#error "compile without -ffast-math: checks for finite numbers would vanish"
#endif

typedef @name@_real real;
typedef @name@_model model_t;
typedef @name@_state state_t;
typedef @name@_work work_t;

#define R(x) ((real)(x))

#ifdef __GNUC__
#define OUT_OF_LINE __attribute__((noinline)) /* smaller, and not slower */
#else
#define OUT_OF_LINE
#endif

enum {
  NU = @NAME@_NU,
  NY = @NAME@_NY,
  N = @NAME@_N,
  BLOCKS = @NAME@_BLOCKS,
  NV = @NAME@_NV,
  LAYERS = @NAME@_LAYERS,
  NXI = @NAME@_NXI,
  NCHI = @NAME@_NCHI,
  LAG = @NAME@_LAG,
  PROBES = LAG + 1, /* places for what is under way to the probe ... */
  LINE = @NAME@_LINE, /* samples by which the delays of the inputs differ */
#if @NAME@_KALMAN
  NP = @NAME@_NP, /* states and input disturbances */
  WIDE = NU, /* ... inputs */
#else
  WIDE = NY, /* ... outputs */
#endif
  BOUND_ROWS = 2 * NV,
  HARD_ROWS = BOUND_ROWS + @NAME@_RATE_ROWS,
  ROWS = @NAME@_ROWS
};

enum { FREE = 0, ACTIVE = 1, CAPPED = 2 };

/* Numbers of the precision, each after its cause. */
#ifdef @NAME@_DOUBLE
#define TAIL(r) \
  (R(1.0 / 40320.0) + (r) * (R(1.0 / 362880.0) + (r) * (R(1.0 / 3628800.0) + (r) * (R(1.0 / 39916800.0) + \
  (r) * (R(1.0 / 479001600.0) + (r) * R(1.0 / 6227020800.0))))))
#define TOP R(40.0) /* exp(-TOP) is nothing beside 1 */
#define DAMPING R(1e-10) /* of the Hessian, relative to its largest diagonal entry */
#define DEPENDENT R(1e-14) /* share of a normal, squared, that must lie outside the span of the working set */
#define SLACK R(1e-12) /* violation of a row that counts as none */
#define ROUNDING R(1e-15) /* error of a sum that may be round-off */
#define SETTLED R(1e-15)
#define POWER(k) ((real)(1u << ((k) / 2u)) * (real)(1u << ((k) - (k) / 2u))) /* k may exceed 31 */
#else
#define TAIL(r) R(0.0)
#define TOP R(20.0)
#define DAMPING R(1e-6)
#define DEPENDENT R(1e-9)
#define SLACK R(1e-6)
#define ROUNDING R(1e-6)
#define SETTLED R(1e-7)
#define POWER(k) ((real)(1u << (k)))
#endif
#define NEVER R(1e30) /* a number that nothing here reaches */
#define SETTLE 3000u /* samples that the observer may take to come to rest, at init only */
#define READY 0x4C53544Du
#if @NAME@_KALMAN
#define SPREAD 200u /* samples in which the covariance becomes that of a rest, at init only */
#define LEAST R(1e-4) /* variance of the noise, as a share of the declared one */
#define FADE R(0.1) /* share of what is new in it */
#define MEMORY R(0.5) /* of the trend */
#define WHITE R(2.0) /* squared trend, of white innovations 1, that is none yet */
#endif

static const uint16_t cells[LAYERS] = @NAME@_CELLS;
#define CELLS(layer) (LAYERS == 1 ? (uint32_t)NXI : (uint32_t)cells[layer]) /* a constant in one layer */
static const uint16_t starts[BLOCKS + 1] = @NAME@_STARTS; /* first sample of each block, and N */
static const uint16_t row_start[N] = @NAME@_ROW_START; /* where the gains of a sample begin; NY rows of ... */
static const uint16_t row_length[N] = @NAME@_ROW_LENGTH; /* ... this length */

/* The tables; where every sample has a block of its own, their rule. */
#define START(block) (BLOCKS == N ? (block) : (uint32_t)starts[block])
#define ROW_START(k) (BLOCKS == N ? (uint32_t)(NU * NY) * (k) * ((k) + 1u) / 2u : (uint32_t)row_start[k])
#define ROW_LENGTH(k) (BLOCKS == N ? (uint32_t)NU * ((k) + 1u) : (uint32_t)row_length[k])

#if @NAME@_LINE > 0
static const uint16_t late[NU] = @NAME@_LATE; /* by how many samples more than the quickest an input is late */
#endif

/* What a sample works on. `reference` is read with `stride`: 0 where one setpoint is held. */
typedef struct {
  const model_t *model;
  state_t *state;
  work_t *work;
  const real *reference;
  uint32_t stride;
} context;

/* -- elementary functions ------------------------------------------------------------------------------------------------------- */

static bool finite(real x) { return x - x == R(0.0); }

OUT_OF_LINE static bool all_finite(const real *x, uint32_t count) {
  for (; count > 0u; --count) {
    if (!finite(x[count - 1u])) {
      return false;
    }
  }
  return true;
}

static real magnitude(real x) { return x < R(0.0) ? -x : x; }

static real least(real a, real b) { return a < b ? a : b; }

static real most(real a, real b) { return a > b ? a : b; }

/* Within `low` and `high`, which are numbers; NaN becomes `low`. */
OUT_OF_LINE static real clamp(real x, real low, real high) { return least(most(x, low), high); }

/* tanh z = (1 - e^-a) / (1 + e^-a) with a = 2|z|, where e^-a = (1 + p) / 2^k and k log 2 is next to a. NaN counts as TOP. */
OUT_OF_LINE static real tanh_of(real z) {
  real a = R(2.0) * magnitude(z), r, p, power, t;
  uint32_t k;
  if (!(a < TOP)) {
    a = TOP;
  }
  k = (uint32_t)(a * R(1.4426950408889634) + R(0.5));
  r = (real)k * R(0.693359375) - a; /* exact: few digits, then the rest of log 2 */
  r = r + (real)k * R(-2.1219444005469058e-4);
  p = R(1.0 / 120.0) + r * (R(1.0 / 720.0) + r * (R(1.0 / 5040.0) + r * TAIL(r))); /* r + r^2/2 + ... by Horner */
  p = r * (R(1.0) + r * (R(0.5) + r * (R(1.0 / 6.0) + r * (R(1.0 / 24.0) + r * p))));
  power = POWER(k);
  t = ((power - R(1.0)) - p) / (power + (R(1.0) + p));
  return z < R(0.0) ? -t : t;
}

static real sigmoid(real z) { return R(0.5) + R(0.5) * tanh_of(R(0.5) * z); }

/* The square root by Newton's iteration, 0 for what is not positive. */
OUT_OF_LINE static real root(real x) {
  real scale = R(1.0), y;
  uint32_t j;
  if (!(x > R(0.0)) || !finite(x)) {
    return R(0.0);
  }
  for (j = 0u; j < 512u && (x >= R(4.0) || x < R(1.0)); ++j) {
    const bool large = x >= R(4.0);
    x = x * (large ? R(0.25) : R(4.0));
    scale = scale * (large ? R(2.0) : R(0.5));
  }
  y = R(0.5) + R(0.5) * x;
  for (j = 0u; j < 6u; ++j) {
    y = R(0.5) * (y + x / y);
  }
  return y * scale;
}

OUT_OF_LINE static void copy(real *to, const real *from, uint32_t count) {
  uint32_t j;
  for (j = 0u; j < count; ++j) {
    to[j] = from[j];
  }
}

OUT_OF_LINE static void fill(real *to, real value, uint32_t count) {
  uint32_t j;
  for (j = 0u; j < count; ++j) {
    to[j] = value;
  }
}

/* Short sums, of a cell: inlined. */
static real short_dot(const real *a, const real *b, uint32_t count) {
  real sum = R(0.0);
  uint32_t j;
  for (j = 0u; j < count; ++j) {
    sum = sum + a[j] * b[j];
  }
  return sum;
}

/* The two kernels that all linear algebra is made of, two terms at a time. */
OUT_OF_LINE static real dot(const real *a, const real *b, uint32_t count) {
  real sum = R(0.0);
  for (; count >= 2u; count -= 2u) {
    sum = sum + a[0] * b[0];
    sum = sum + a[1] * b[1];
    a = &a[2];
    b = &b[2];
  }
  return count > 0u ? sum + a[0] * b[0] : sum;
}

/* to += factor * from */
OUT_OF_LINE static void add_scaled(real *to, real factor, const real *from, uint32_t count) {
  for (; count >= 2u; count -= 2u) {
    to[0] = to[0] + factor * from[0];
    to[1] = to[1] + factor * from[1];
    to = &to[2];
    from = &from[2];
  }
  if (count > 0u) {
    to[0] = to[0] + factor * from[0];
  }
}

/* -- the network ---------------------------------------------------------------------------------------------------------------- */

typedef struct {
  real f, i, o, c;
} gates_t;

/* The gates of one cell. `w` is its row of gate f, `next` the way to the same cell's row of the next gate, `z` what the rows act on. */
static gates_t gates(const real *w, uint32_t next, const real *z, uint32_t row) {
  gates_t g;
  real sum[4];
  uint32_t j;
  for (j = 0u; j < 4u; ++j) {
    sum[j] = short_dot(w, z, row);
    w = &w[next];
  }
  g.f = sigmoid(sum[0]);
  g.i = sigmoid(sum[1]);
  g.o = sigmoid(sum[2]);
  g.c = tanh_of(sum[3]);
  return g;
}

/* chi moves on by one sample under the normalised input `v`. With a `stage`, also its slopes: per cell f, k, the row of
 * d x+ / d [below; xi] and that of d xi+ / d [below; xi] at fixed x+, where xi+ gains k times x+. */
static void advance_chi(const model_t *model, real chi[NCHI], const real v[NU], real *stage) {
  real z[2 * @NAME@_WIDEST + 1]; /* below, xi, 1 */
  const real *w = model->weights, *below = v;
  real *x = chi;
  uint32_t layer, i, j, width = NU;
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
        const real df = g.f * (R(1.0) - g.f) * old, di = g.i * (R(1.0) - g.i) * g.c, dc = g.i * (R(1.0) - g.c * g.c);
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

/* One row of slopes, d chi / d variable, through a stage; `push` is what the variable does to the inputs now, NULL: nothing. */
OUT_OF_LINE static void carry(const real *stage, real *x, const real *push) {
  real fresh[@NAME@_WIDEST];
  const real *below = push;
  uint32_t layer, i, width = NU;
  for (layer = 0u; layer < LAYERS; ++layer) {
    const uint32_t nx = CELLS(layer);
    real *xi = &x[nx];
    for (i = 0u; i < nx; ++i) {
      const real *to_x = &stage[2], *to_xi = &to_x[width + nx];
      real a = stage[0] * x[i], b = R(0.0);
      uint32_t j;
      if (below != NULL) {
        a = a + short_dot(to_x, below, width);
        b = short_dot(to_xi, below, width);
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
    x = &xi[nx];
  }
}

/* The same the other way: the price of chi+ becomes the price of chi, in place, and what the input adds goes to `gradient`. */
static void carry_back(const real *stage_end, real price[NCHI], real gradient[NU]) {
  real fresh[2 * @NAME@_WIDEST];
  real *x = &price[NCHI];
  const real *stage = stage_end;
  uint32_t layer, i;
  for (layer = LAYERS; layer > 0u; --layer) {
    const uint32_t nx = CELLS(layer - 1u), width = layer > 1u ? CELLS(layer - 2u) : (uint32_t)NU;
    real *xi = &x[-(ptrdiff_t)nx];
    real *below = layer > 1u ? &xi[-(ptrdiff_t)(nx + width)] : gradient; /* of the layer below: its xi+ */
    x = &xi[-(ptrdiff_t)nx];
    stage = &stage[-(ptrdiff_t)(nx * 2u * (1u + width + nx))];
    fill(fresh, R(0.0), width + nx);
    for (i = 0u; i < nx; ++i) {
      const real *row = &stage[i * 2u * (1u + width + nx)], *slopes = &row[2];
      const real a = x[i] + row[1] * xi[i];
      add_scaled(fresh, a, slopes, width + nx);
      add_scaled(fresh, xi[i], &slopes[width + nx], width + nx);
      x[i] = row[0] * a;
    }
    add_scaled(below, R(1.0), fresh, width);
    copy(xi, &fresh[width], nx);
  }
}

OUT_OF_LINE static void output(const model_t *model, const real chi[NCHI], real y[NY]) {
  uint32_t i;
  for (i = 0u; i < NY; ++i) {
    const real *head = &model->head[i * (NXI + 1u)];
    y[i] = short_dot(head, &chi[NCHI - NXI], NXI) + head[NXI];
  }
}

/* The input `v` with its disturbance, in `sum` where there is one. */
static const real *driven(const state_t *state, const real v[NU], real sum[NU]) {
#if @NAME@_KALMAN
  copy(sum, v, NU);
  add_scaled(sum, R(1.0), &state->seen[NCHI], NU);
  return sum;
#else
  (void)state;
  (void)sum;
  return v;
#endif
}

/* The input that arrives at the network in sample `k`, of `block`, under `plan`; in `sum` where it is not of one block. */
static const real *arriving(const state_t *state, const real *plan, uint32_t block, uint32_t k, real sum[NU]) {
#if @NAME@_LINE > 0
  uint32_t i;
  (void)block;
  for (i = 0u; i < NU; ++i) {
    const uint32_t wait = late[i];
    sum[i] = k < wait ? state->line[(LINE + k - wait) * NU + i] : plan[ROW_LENGTH(k - wait) - NU + i];
  }
  return sum;
#else
  (void)state;
  (void)k;
  (void)sum;
  return &plan[block * NU];
#endif
}

/* Does variable `j`, of a block that has begun, arrive in sample `k` of `block`? */
static bool arrives(uint32_t block, uint32_t k, uint32_t j) {
#if @NAME@_LINE > 0
  const uint32_t wait = late[j % NU];
  (void)block;
  return k >= wait && ROW_LENGTH(k - wait) - NU == j - j % NU;
#else
  (void)k;
  return j >= block * NU;
#endif
}

/* The outputs along `plan` into `outputs`, and with a `path` the states that the stages begin with. */
static void simulate(const context *c, const real plan[NV], real outputs[N * NY], real *path) {
  real *chi = c->work->chi, sum[NU];
  uint32_t block, k;
  copy(chi, c->state->chi, NCHI);
  for (block = 0u; block < BLOCKS; ++block) {
    for (k = START(block); k < START(block + 1u); ++k) {
      if (path != NULL) {
        copy(&path[k * NCHI], chi, NCHI);
      }
      advance_chi(c->model, chi, driven(c->state, arriving(c->state, plan, block, k, sum), sum), NULL);
      output(c->model, chi, &outputs[k * NY]);
    }
  }
}

/* -- the problem ---------------------------------------------------------------------------------------------------------------- */

OUT_OF_LINE static real before(const context *c, const real plan[NV], uint32_t j) { return j < NU ? c->state->before[j] : plan[j - NU]; }

/* How far the predicted output is from its setpoint; k from 0 is the sample after this one. */
OUT_OF_LINE static real error_of(const context *c, const real outputs[N * NY], uint32_t k, uint32_t i) {
  const real aim = (c->reference[(k + 1u) * c->stride + i] - c->model->y_mid[i]) / c->model->y_span[i];
  return outputs[k * NY + i] + c->state->disturbance[i] - aim;
}

/* The cost; *fuzz becomes what an error of 1 in every sum of it would make of it. */
static real cost_of(const context *c, const real plan[NV], const real outputs[N * NY], real *fuzz) {
  const model_t *model = c->model;
  real sum = R(0.0), slopes = R(0.0);
  uint32_t j, k, i;
  for (j = 0u; j < NV; ++j) {
    const real move = plan[j] - before(c, plan, j);
    sum = sum + model->move_penalty[j % NU] * move * move;
  }
  for (k = 0u; k < N; ++k) {
    for (i = 0u; i < NY; ++i) {
      const real error = error_of(c, outputs, k, i), y = outputs[k * NY + i] + c->state->disturbance[i];
      const real outside = most(R(0.0), y - model->y_high[i]) + most(R(0.0), model->y_low[i] - y);
      const real pull = model->output_weight[i] * error;
      sum = sum + pull * error + model->violation_weight[i] * outside;
      slopes = slopes + R(2.0) * magnitude(pull) + (outside > R(0.0) ? model->violation_weight[i] : R(0.0));
    }
  }
  *fuzz = sum + slopes;
  return sum;
}

/* The slope of the smooth part of the cost that the moves make. */
OUT_OF_LINE static void move_gradient(const context *c, real gradient[NV]) {
  const real *plan = c->state->plan;
  uint32_t j;
  for (j = 0u; j < NV; ++j) {
    const real push = R(2.0) * c->model->move_penalty[j % NU];
    gradient[j] = push * (plan[j] - before(c, plan, j));
    if (j >= NU) {
      gradient[j - NU] = gradient[j - NU] - push * (plan[j] - plan[j - NU]);
    }
  }
}

/* ... and that of the outputs, with the gains of the stage. */
static void output_gradient(const context *c, real gradient[NV]) {
  const real *gain = c->work->gains;
  uint32_t k, i;
  for (k = 0u; k < N; ++k) {
    for (i = 0u; i < NY; ++i) {
      const real push = R(2.0) * c->model->output_weight[i] * error_of(c, c->work->outputs, k, i);
      add_scaled(gradient, push, gain, ROW_LENGTH(k));
      gain = &gain[ROW_LENGTH(k)];
    }
  }
}

/* ... or exact at the plan, by one sweep back; R of the working set is lost. */
static void exact_gradient(const context *c, real gradient[NV]) {
  work_t *work = c->work;
  real *price = work->chi, sum[NU];
  uint32_t block, k, i;
#if @NAME@_LINE > 0
  real arrived[NU];
#endif
  simulate(c, c->state->plan, work->outputs, work->a.path);
  fill(price, R(0.0), NCHI);
  for (block = BLOCKS; block > 0u; --block) {
    for (k = START(block); k > START(block - 1u); --k) {
      const real *v = driven(c->state, arriving(c->state, c->state->plan, block - 1u, k - 1u, sum), sum);
      for (i = 0u; i < NY; ++i) {
        const real push = R(2.0) * c->model->output_weight[i] * error_of(c, work->outputs, k - 1u, i);
        add_scaled(&price[NCHI - NXI], push, &c->model->head[i * (NXI + 1u)], NXI);
      }
      advance_chi(c->model, &work->a.path[(k - 1u) * NCHI], v, work->stage);
#if @NAME@_LINE > 0
      fill(arrived, R(0.0), NU);
      carry_back(&work->stage[@NAME@_STAGE], price, arrived);
      for (i = 0u; i < NU; ++i) {
        const uint32_t wait = late[i];
        if (k > wait) {
          real *slope = &gradient[ROW_LENGTH(k - 1u - wait) - NU + i];
          *slope = *slope + arrived[i];
        }
      }
#else
      carry_back(&work->stage[@NAME@_STAGE], price, &gradient[(block - 1u) * NU]);
#endif
    }
  }
}

/* -- rows of the quadratic program: bounds above, below, rates up, down, soft outputs above, below -------------------------------- */

/* 1 for a limit from above, -1 from below. */
OUT_OF_LINE static real sign_of(uint32_t row) {
  const uint32_t width = row < HARD_ROWS ? (uint32_t)NV : (uint32_t)(N * NY);
  return (row < HARD_ROWS ? row : row - HARD_ROWS) / width % 2u == 0u ? R(1.0) : R(-1.0);
}

/* The variable that a rate is counted from, or NV. */
static uint32_t back_of(uint32_t row) { return row >= BOUND_ROWS && row % NV >= NU ? row % NV - NU : (uint32_t)NV; }

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
OUT_OF_LINE static void press(const context *c, uint32_t row, real price) {
  const uint32_t at = (row - HARD_ROWS) % (N * NY), k = at / NY; /* only a soft row has a price */
  const uint32_t length = ROW_LENGTH(k);
  add_scaled(c->work->gradient, sign_of(row) * price, &c->work->gains[ROW_START(k) + at % NY * length], length);
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

/* -- the working set -------------------------------------------------------------------------------------------------------------- */

static real *column(work_t *work, uint32_t k) { return &work->a.triangle[k * (k + 1u) / 2u]; }

/* The Hessian of the stage, then J in its place: H = U'U, J = U^-1. */
OUT_OF_LINE static void factorise(const context *c) {
  real *H = c->work->factor, largest = R(0.0);
  const real *gain = c->work->gains;
  uint32_t i, j, k, r;
  fill(H, R(0.0), NV * NV);
  for (k = 0u; k < N; ++k) {
    for (i = 0u; i < NY; ++i) {
      for (r = 0u; r < ROW_LENGTH(k); ++r) {
        add_scaled(&H[r * NV + r], R(2.0) * c->model->output_weight[i] * gain[r], &gain[r], ROW_LENGTH(k) - r);
      }
      gain = &gain[ROW_LENGTH(k)];
    }
  }
  for (j = 0u; j < NV; ++j) {
    const real push = R(2.0) * c->model->move_penalty[j % NU];
    H[j * NV + j] = H[j * NV + j] + push;
    if (j >= NU) {
      H[(j - NU) * NV + j - NU] = H[(j - NU) * NV + j - NU] + push;
      H[(j - NU) * NV + j] = H[(j - NU) * NV + j] - push;
    }
  }
  for (j = 0u; j < NV; ++j) {
    largest = most(largest, H[j * NV + j]);
  }
  for (r = 0u; r < NV; ++r) { /* row r of U, and what it leaves of the rows below */
    real *row = &H[r * NV];
    const real scale = R(1.0) / root(most(row[r] + DAMPING * largest, DAMPING * largest));
    row[r] = scale; /* of J already */
    for (j = r + 1u; j < NV; ++j) {
      row[j] = row[j] * scale;
    }
    for (j = r + 1u; j < NV; ++j) {
      add_scaled(&H[j * NV + j], -row[j], &row[j], NV - j);
    }
  }
  for (r = NV; r > 0u; --r) { /* row r of J from those below it */
    real *row = &H[(r - 1u) * NV], *U = c->work->help;
    copy(U, row, NV);
    fill(row, R(0.0), NV);
    row[r - 1u] = U[r - 1u];
    for (j = r; j < NV; ++j) {
      add_scaled(&row[j], -U[j] * U[r - 1u], &H[j * NV + j], NV - j);
    }
  }
}

/* Take a row in, whose image J'n lies in work->image; false when its normal depends on those that are in. */
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
  real *cosine = work->image, *sine = work->trial, *moved = work->help;
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
static void best_on_set(const context *c) {
  work_t *work = c->work;
  real *w = work->help, *slope = work->image;
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
    press(c, row, cap(c, row));
  }
  c->state->mark[row] = capped ? CAPPED : FREE;
  leave(c->work, place);
}

/* What worst_row looks for: the largest violation so far, and whose it is. */
typedef struct {
  real violation;
  uint32_t row;
} worst;

/* The same limit from both sides: rows `row` and `row + apart`, `above` and `below` it. */
OUT_OF_LINE static void consider(worst *w, const uint8_t *mark, uint32_t row, uint32_t apart, real above, real below) {
  uint32_t side;
  for (side = 0u; side < 2u; ++side) {
    if (mark[row] != ACTIVE) {
      const real by = mark[row] == FREE ? above : -above;
      if (by > w->violation) {
        w->violation = by;
        w->row = row;
      }
    }
    above = below;
    row = row + apart;
  }
}

/* The most violated row: a free one outside, or a capped one inside. */
static worst worst_row(const context *c) {
  const model_t *model = c->model;
  const state_t *state = c->state;
  const real *gain = c->work->gains, *p = c->work->step;
  worst w = {SLACK, ROWS};
  uint32_t j, i;
  for (j = 0u; j < NV; ++j) {
    const real at = state->plan[j] + p[j];
    i = j % NU;
    consider(&w, state->mark, j, NV, at - model->v_high[i], model->v_low[i] - at);
    if (HARD_ROWS > BOUND_ROWS) {
      const real move = at - (j < NU ? state->before[j] : state->plan[j - NU] + p[j - NU]);
      consider(&w, state->mark, BOUND_ROWS + j, NV, move - model->v_move[i], -move - model->v_move[i]);
    }
  }
  if (ROWS > HARD_ROWS) {
    uint32_t k;
    for (k = 0u; k < N; ++k) {
      for (i = 0u; i < NY; ++i) {
        const uint32_t place = k * NY + i;
        const real y = c->work->outputs[place] + dot(gain, p, ROW_LENGTH(k)) + state->disturbance[i];
        consider(&w, state->mark, HARD_ROWS + place, N * NY, y - model->y_high[i], model->y_low[i] - y);
        gain = &gain[ROW_LENGTH(k)];
      }
    }
  }
  return w;
}

/* Raise (sign 1, from 0) or lower (sign -1, from its cap) the multiplier of a row until it holds, or has nothing left to say. 0: done,
 * else a status. */
static uint32_t settle_row(const context *c, uint32_t row, real left) {
  work_t *work = c->work;
  uint8_t *mark = &c->state->mark[row];
  const real sign = *mark == FREE ? R(1.0) : R(-1.0), price = cap(c, row);
  real own = *mark == FREE ? R(0.0) : price;
  uint32_t used, k, j;
  for (used = work->changes; used < c->model->changes; ++used) {
    real *d = work->image, *r = work->help;
    const uint32_t q = work->count;
    real square, length, edge = sign > R(0.0) ? price - own : own;
    uint32_t place = NV;
    bool capped = false, whole = false;
    work->changes = used + 1u;
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
      const real falls = sign * r[k], room_k = falls > R(0.0) ? work->multiplier[k] : cap(c, work->active[k]) - work->multiplier[k];
      const real speed = magnitude(falls);
      if (speed > R(0.0) && most(room_k, R(0.0)) < length * speed) {
        length = most(room_k, R(0.0)) / speed;
        place = k;
        capped = !(falls > R(0.0));
      }
    }
    if (!(length < NEVER * R(0.5))) {
      return @NAME@_SOLVE_FAILED; /* rows that contradict each other, or numbers that are none */
    }
    own = own + sign * length;
    left = left - length * square;
    add_scaled(work->multiplier, -sign * length, r, q);
    for (j = 0u; j < NV; ++j) {
      work->step[j] = work->step[j] - sign * length * dot(&work->factor[j * NV + q], &d[q], NV - q);
    }
    if (place < NV) {
      release_row(c, place, capped);
    } else if (whole) {
      if (sign < R(0.0)) {
        press(c, row, -price);
      }
      work->multiplier[q] = own;
      (void)enter(work, row);
      *mark = ACTIVE;
      return 0u;
    } else {
      press(c, row, sign * price);
      *mark = sign > R(0.0) ? CAPPED : FREE;
      return 0u;
    }
  }
  return @NAME@_BUDGET;
}

/* The quadratic program around the plan, from the guess in the marks; work->gradient holds its smooth slope. */
static uint32_t solve_program(const context *c) {
  work_t *work = c->work;
  uint32_t row, k, status = 0u;
  worst w;
  for (row = HARD_ROWS; row < ROWS; ++row) {
    if (c->state->mark[row] == CAPPED) {
      press(c, row, cap(c, row));
    }
  }
  for (;;) { /* a guess may want multipliers that cannot be: let those rows go, the worst first */
    real largest = R(0.0);
    uint32_t place = NV;
    best_on_set(c);
    if (!all_finite(work->multiplier, work->count)) {
      return @NAME@_SOLVE_FAILED; /* a comparison below would take it for a good one */
    }
    for (k = 0u; k < work->count; ++k) {
      const real wrong = most(-work->multiplier[k], work->multiplier[k] - cap(c, work->active[k]));
      if (wrong > largest) {
        largest = wrong;
        place = k;
      }
    }
    if (place == NV) {
      break;
    }
    if (work->changes >= c->model->changes) {
      return @NAME@_BUDGET;
    }
    work->changes = work->changes + 1u;
    release_row(c, place, work->multiplier[place] > R(0.0));
  }
  for (w = worst_row(c); w.row < ROWS && status == 0u; w = worst_row(c)) {
    status = settle_row(c, w.row, w.violation);
  }
  if (status == 0u && work->changes > 0u) {
    best_on_set(c); /* without the drift of the steps that led here */
  }
  return status;
}

/* -- a sample --------------------------------------------------------------------------------------------------------------------- */

OUT_OF_LINE static void clear_marks(state_t *state) {
  uint32_t j;
  for (j = 0u; j < ROWS; ++j) {
    state->mark[j] = FREE;
  }
}

OUT_OF_LINE static void begin(state_t *state) {
  uint32_t j;
  for (j = 0u; j < NV; ++j) {
    state->plan[j] = state->before[j % NU];
  }
  clear_marks(state);
  state->failures = 0u;
}

/* The observer begins at rest in state->chi under the normalised input `v`. */
OUT_OF_LINE static void settle(const model_t *model, state_t *state, const real v[NU]) {
  uint32_t k;
#if @NAME@_KALMAN
  copy(state->seen, state->chi, NCHI);
  fill(&state->seen[NCHI], R(0.0), NU);
  fill(state->covariance, R(0.0), NP * NP);
  for (k = 0u; k < NU; ++k) {
    state->covariance[(NCHI + k) * (NP + 1u)] = R(0.25) * model->largest[k] * model->largest[k];
  }
  copy(state->variance, model->noise, NY);
  fill(state->trend, R(0.0), NY);
  fill(state->error, NEVER, NY);
  fill(state->slope, R(0.0), NY);
#endif
  for (k = 0u; k < PROBES; ++k) {
#if @NAME@_KALMAN
    copy(&state->under_way[k * NU], v, NU);
#else
    (void)v;
    output(model, state->chi, &state->under_way[k * NY]);
#endif
  }
#if @NAME@_LINE > 0
  for (k = 0u; k < LINE; ++k) {
    copy(&state->line[k * NU], v, NU);
  }
#endif
  fill(state->disturbance, R(0.0), NY);
  state->oldest = 0u;
}

#if @NAME@_KALMAN
/* The normalised input `k` samples after the moment that the probe speaks of. */
static const real *under_way(const state_t *state, uint32_t k) { return &state->under_way[(state->oldest + k) % PROBES * NU]; }

/* The state now, from what the probe speaks of. */
OUT_OF_LINE static void run_on(const model_t *model, state_t *state) {
  real sum[NU];
  uint32_t k;
  copy(state->chi, state->seen, NCHI);
  for (k = 0u; k + 1u < PROBES; ++k) {
    advance_chi(model, state->chi, driven(state, under_way(state, k), sum), NULL);
  }
}

/* What the probe speaks of moves on by one sample under the input `v`, and its covariance: A P A'. */
OUT_OF_LINE static void spread(const model_t *model, state_t *state, const real v[NU], real stage[@NAME@_STAGE]) {
  real *P = state->covariance, sum[NU];
  uint32_t side, r, j;
  advance_chi(model, state->seen, driven(state, v, sum), stage);
  for (side = 0u; side < 2u; ++side) { /* each row through the stage: P A', then the same of its transpose */
    for (r = 0u; r < NP; ++r) {
      carry(stage, &P[r * NP], &P[r * NP + NCHI]);
    }
    for (r = 0u; r < NP; ++r) {
      for (j = 0u; j < r; ++j) {
        const real kept = P[r * NP + j];
        P[r * NP + j] = P[j * NP + r];
        P[j * NP + r] = kept;
      }
    }
  }
}
#endif

/* `plan` brought into bounds and rates, block after block. */
OUT_OF_LINE static void project(const context *c, real plan[NV]) {
  uint32_t j;
  for (j = 0u; j < NV; ++j) {
    const uint32_t i = j % NU;
    const real from = before(c, plan, j);
    plan[j] = clamp(plan[j], most(c->model->v_low[i], from - c->model->v_move[i]), least(c->model->v_high[i], from + c->model->v_move[i]));
  }
}

/* A value `u` of input `i`, normalised. */
static real normalised(const model_t *model, real u, uint32_t i) { return (u - model->u_mid[i]) / model->u_span[i]; }

/* The input in force, as the program sees it. */
OUT_OF_LINE static void normalise(const model_t *model, state_t *state) {
  uint32_t j;
  for (j = 0u; j < NU; ++j) {
    state->before[j] = normalised(model, state->applied[j], j);
  }
}

/* The safe input, normalised. */
static real safe(const model_t *model, uint32_t i) { return normalised(model, model->u_safe[i], i); }

/* Make anew what cannot be a state of this controller. */
static uint32_t watch(const model_t *model, state_t *state, work_t *work) {
  const context c = {model, state, work, NULL, 0u};
  bool sound = state->oldest < PROBES, held = true;
  uint32_t j;
  for (j = 0u; j < NCHI; ++j) {
    sound = sound && magnitude(state->chi[j]) <= model->bound[j];
#if @NAME@_KALMAN
    sound = sound && magnitude(state->seen[j]) <= model->bound[j];
#endif
  }
  sound = sound && all_finite(state->disturbance, NY) && all_finite(state->reference, NY) && all_finite(state->under_way, PROBES * WIDE);
#if @NAME@_KALMAN
  for (j = 0u; j < NU; ++j) {
    sound = sound && magnitude(state->seen[NCHI + j]) <= model->largest[j];
  }
  for (j = 0u; j < NY; ++j) {
    sound = sound && state->variance[j] > R(0.0) && finite(state->variance[j]) && finite(state->trend[j]) && finite(state->slope[j]);
  }
  sound = sound && all_finite(state->covariance, NP * NP) && all_finite(state->error, NY);
#endif
#if @NAME@_LINE > 0
  for (j = 0u; j < LINE * NU; ++j) {
    const uint32_t i = j % NU;
    sound = sound && state->line[j] >= normalised(model, model->u_low[i], i) && state->line[j] <= normalised(model, model->u_high[i], i);
  }
#endif
  for (j = 0u; j < NU; ++j) {
    const bool inside = state->applied[j] >= model->u_low[j] && state->applied[j] <= model->u_high[j];
    if (!inside) {
      state->applied[j] = model->u_safe[j];
    }
    held = held && inside;
  }
  normalise(model, state);
  copy(work->trial, state->plan, NV);
  project(&c, work->trial);
  for (j = 0u; j < NV; ++j) {
    held = held && state->plan[j] == work->trial[j];
  }
  if (!sound) {
    copy(state->chi, model->start, NCHI);
#if @NAME@_KALMAN || @NAME@_LINE > 0
    for (j = 0u; j < NU; ++j) {
      work->trial[j] = safe(model, j);
    }
#endif
    settle(model, state, work->trial);
    for (j = 0u; j < NY; ++j) {
      state->reference[j] = finite(state->reference[j]) ? state->reference[j] : model->y_mid[j];
    }
  }
  if (!sound || !held) {
    begin(state);
    return @NAME@_STATE_RESET;
  }
  return 0u;
}

/* As if there had been no measurement: nothing is equal to the next one. */
OUT_OF_LINE static void forget(state_t *state) {
  uint32_t j;
#if @NAME@_KALMAN
  fill(state->error, NEVER, NY);
#endif
  for (j = 0u; j < NY; ++j) {
    state->last[j] = NEVER;
    state->still[j] = 0u;
  }
}

#if @NAME@_KALMAN
/* Take in output `j`, measured as `y` (normalised). With a `lean`, the predicted `outputs` change to first order. */
static void take_in(const model_t *model, state_t *state, uint32_t j, real y, real *lean, real *outputs) {
  const real *head = &model->head[j * (NXI + 1u)];
  real D[NP], *P = state->covariance, error, s;
  uint32_t r;
  for (r = 0u; r < NP; ++r) {
    D[r] = short_dot(head, &P[r * NP + NCHI - NXI], NXI);
  }
  error = y - (short_dot(head, &state->seen[NCHI - NXI], NXI) + head[NXI]);
  s = most(short_dot(head, &D[NCHI - NXI], NXI), R(0.0)) + state->variance[j] + model->timing * state->slope[j] * state->slope[j];
  if (lean != NULL) {
    add_scaled(outputs, error / s, &lean[j * N * NY], N * NY);
    for (r = j + 1u; r < NY; ++r) { /* what the others will still change */
      const real share = short_dot(&model->head[r * (NXI + 1u)], &D[NCHI - NXI], NXI) / s;
      add_scaled(&lean[r * N * NY], -share, &lean[j * N * NY], N * NY);
    }
  }
  add_scaled(state->seen, error / s, D, NP);
  for (r = 0u; r < NP; ++r) {
    add_scaled(&P[r * NP], -D[r] / s, D, NP);
  }
  state->trend[j] = MEMORY * state->trend[j] + (R(1.0) - MEMORY) * error / root(s);
  if (magnitude(state->error[j]) < NEVER) {
    const real turn = error - state->error[j], seen = least(R(0.5) * turn * turn, R(9.0) * state->variance[j]);
    state->variance[j] = most(state->variance[j] + FADE * (seen - state->variance[j]), LEAST * model->noise[j]);
  }
  state->error[j] = error;
}
#endif

/* Take in the measurement, where it can be believed; `work` where outputs were predicted from what was known before. */
static uint32_t correct(const model_t *model, state_t *state, work_t *work, const real y[NY], real gain) {
  uint32_t j, status = 0u;
  for (j = 0u; j < NY; ++j) {
    const bool valid = finite(y[j]) && y[j] >= model->sensor_low[j] && y[j] <= model->sensor_high[j];
    state->still[j] = y[j] == state->last[j] ? state->still[j] + 1u : 0u;
    state->last[j] = y[j];
    if (valid && (model->frozen == 0u || state->still[j] < model->frozen)) {
      const real normal = (y[j] - model->y_mid[j]) / model->y_span[j];
#if @NAME@_KALMAN
      take_in(model, state, j, normal, work != NULL ? work->lean : NULL, work != NULL ? work->outputs : NULL);
#else
      const real seen = normal - state->under_way[state->oldest % PROBES * NY + j];
      state->disturbance[j] = state->disturbance[j] + gain * (seen - state->disturbance[j]);
#endif
    } else {
      status |= valid ? @NAME@_MEASUREMENT_FROZEN : @NAME@_MEASUREMENT_INVALID;
#if @NAME@_KALMAN
      state->error[j] = NEVER;
#endif
    }
  }
#if @NAME@_KALMAN
  (void)gain;
  for (j = 0u; j < NP; ++j) {
    const real end = j < NCHI ? model->bound[j] : model->largest[j - NCHI];
    state->seen[j] = clamp(state->seen[j], -end, end);
  }
  run_on(model, state);
#else
  (void)work;
#endif
  return status;
}

#if @NAME@_KALMAN
/* The filter goes to the next sample, in which the input `v` arrives. */
static void move_on(const model_t *model, state_t *state, const real v[NU], real stage[@NAME@_STAGE]) {
  real y[NY], *P = state->covariance, alarm = R(0.0);
  uint32_t j;
  copy(&state->under_way[(state->oldest + LAG) % PROBES * NU], v, NU);
  output(model, state->seen, y);
  spread(model, state, under_way(state, 0u), stage);
  state->oldest = (state->oldest + 1u) % PROBES;
  output(model, state->seen, state->slope);
  for (j = 0u; j < NY; ++j) {
    state->slope[j] = state->slope[j] - y[j];
    alarm = most(alarm, state->trend[j] * state->trend[j]);
  }
  alarm = R(1.0) + model->alert * most(R(0.0), alarm * ((R(1.0) + MEMORY) / (R(1.0) - MEMORY)) - WHITE);
  for (j = 0u; j < NP; ++j) {
    real *own = &P[j * (NP + 1u)];
    if (j < NCHI) {
      *own = *own + model->state_noise;
    } else if (*own < R(0.25) * model->largest[j - NCHI] * model->largest[j - NCHI]) {
      *own = *own + alarm * model->drift[j - NCHI];
    } else {
      /* as uncertain as it can be */
    }
  }
  run_on(model, state);
}
#endif

/* The outputs that the linearisation expects after the step. */
static void predict(const context *c, real outputs[N * NY]) {
  const real *gain = c->work->gains;
  uint32_t place;
  for (place = 0u; place < N * NY; ++place) {
    const uint32_t length = ROW_LENGTH(place / NY);
    outputs[place] = c->work->outputs[place] + dot(gain, c->work->step, length);
    gain = &gain[length];
  }
}

/* As far towards the admissible plan next to plan + step as the cost does not rise; returns the size of what was gone, 0 where it rises
 * all the way, and in `wanted` the size of the whole. A status other than 0: there were no numbers. */
static uint32_t go(const context *c, uint32_t halvings, bool complete, real *gone, real *wanted) {
  state_t *state = c->state;
  work_t *work = c->work;
  real size = R(0.0);
  uint32_t j, k;
  *gone = R(0.0);
  copy(work->trial, state->plan, NV);
  add_scaled(work->trial, R(1.0), work->step, NV);
  if (!all_finite(work->trial, NV)) {
    return @NAME@_SOLVE_FAILED;
  }
  project(c, work->trial);
  for (j = 0u; j < NV; ++j) {
    work->step[j] = work->trial[j] - state->plan[j];
    size = most(size, magnitude(work->step[j]));
  }
  *wanted = size;
  for (k = 0u; k <= halvings; ++k) {
    const bool small = complete && c->model->passes == 1u && size <= c->model->correct; /* the next linearisation is its test */
    real cost, fuzz;
    if (small) {
      predict(c, work->trial_outputs);
    } else {
      simulate(c, work->trial, work->trial_outputs, NULL);
    }
    cost = cost_of(c, work->trial, work->trial_outputs, &fuzz);
    if (small || cost <= work->cost + ROUNDING * fuzz) {
      copy(state->plan, work->trial, NV);
      copy(work->outputs, work->trial_outputs, N * NY);
      work->cost = cost;
      *gone = size;
      break;
    }
    size = R(0.5) * size;
    for (j = 0u; j < NV; ++j) {
      work->step[j] = R(0.5) * work->step[j];
      work->trial[j] = state->plan[j] + work->step[j];
    }
  }
  return 0u;
}

/* Linearise along the plan, factorise, and take in the rows that were active. */
static void linearise(const context *c) {
  work_t *work = c->work;
  static const real unit[2 * NU - 1] = {[NU - 1] = R(1.0)}; /* unit vector j of the inputs begins at NU - 1 - j */
  real *gain = work->gains, sum[NU];
  uint32_t block, k, i, j, row;
#if @NAME@_KALMAN
  real moved[NY * NP]; /* what a measurement will change, on its way to the outputs */
  for (j = 0u; j < NY * NP; ++j) {
    moved[j] = short_dot(&c->model->head[j / NP * (NXI + 1u)], &c->state->covariance[j % NP * NP + NCHI - NXI], NXI);
  }
  copy(work->chi, c->state->seen, NCHI);
  for (k = 0u; k + 1u < PROBES; ++k) {
    advance_chi(c->model, work->chi, driven(c->state, under_way(c->state, k), sum), work->stage);
    for (j = 0u; j < NY; ++j) {
      carry(work->stage, &moved[j * NP], &moved[j * NP + NCHI]);
    }
  }
#endif
  copy(work->chi, c->state->chi, NCHI);
  for (block = 0u; block < BLOCKS; ++block) {
    fill(&work->a.slope[block * NU * NCHI], R(0.0), NU * NCHI);
    for (k = START(block); k < START(block + 1u); ++k) {
      advance_chi(c->model, work->chi, driven(c->state, arriving(c->state, c->state->plan, block, k, sum), sum), work->stage);
      output(c->model, work->chi, &work->outputs[k * NY]);
#if @NAME@_KALMAN
      for (j = 0u; j < NY; ++j) {
        carry(work->stage, &moved[j * NP], &moved[j * NP + NCHI]);
        for (i = 0u; i < NY; ++i) {
          work->lean[(j * N + k) * NY + i] = short_dot(&c->model->head[i * (NXI + 1u)], &moved[j * NP + NCHI - NXI], NXI);
        }
      }
#endif
      for (j = 0u; j < ROW_LENGTH(k); ++j) {
        carry(work->stage, &work->a.slope[j * NCHI], arrives(block, k, j) ? &unit[NU - 1u - j % NU] : NULL);
      }
      for (i = 0u; i < NY; ++i) {
        for (j = 0u; j < ROW_LENGTH(k); ++j) {
          gain[j] = short_dot(&c->model->head[i * (NXI + 1u)], &work->a.slope[j * NCHI + NCHI - NXI], NXI);
        }
        gain = &gain[ROW_LENGTH(k)];
      }
    }
  }
  factorise(c);
  work->count = 0u;
  for (row = 0u; row < ROWS; ++row) {
    uint8_t *mark = &c->state->mark[row];
    const bool real_row = room(c, row) < NEVER * R(0.5);
    if (*mark == ACTIVE && real_row) {
      image_of(work, row);
      if (!enter(work, row)) {
        *mark = FREE;
      }
    } else if (*mark != CAPPED || row < HARD_ROWS || !real_row) {
      *mark = FREE;
    } else {
      /* capped soft rows push from the start */
    }
  }
}

/* One more program with the matrices of the stage, but the gradient exact at the plan that was reached. */
static void refine(const context *c) {
  work_t *work = c->work;
  real gone, wanted;
  uint32_t k, status;
  move_gradient(c, work->gradient);
  exact_gradient(c, work->gradient);
  for (k = 0u; k < work->count; ++k) { /* R anew: the sweep took its place */
    image_of(work, work->active[k]);
    copy(column(work, k), work->image, k + 1u);
  }
  status = solve_program(c);
  if (status != @NAME@_SOLVE_FAILED) { /* else, as where it leads nowhere, the plan stands as it is */
    (void)go(c, 0u, status == 0u, &gone, &wanted);
  }
}

/* The plan for this sample, and what was wrong with it. */
OUT_OF_LINE static uint32_t plan_ahead(const context *c) {
  const model_t *model = c->model;
  work_t *work = c->work;
  real last = R(0.0), gone = R(0.0), wanted = R(0.0);
  uint32_t status = 0u, changes = 0u;
  work->changes = 0u;
  work->cost = cost_of(c, c->state->plan, work->outputs, &wanted);
  for (work->passes = 1u; work->passes <= model->passes; ++work->passes) {
    if (work->passes > 1u) {
      linearise(c);
      work->changes = 0u;
    }
    move_gradient(c, work->gradient);
    output_gradient(c, work->gradient);
    status = solve_program(c);
    if (status != @NAME@_SOLVE_FAILED) {
      status |= go(c, model->halvings, status == 0u, &gone, &wanted);
    }
    if ((status & @NAME@_SOLVE_FAILED) != 0u) {
      status = work->passes > 1u ? @NAME@_BUDGET : status; /* an earlier pass has left a good plan */
      clear_marks(c->state); /* the guess may be what failed */
      break;
    }
    if (!(gone > R(0.0)) && wanted > model->tolerance) {
      status |= @NAME@_BUDGET;
    }
    if (gone <= model->tolerance || gone * gone <= model->tolerance * (last - gone)) { /* what a linear rate leaves */
      break;
    }
    if (work->passes == model->passes) {
      if (model->passes > 1u) {
        status |= @NAME@_BUDGET;
      } else if (gone > model->correct && 4u * work->changes <= model->changes) {
        refine(c);
      } else {
        /* a real-time step that was small enough, or no time left */
      }
      break;
    }
    changes += work->changes;
    last = gone;
  }
  work->changes += changes;
  return status;
}

/* -- interface ------------------------------------------------------------------------------------------------------------------ */

static uint32_t crc_of(const model_t *model) {
  const uint8_t *byte = (const uint8_t *)model;
  uint32_t crc = 0xFFFFFFFFu, k, bit;
  for (k = 0u; k < (uint32_t)offsetof(model_t, crc); ++k) {
    crc ^= byte[k];
    for (bit = 0u; bit < 8u; ++bit) {
      crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
    }
  }
  return ~crc;
}

/* Sum of |w_j|, and of |w_j v_j| where there is a v. */
OUT_OF_LINE static real absolute(const real *w, const real *v, uint32_t count) {
  real sum = R(0.0);
  uint32_t j;
  for (j = 0u; j < count; ++j) {
    sum = sum + magnitude(w[j]) * (v != NULL ? v[j] : R(1.0));
  }
  return sum;
}

void @name@_margins(const model_t *model, real *iss, real *delta_iss) {
  const real *w = model->weights, *v = model->witness;
  real radius = model->radius;
  uint32_t layer, i, j, g, width = NU;
  *iss = R(1.0);
  *delta_iss = R(1.0);
  for (layer = 0u; layer < LAYERS; ++layer) {
    const uint32_t nx = CELLS(layer), row = width + nx + 1u, next = nx * row;
    const real *v_xi = &v[nx];
    real top[3] = {R(0.0), R(0.0), R(0.0)}, U_c = R(0.0);
    for (i = 0u; i < nx; ++i) {
      real gate[4], x, a, column_sum = R(0.0);
      const real *U = &w[i * row + width];
      for (g = 0u; g < 4u; ++g) {
        const real *w_g = &w[g * next + i * row], b = w_g[row - 1u];
        const real sum = radius * absolute(w_g, NULL, width) + absolute(&w_g[width], NULL, nx);
        gate[g] = g < 3u ? sigmoid(sum + b) : tanh_of(sum + magnitude(b));
        if (g < 3u) {
          top[g] = most(top[g], sum + magnitude(b));
        }
      }
      for (j = 0u; j < nx; ++j) {
        column_sum = column_sum + magnitude(w[3u * next + j * row + width + i]);
      }
      U_c = most(U_c, column_sum);
      x = gate[1] * gate[3] / (R(1.0) - gate[0]);
      a = R(0.25) * (x * absolute(U, v_xi, nx) + gate[3] * absolute(&U[next], v_xi, nx)) + gate[1] * absolute(&U[3u * next], v_xi, nx);
      a = a + gate[0] * v[i];
      *delta_iss = least(*delta_iss, R(1.0) - a / v[i]);
      a = gate[2] * a + R(0.25) * tanh_of(x) * absolute(&U[2u * next], v_xi, nx);
      *delta_iss = least(*delta_iss, R(1.0) - a / v_xi[i]);
    }
    *iss = least(*iss, R(1.0) - (R(1.0) + sigmoid(top[2])) * most(sigmoid(top[0]), sigmoid(top[1]) * U_c));
    w = &w[4u * next];
    v = &v_xi[nx];
    width = nx;
    radius = R(1.0);
  }
}

uint32_t @name@_verify(const model_t *model) {
  real iss, delta_iss;
  if (!all_finite(model->weights, (uint32_t)offsetof(model_t, passes) / (uint32_t)sizeof(real))) { /* margins say nothing of such weights */
    return @NAME@_REFUSED;
  }
  @name@_margins(model, &iss, &delta_iss);
  return crc_of(model) == model->crc && iss > @NAME@_ISS_FLOOR && delta_iss > @NAME@_DELTA_ISS_FLOOR ? 0u : @NAME@_REFUSED;
}

uint32_t @name@_init(const model_t *model, state_t *state, const real y[NY], const real u[NU]) {
#if @NAME@_KALMAN
  real stage[@NAME@_STAGE];
#endif
  uint32_t j, k;
  state->ready = 0u;
  state->status = 0u;
  if (@name@_verify(model) != 0u) {
    return @NAME@_REFUSED;
  }
  for (j = 0u; j < NU; ++j) {
    state->applied[j] = finite(u[j]) ? clamp(u[j], model->u_low[j], model->u_high[j]) : model->u_safe[j];
  }
  normalise(model, state);
  copy(state->chi, model->start, NCHI);
  for (k = 0u; k < SETTLE; ++k) {
    real held[NCHI], moved = R(0.0);
    copy(held, state->chi, NCHI);
    advance_chi(model, state->chi, state->before, NULL);
    for (j = 0u; j < NCHI; ++j) {
      moved = most(moved, magnitude(state->chi[j] - held[j]));
    }
    if (moved <= SETTLED) {
      break;
    }
  }
  settle(model, state, state->before);
  forget(state);
#if @NAME@_KALMAN
  for (k = 0u; k < SPREAD; ++k) { /* the mismatch is that of a disturbance which has long been there */
    spread(model, state, state->before, stage);
  }
#endif
  (void)correct(model, state, NULL, y, R(1.0));
  forget(state); /* the first step may bring this measurement once more */
  output(model, state->chi, state->reference);
  for (j = 0u; j < NY; ++j) {
    state->reference[j] = model->y_mid[j] + model->y_span[j] * (state->reference[j] + state->disturbance[j]);
  }
  begin(state);
  state->ready = READY;
  return 0u;
}

void @name@_prepare(const model_t *model, state_t *state, work_t *work) {
  const context c = {model, state, work, NULL, 0u};
  if (state->ready == READY) {
    state->status = watch(model, state, work);
    linearise(&c);
  }
}

uint32_t @name@_feedback(const model_t *model, state_t *state, work_t *work, const real y[NY], const real reference[@NAME@_REFERENCES * NY],
                         real u[NU]) {
  context c = {model, state, work, &reference[@NAME@_SHARED * NY], @NAME@_REFERENCES > 1 ? NY : 0u};
  uint32_t j, status;
  if (state->ready != READY) {
    copy(u, model->u_safe, NU);
    return @NAME@_REFUSED;
  }
  status = state->status;
#if @NAME@_KALMAN
  status |= correct(model, state, work, y, R(1.0));
#else
  status |= correct(model, state, work, y, status != 0u ? R(1.0) : model->observer_gain);
#endif
  for (j = 0u; j < @NAME@_REFERENCES * NY; ++j) {
    if (!finite(reference[j])) {
      c.reference = state->reference;
      c.stride = 0u;
      status |= @NAME@_SETPOINT_INVALID;
    }
  }
  copy(state->reference, c.reference, NY);
  j = plan_ahead(&c);
  status |= j;
  if ((j & @NAME@_SOLVE_FAILED) == 0u) {
    state->failures = 0u;
  } else if (state->failures < N) {
    state->failures = state->failures + 1u;
  } else {
    status |= @NAME@_SAFE_INPUT;
    for (j = 0u; j < NV; ++j) {
      state->plan[j] = safe(model, j % NU);
    }
    project(&c, state->plan);
  }
  for (j = 0u; j < NU; ++j) {
    const real near = clamp(model->u_mid[j] + model->u_span[j] * state->plan[j], state->applied[j] - model->max_move[j],
                            state->applied[j] + model->max_move[j]);
    u[j] = clamp(near, model->u_low[j], model->u_high[j]); /* bounds last: they hold whatever became of the state since prepare */
    state->applied[j] = u[j];
  }
  state->status = status;
  return status;
}

void @name@_advance(const model_t *model, state_t *state, work_t *work) {
  const context c = {model, state, work, NULL, 0u};
  const real *v;
  real sum[NU];
  uint32_t block, i, k;
  if (state->ready != READY) {
    return;
  }
  normalise(model, state);
  v = arriving(state, state->before, 0u, 0u, sum);
#if @NAME@_KALMAN
  move_on(model, state, v, work->stage);
#else
  advance_chi(model, state->chi, v, NULL);
  output(model, state->chi, &state->under_way[state->oldest % PROBES * NY]);
  state->oldest = (state->oldest + 1u) % PROBES;
#endif
#if @NAME@_LINE > 0
  copy(state->line, &state->line[NU], (LINE - 1) * NU);
  copy(&state->line[(LINE - 1) * NU], state->before, NU);
#endif
  for (block = 0u; block < BLOCKS; ++block) {
    const uint32_t single = START(block) + 1u == START(block + 1u) && block + 1u < BLOCKS ? 1u : 0u, from = (block + single) * NU;
    for (i = 0u; i < NU; ++i) {
      state->plan[block * NU + i] = state->plan[from + i];
      for (k = 0u; k < HARD_ROWS; k += NV) {
        state->mark[k + block * NU + i] = state->mark[k + from + i];
      }
    }
  }
  project(&c, state->plan);
  for (k = HARD_ROWS; k < ROWS; k += N * NY) {
    for (i = 0u; i < (N - 1u) * NY; ++i) {
      state->mark[k + i] = state->mark[k + i + NY];
    }
  }
}

uint32_t @name@_step(const model_t *model, state_t *state, work_t *work, const real y[NY], const real reference[@NAME@_REFERENCES * NY],
                     real u[NU]) {
  uint32_t status;
  @name@_prepare(model, state, work);
  status = @name@_feedback(model, state, work, y, reference, u);
  @name@_advance(model, state, work);
  return status;
}

void @name@_predicted(const model_t *model, const state_t *state, const work_t *work, real y[N * NY]) {
  uint32_t k;
  for (k = 0u; k < N * NY; ++k) {
    y[k] = model->y_mid[k % NY] + model->y_span[k % NY] * (work->outputs[k] + state->disturbance[k % NY]);
  }
}
