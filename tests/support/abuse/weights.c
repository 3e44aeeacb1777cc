/*
 * A model in memory that can be harmed: `weights bits|none|grown|asleep`. Exit code 0: every harm
 * is refused.
 */
#include "@name@.c"

#include <math.h>
#include <stdio.h>
#include <string.h>

static model_t model;

static int refused(void) { return @name@_verify(&model) == @NAME@_REFUSED; }

/* Every single bit up to and with the checksum. */
static int bits(void) {
  const size_t end = 8u * (offsetof(model_t, crc) + sizeof model.crc);
  int wrong = 0;
  size_t bit;
  for (bit = 0u; bit < end; ++bit) {
    uint8_t *byte = &((uint8_t *)&model)[bit / 8u];
    *byte ^= (uint8_t)(1u << bit % 8u);
    if (!refused()) {
      printf("bit %lu of byte %lu is not seen\n", (unsigned long)(bit % 8u),
             (unsigned long)(bit / 8u));
      ++wrong;
    }
    *byte ^= (uint8_t)(1u << bit % 8u);
  }
  printf("%lu bits\n", (unsigned long)end);
  return wrong + refused();
}

/* Every number in turn NaN or infinite, under a checksum that fits. */
static int none(void) {
  real *numbers = (real *)(void *)&model;
  const size_t end = offsetof(model_t, sqp_iterations) / sizeof(real);
  const real values[] = {(real)NAN, (real)INFINITY, -(real)INFINITY};
  int wrong = 0;
  size_t j, k;
  for (j = 0u; j < end; ++j) {
    const real was = numbers[j];
    for (k = 0u; k < 3u; ++k) {
      numbers[j] = values[k];
      model.crc = crc_of(&model);
      if (!refused()) {
        printf("number %lu of %lu may be %g\n", (unsigned long)j, (unsigned long)end,
               (double)values[k]);
        wrong = 1;
      }
    }
    numbers[j] = was;
  }
  model.crc = crc_of(&model);
  return wrong + refused();
}

/* All weights grow under a checksum that fits. Prints factor, margins and verdict. */
static int grown(void) {
  const double factors[] = {0.5, 1.0, 2.0, 4.0, 100.0};
  size_t k, j;
  for (k = 0u; k < 5u; ++k) {
    real iss, delta_iss;
    model = @name@_data;
    for (j = 0u; j < @NAME@_WEIGHTS; ++j) {
      model.weights[j] = model.weights[j] * (real)factors[k];
    }
    model.crc = crc_of(&model);
    @name@_margins(&model, &iss, &delta_iss);
    printf("%g %.17g %.17g %d\n", factors[k], (double)iss, (double)delta_iss, refused());
  }
  return 0;
}

/* Without init, whatever the state holds, and with a model that init refuses, there is the safe
 * input and nothing else is written. */
static int asleep(void) {
  static state_t state, held;
  static work_t work, before;
  real y[NY], u[NU], reference[REFERENCES * NY];
  int wrong = 0, round;
  fill(y, R(0.0), NY);
  fill(reference, R(0.0), REFERENCES * NY);
  for (round = 0; round < 3; ++round) {
    memset(&state, round == 0 ? 0 : 0xFF, sizeof state);
    memset(&work, 0x5A, sizeof work);
    before = work;
    if (round == 2) {
      model.weights[0] = model.weights[0] + R(1.0);
      wrong += @name@_init(&model, &state, y, model.u_safe) != @NAME@_REFUSED;
    }
    held = state;
    fill(u, R(1e9), NU);
    wrong += @name@_step(&model, &state, &work, y, reference, u) != @NAME@_REFUSED;
    wrong += memcmp(u, model.u_safe, sizeof u) != 0 || memcmp(&work, &before, sizeof work) != 0 ||
             memcmp(&state, &held, sizeof state) != 0;
  }
  return wrong;
}

int main(int argc, char **argv) {
  const char mode = argc > 1 ? argv[1][0] : ' ';
  model = @name@_data;
  return mode == 'b' ? bits() : mode == 'n' ? none() : mode == 'g' ? grown() : asleep();
}
