/*
 * Runs @steps@ steps and compares with the outputs that CasADi computed.
 * Exit code 0: agreement to @tolerance@.
 */
#include <math.h>
#include <stdio.h>
#include "@name@.h"

{% for label, size, table in (("input", "INPUTS", u), ("expected", "OUTPUTS", y)) %}
static const double @label@[@steps@][@NAME@_@size@] = {
{% for row in table %}
  {@row | numbers@},
{% endfor %}
};

{% endfor %}
int main(void) {
  double state[@NAME@_STATES], y[@NAME@_OUTPUTS], worst = 0.0;
  int k, j;
  @name@_init(state);
  for (k = 0; k < @steps@; ++k) {
    @name@_output(state, y);
    for (j = 0; j < @NAME@_OUTPUTS; ++j) {
      double scale = fmax(1.0, fabs(expected[k][j]));
      double error = fabs(y[j] - expected[k][j]) / scale;
      if (!(error <= worst)) worst = error;
    }
    @name@_step(state, input[k]);
  }
  printf("@name@ %.12s: @steps@ steps, largest error %.3g (tolerance @tolerance@)\n", @NAME@_DIGEST,
         worst);
  return worst <= @tolerance@ ? 0 : 1;
}
