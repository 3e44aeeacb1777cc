/* The monitor's step: boxes of states and inputs, pairs of ends, from stdin; the boxes after each
 * step and those of the outputs to stdout. */
#include <stdio.h>

#include "@name@.c"

static int numbers(real *to, int count) {
  int j;
  for (j = 0; j < count; ++j) {
    double x;
    if (scanf("%lf", &x) != 1) {
      return 0;
    }
    to[j] = (real)x;
  }
  return 1;
}

int main(void) {
  const model_t *model = &@name@_data;
  real chi[2 * STATES], z[4 * WIDEST], y[2];
  int j;
  if (!numbers(chi, 2 * NCHI)) {
    return 1;
  }
  while (numbers(z, 2 * NU)) {
    advance_box(model, chi, z);
    for (j = 0; j < 2 * NCHI; ++j) {
      printf("%.17g ", (double)chi[j]);
    }
    for (j = 0; j < NY; ++j) {
      sum_of(model, &model->head[j * (NXI + 1)], z, NXI, y);
      printf("%.17g %.17g ", (double)y[0], (double)y[1]);
    }
    printf("\n");
  }
  return 0;
}
