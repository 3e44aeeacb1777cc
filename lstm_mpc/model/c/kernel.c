/*
 * One record through an LSTM of any depth, and the derivatives of its outputs by forward
 * sensitivities.
 *
 * The sensitivities S = d(state)/d(theta, first state) are carried from sample to sample, all
 * columns of a row side by side. Arrays are as in NumPy: matrices within theta column-major, all
 * others row-major. The caller checks shapes.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The same text for several processors; the fastest that this one has is taken when the code is
 * loaded. */
#if defined(VERSIONS)
#define FAST __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FAST
#endif

enum { F, I, O, C, GATES }; /* the order of the gates in the plan, as in theta */

typedef struct {
  int64_t below, nx;        /* inputs and cells */
  const int64_t *W, *U, *b; /* where each gate's parameters begin in theta */
} layer;

/* The plan: inputs, outputs, parameters, C and b_y in theta, layers; then for each layer its cells
   and the places of W, U and b of f, i, o, c. */
static layer layer_of(const int64_t* plan, int64_t number) {
  const int64_t* at = plan + 6 + 13 * number;
  layer l = {number ? plan[6 + 13 * (number - 1)] : plan[0], at[0], at + 1, at + 5, at + 9};
  return l;
}

/* Activations of one sample: f, i, o, c and tanh(x+) of every cell. */
static void activate(layer l, const double* theta, const double* below, const double* state,
                     double* after, double* act) {
  const double *x = state, *xi = state + l.nx;
  for (int64_t j = 0; j < l.nx; ++j) {
    double* a = act + 5 * j;
    for (int g = 0; g < GATES; ++g) {
      double z = theta[l.b[g] + j];
      for (int64_t k = 0; k < l.below; ++k) z += theta[l.W[g] + k * l.nx + j] * below[k];
      for (int64_t k = 0; k < l.nx; ++k) z += theta[l.U[g] + k * l.nx + j] * xi[k];
      a[g] = g == C ? tanh(z) : 1.0 / (1.0 + exp(-z));
    }
    after[j] = a[F] * x[j] + a[I] * a[C];
    a[4] = tanh(after[j]);
    after[l.nx + j] = a[O] * a[4];
  }
}

static int64_t cells(const int64_t* plan) {
  int64_t sum = 0;
  for (int64_t l = 0; l < plan[5]; ++l) sum += plan[6 + 13 * l];
  return sum;
}

/* Outputs y (N, ny) from the first state; states (N + 1, n) and activations (N, 5 * cells) are kept
 * for jacobian. */
void simulate(const int64_t* plan, const double* theta, int64_t N, const double* u, double* states,
              double* acts, double* y) {
  const int64_t nu = plan[0], ny = plan[1], all = cells(plan), n = 2 * all,
                last = plan[6 + 13 * (plan[5] - 1)];
  for (int64_t k = 0; k < N; ++k) {
    const double *state = states + k * n, *below = u + k * nu, *xi = state + n - last;
    double *after = states + (k + 1) * n, *act = acts + k * 5 * all;
    for (int64_t j = 0; j < ny; ++j) {
      double sum = theta[plan[4] + j];
      for (int64_t l = 0; l < last; ++l) sum += theta[plan[3] + l * ny + j] * xi[l];
      y[k * ny + j] = sum;
    }
    for (int64_t number = 0; number < plan[5]; ++number) {
      const layer l = layer_of(plan, number);
      activate(l, theta, below, state, after, act);
      below = after + l.nx;
      state += 2 * l.nx, after += 2 * l.nx, act += 5 * l.nx;
    }
  }
}

/* out += sum of factor[k] * rows[k], over `width` columns; the rows lie `width` apart. */
FAST static void add_rows(double* restrict out, int64_t count, const double* factor,
                          const double* restrict rows, int64_t width) {
  int64_t k = 0;
  for (; k + 4 <= count; k += 4) {
    const double *r = rows + k * width, a = factor[k], b = factor[k + 1], d = factor[k + 2],
                 e = factor[k + 3];
    for (int64_t c = 0; c < width; ++c)
      out[c] += (a * r[c] + b * r[c + width]) + (d * r[c + 2 * width] + e * r[c + 3 * width]);
  }
  for (; k < count; ++k) {
    const double *r = rows + k * width, a = factor[k];
    for (int64_t c = 0; c < width; ++c) out[c] += a * r[c];
  }
}

static void scale(double* restrict out, double factor, const double* restrict base, int64_t width) {
  for (int64_t c = 0; c < width; ++c) out[c] = factor * base[c];
}

/* The direct effect of one gate's parameters on a row of cell j. */
static void direct(double* row, layer l, int g, int64_t j, double slope, const double* below,
                   const double* xi) {
  for (int64_t k = 0; k < l.below; ++k) row[l.W[g] + k * l.nx + j] += slope * below[k];
  for (int64_t k = 0; k < l.nx; ++k) row[l.U[g] + k * l.nx + j] += slope * xi[k];
  row[l.b[g] + j] += slope;
}

