/* -- elementary functions ---------------------------------------------------------------------- */

static bool finite(real x) { return x - x == R(0.0); }

OUT_OF_LINE static bool all_finite(const real *x, uint32_t count) {
  for (; count > 0u; --count) {
    if (!finite(x[count - 1u])) {
      return false;
    }
  }
  return true;
}

static real magnitude(real x) {
#ifdef __GNUC__
  return ABSOLUTE(x); /* one instruction, and the same number */
#else
  return x > R(0.0) ? x : R(0.0) - x;
#endif
}

static real minimum(real a, real b) { return a < b ? a : b; }

OUT_OF_LINE static real maximum(real a, real b) { return a > b ? a : b; }

/* Within `low` and `high`, which are numbers; NaN becomes `low`. */
OUT_OF_LINE static real clamp(real x, real low, real high) {
  return minimum(maximum(x, low), high);
}

{# R10: every IEEE machine computes the same bits #}
/* tanh z = (1 - e^-a) / (1 + e^-a) with a = 2|z|, where e^-a = (1 + p) / 2^k and k log 2 is next to
 * a. NaN counts as SATURATION. */
OUT_OF_LINE static real tanh_of(real z) {
  real a = R(2.0) * magnitude(z), r, p, power, t;
  uint32_t k;
  if (!(a < SATURATION)) {
    a = SATURATION;
  }
  k = (uint32_t)(a * R(1.4426950408889634) + R(0.5));
  r = (real)k * R(0.693359375) - a; /* exact: few digits, then the rest of log 2 */
  r = r + (real)k * R(-2.1219444005469058e-4);
  /* r + r^2/2 + ... by Horner */
  p = R(1.0 / 120.0) + r * (R(1.0 / 720.0) + r * (R(1.0 / 5040.0) + r * TAIL(r)));
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
