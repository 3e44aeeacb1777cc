/*
 * Elementary functions of the controller beside libm: `functions [stride]`. In single precision
 * every stride-th float with |x| <= 25, in double a grid of 25e6 / stride steps. Prints the largest
 * absolute error and the largest in units of the last place, of the answer (of 1 for sigmoid, whose
 * tail is absolute). EXACT: what libm is asked in.
 */
#include "@name@.c"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef FAST /* double is exact enough for floats, and quick */
typedef double exact;
#define TANH tanh
#define EXP exp
#else
typedef long double exact;
#define TANH tanhl
#define EXP expl
#endif

#ifdef @NAME@_DOUBLE
#define LAST 52
#else
#define LAST 23
#endif

typedef struct {
  double absolute, ulp, at;
} error_t;

static error_t tanh_error, sigmoid_error, root_error;

static void compare(error_t *e, real x, real got, exact want, exact unit) {
  const double by = (double)(got > want ? got - want : want - got), ulp = by / (double)unit;
  if (!(by <= e->absolute)) {
    e->absolute = by;
  }
  if (!(ulp <= e->ulp)) {
    e->ulp = ulp;
    e->at = (double)x;
  }
}

static exact unit_of(exact x) { /* of the last place */
  int power;
  (void)frexp((double)x, &power);
  return (exact)ldexp(1.0, power - 1 - LAST < -140 && LAST == 23 ? -149 : power - 1 - LAST);
}

static int check(real x) {
  const exact t = TANH((exact)x);
  const real got = tanh_of(x);
  if (tanh_of(-x) != -got || got > R(1.0) || got < R(0.0)) { /* odd, and nowhere beyond 1 */
    return 0;
  }
  compare(&tanh_error, x, got, t, unit_of(t));
  compare(&sigmoid_error, x, sigmoid(x), 1 / (1 + EXP(-(exact)x)), (exact)ldexp(1.0, -LAST - 1));
  compare(&sigmoid_error, -x, sigmoid(-x), 1 / (1 + EXP((exact)x)), (exact)ldexp(1.0, -LAST - 1));
  return sigmoid(x) <= R(1.0) && sigmoid(-x) >= R(0.0);
}

int main(int argc, char **argv) {
  const uint32_t stride = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000u;
  const volatile real zero = R(0.0);
  const real odd[] = {zero / zero, R(1.0) / zero,      R(-1.0) / zero, -zero,  R(1e38),
                      R(-1e38),    R(1e-38) * R(1e-4), R(26.0),        R(-1e3)};
  uint32_t k;
  int power;
#ifdef @NAME@_DOUBLE
  for (k = 0u; k <= 25000000u; k += stride) {
    if (!check((real)k * R(1e-6)) || !check(ldexp((real)(k + 1u), -(int)(k % 60u) - 25))) {
      return 1;
    }
  }
#else
  for (k = 0u; k <= 0x41C80000u; k += stride) { /* the bits of 25.0f */
    real x;
    memcpy(&x, &k, sizeof x);
    if (!check(x)) {
      return 1;
    }
  }
#endif
  for (k = 0u; k < sizeof odd / sizeof *odd; ++k) {
    if (!(magnitude(tanh_of(odd[k])) <= R(1.0)) ||
        !(sigmoid(odd[k]) >= R(0.0) && sigmoid(odd[k]) <= R(1.0)) || !finite(root(odd[k]))) {
      return 2;
    }
  }
  if (tanh_of(R(1e38)) != R(1.0) || tanh_of(R(-1e38)) != R(-1.0)) {
    return 3;
  }
  for (power = LAST == 23 ? -125 : -1000; power < (LAST == 23 ? 127 : 1000); ++power) {
    for (k = 0u; k < 64u; ++k) {
      const real x =
          (real)ldexp(1.0 + (double)k / 64.0 + (double)((k * 2654435761u) >> 8) * 0x1p-32, power);
      const exact want = (exact)sqrtl((long double)x);
      compare(&root_error, x, root(x), want, unit_of(want));
    }
  }
  if (root(R(0.0)) != R(0.0) || root(R(-1.0)) != R(0.0) || root(R(4.0)) != R(2.0)) {
    return 4;
  }
  printf("%.4g %.4g %.4g %.4g %.4g %.9g\n", tanh_error.absolute, tanh_error.ulp,
         sigmoid_error.absolute, sigmoid_error.ulp, root_error.ulp, tanh_error.at);
  return 0;
}