/* S of a layer one sample on: `now` and `next` (2 nx, width), `under` the new S of the layer below,
 * or NULL. */
static void carry(layer l, const double* theta, const double* below, const double* state,
                  const double* act, const double* now, double* next, const double* under,
                  int64_t width, double* factor) {
  const double *xi = state + l.nx, *S_xi = now + l.nx * width;
  double *own = factor, *other = factor + l.nx;
  for (int64_t j = 0; j < l.nx; ++j) {
    const double* a = act + 5 * j;
    const double slope[GATES] = {state[j] * a[F] * (1.0 - a[F]), a[C] * a[I] * (1.0 - a[I]),
                                 a[4] * a[O] * (1.0 - a[O]), a[I] * (1.0 - a[C] * a[C])};
    double *x = next + j * width, *out = next + (l.nx + j) * width;
    for (int64_t k = 0; k < l.nx; ++k)
      own[k] = slope[F] * theta[l.U[F] + k * l.nx + j] + slope[I] * theta[l.U[I] + k * l.nx + j] +
               slope[C] * theta[l.U[C] + k * l.nx + j];
    scale(x, a[F], now + j * width, width);
    add_rows(x, l.nx, own, S_xi, width);
    for (int64_t k = 0; k < l.nx; ++k) own[k] = slope[O] * theta[l.U[O] + k * l.nx + j];
    if (under) {
      for (int64_t k = 0; k < l.below; ++k)
        other[k] = slope[F] * theta[l.W[F] + k * l.nx + j] +
                   slope[I] * theta[l.W[I] + k * l.nx + j] +
                   slope[C] * theta[l.W[C] + k * l.nx + j];
      add_rows(x, l.below, other, under, width);
      for (int64_t k = 0; k < l.below; ++k) other[k] = slope[O] * theta[l.W[O] + k * l.nx + j];
    }
    direct(x, l, F, j, slope[F], below, xi);
    direct(x, l, I, j, slope[I], below, xi);
    direct(x, l, C, j, slope[C], below, xi);
    scale(out, a[O] * (1.0 - a[4] * a[4]), x, width);
    add_rows(out, l.nx, own, S_xi, width);
    if (under) add_rows(out, l.below, other, under, width);
    direct(out, l, O, j, slope[O], below, xi);
  }
}

/* Rows of J, `stride` long: d(root * y)/d(theta, first state), the latter from `column` on. 0, or
 * -1 without memory. */
int jacobian(const int64_t* plan, const double* theta, int64_t N, const double* u,
             const double* states, const double* acts, const double* root, double* J,
             int64_t stride, int64_t column) {
  const int64_t nu = plan[0], ny = plan[1], p = plan[2], all = cells(plan), n = 2 * all,
                last = plan[6 + 13 * (plan[5] - 1)];
  const int64_t width = p + n;
  int64_t widest = nu;
  for (int64_t l = 0; l < plan[5]; ++l)
    if (plan[6 + 13 * l] > widest) widest = plan[6 + 13 * l];
  double* memory = calloc((size_t)(2 * n * width + width + 2 * widest), sizeof *memory);
  if (!memory) return -1;
  double *now = memory, *next = now + n * width, *row = next + n * width, *factor = row + width;
  for (int64_t j = 0; j < n; ++j) now[j * width + p + j] = 1.0;
  for (int64_t k = 0; k < N; ++k) {
    const double *state = states + k * n, *xi = state + n - last, *below = u + k * nu,
                 *act = acts + k * 5 * all;
    for (int64_t j = 0; j < ny; ++j) {
      double* to = J + (k * ny + j) * stride;
      const double r = root[k * ny + j];
      if (r == 0.0) {
        memset(to, 0, (size_t)p * sizeof *to);
        memset(to + column, 0, (size_t)n * sizeof *to);
        continue;
      }
      for (int64_t l = 0; l < last; ++l) factor[l] = r * theta[plan[3] + l * ny + j];
      memset(row, 0, (size_t)width * sizeof *row);
      add_rows(row, last, factor, now + (n - last) * width, width);
      for (int64_t l = 0; l < last; ++l) row[plan[3] + l * ny + j] += r * xi[l];
      row[plan[4] + j] += r;
      memcpy(to, row, (size_t)p * sizeof *to);
      memcpy(to + column, row + p, (size_t)n * sizeof *to);
    }
    const double *under = NULL, *from = now;
    double* to = next;
    const double* after = states + (k + 1) * n;
    for (int64_t number = 0; number < plan[5]; ++number) {
      const layer l = layer_of(plan, number);
      carry(l, theta, below, state, act, from, to, under, width, factor);
      below = after + l.nx, under = to + l.nx * width;
      state += 2 * l.nx, after += 2 * l.nx, act += 5 * l.nx;
      from += 2 * l.nx * width, to += 2 * l.nx * width;
    }
    double* spare = now;
    now = next, next = spare;
  }
  free(memory);
  return 0;
}
