/*
 * Replays @samples@ samples and compares with what the twin in Python answered, and beside it with
 * IPOPT. Exit code 0: it agrees.
 */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include "@name@.h"

#define SAMPLES @samples@
#ifdef @NAME@_DOUBLE
#define TOLERANCE @tolerance.double | number@
#define PRECISION "double"
#else
#define TOLERANCE @tolerance.float | number@
#define PRECISION "float"
#endif

{% for label, width, table in tables %}
static const double @label@[SAMPLES][@width@] = {
{% for row in table %}
  {@row | numbers@},
{% endfor %}
};
{% endfor %}
static const uint32_t status[SAMPLES] = {@status | integers@};
static const double span[@NAME@_NU] = {@span | numbers@};
static const double in_force[@NAME@_NU] = {@in_force | numbers@};

static @name@_state state;
static @name@_work work;

typedef struct {
  char first;
  @name@_state state;
} aligned;

int main(void) {
  @name@_real y[@NAME@_NY], r[@NAME@_REFERENCES * @NAME@_NY], u[@NAME@_NU], iss, delta_iss;
{% if known %}
  @name@_real m[@NAME@_FORESEEN * @NAME@_NM];
{% endif %}
  double worst = 0.0, beside = 0.0;
  int k, i, statuses = 0, good;
  @name@_margins(&@name@_data, &iss, &delta_iss);
  for (i = 0; i < @NAME@_NU; ++i) u[i] = (@name@_real)in_force[i];
  for (i = 0; i < @NAME@_NY; ++i) y[i] = (@name@_real)measured[0][i];
{% if known %}
  for (i = 0; i < @NAME@_FORESEEN * @NAME@_NM; ++i) m[i] = (@name@_real)known[0][i];
{% endif %}
  if (@name@_init(&@name@_data, &state, y, u@", m" | raw if known else ""@) != 0u) {
    printf("@name@ " PRECISION ": the model is refused\n");
    return 1;
  }
  for (k = 0; k < SAMPLES; ++k) {
    uint32_t flags;
    for (i = 0; i < @NAME@_NY; ++i) y[i] = (@name@_real)measured[k][i];
    for (i = 0; i < @NAME@_REFERENCES * @NAME@_NY; ++i) r[i] = (@name@_real)setpoint[k][i];
{% if known %}
    for (i = 0; i < @NAME@_FORESEEN * @NAME@_NM; ++i) m[i] = (@name@_real)known[k][i];
{% endif %}
    flags = @name@_step(&@name@_data, &state, &work, y, r, @"m, " | raw if known else ""@u);
    /* round-off may decide whether a budget was just enough */
    statuses += (flags | @NAME@_BUDGET) != (status[k] | @NAME@_BUDGET);
    for (i = 0; i < @NAME@_NU; ++i) {
      const double error = fabs((double)u[i] - expected[k][i]) / span[i];
      const double to_ipopt = fabs((double)u[i] - ipopt[k][i]) / span[i];
      if (!(error <= worst)) worst = error;
      if (!(to_ipopt <= beside)) beside = to_ipopt;
    }
  }
  good = worst <= TOLERANCE && statuses == 0;
  printf("@name@ " PRECISION ": %d samples, largest |du| %.3g of the range used (tolerance %.0e), "
         "to IPOPT %.3g; statuses differ %d times; margins iss %.6f, delta_iss %.6f; "
         "bytes state %u, work %u, model %u; state aligned to %u\n",
         SAMPLES, worst, TOLERANCE, beside, statuses, (double)iss, (double)delta_iss,
         (unsigned)sizeof state, (unsigned)sizeof work, (unsigned)sizeof @name@_data,
         (unsigned)offsetof(aligned, state));
  return good ? 0 : 1;
}
