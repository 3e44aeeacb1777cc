/*
 * Hostile use of the controller: `abuse steps|solves|garbage|window|rot count seed`. Prints counts;
 * 1 with a sentence when a promise is broken. LOW, HIGH, MOVE: the limits as the problem has them,
 * before they were rounded. UNTOUCHED: for valgrind. The algorithm is included, so that its own
 * `project` makes admissible plans.
 */
#include "@name@.c"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL (&@name@_data)

#ifdef LOW
static const double u_low[NU] = {LOW}, u_high[NU] = {HIGH}, max_move[NU] = {MOVE};
#endif

static state_t state, twin;
static work_t work, other;
static real y[NY], reference[REFERENCES * NY], u[NU];
static unsigned long flags[9], seen, accepted;
static double excess; /* largest move beyond the limit */
static uint64_t seed;

static uint32_t draw(void) { /* splitmix */
  uint64_t z = (seed += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return (uint32_t)((z ^ (z >> 31)) >> 32);
}

static real between(real low, real high) {
  return low + (high - low) * ((real)(draw() >> 8) / R(16777216.0));
}

static real any_bits(void) {
  unsigned char bytes[sizeof(real)];
  real x;
  size_t k;
  for (k = 0; k < sizeof bytes; ++k) {
    bytes[k] = (unsigned char)draw();
  }
  memcpy(&x, bytes, sizeof x);
  return x;
}

/* What a broken sensor or a careless operator may say, mostly something near `mid`. */
static real hostile(real mid, real span) {
  const real zero = R(0.0) * mid, one = R(1.0);
  switch (draw() % 24u) {
    case 0: return zero / (zero - zero); /* NaN */
    case 1: return one / (zero * zero);
    case 2: return -one / (zero * zero);
    case 3: return R(1e38);
    case 4: return R(-1e38);
    case 5: return R(1e-38) * R(1e-4); /* subnormal in single precision */
    case 6: return -zero;
    case 7: return any_bits();
    case 8: return mid + span * between(R(-1e3), R(1e3));
    case 9: return mid + span * between(R(-1e12), R(1e12));
    default: return mid + span * between(R(-1.5), R(1.5));
  }
}

static int broken(const char *what, unsigned long k, uint32_t status) {
  printf("broken: %s at %lu, status %u, u %.9g\n", what, k, (unsigned)status, (double)u[0]);
  return 1;
}

/* The promises that go with every input; `from` is what was in force. */
static int keeps(const real from[NU], uint32_t status, unsigned long k) {
  uint32_t j;
  for (j = 0u; j < 8u; ++j) {
    flags[j] += status >> j & 1u;
  }
  flags[8] += status == 0u;
  ++seen;
  for (j = 0u; j < NU; ++j) {
    const double beyond = (double)magnitude(u[j] - from[j]) - (double)MODEL->max_move[j];
    if (!finite(u[j])) {
      return !broken("finite", k, status);
    }
    if (!(u[j] >= MODEL->u_low[j] && u[j] <= MODEL->u_high[j])) {
      return !broken("bounds", k, status);
    }
    excess = beyond > excess ? beyond : excess;
    if (!(beyond <= 1e-6 * (double)MODEL->u_span[j])) {
      return !broken("rate", k, status);
    }
#ifdef LOW
    if (!((double)u[j] >= u_low[j] && (double)u[j] <= u_high[j])) {
      return !broken("true bounds", k, status);
    }
    if (!((double)u[j] - (double)from[j] <= max_move[j] &&
          (double)from[j] - (double)u[j] <= max_move[j])) {
      return !broken("true rate", k, status);
    }
#endif
    if (u[j] != state.applied[j]) {
      return !broken("applied", k, status);
    }
  }
  if (status > 255u) {
    return !broken("status", k, status);
  }
  return 1;
}

/* A sample, which must keep them; what was in force is the safe input where the state says
 * something that cannot be. */
static int sample(unsigned long k, uint32_t *status) {
  real from[NU];
  uint32_t j;
  for (j = 0u; j < NU; ++j) {
    const int inside = state.applied[j] >= MODEL->u_low[j] && state.applied[j] <= MODEL->u_high[j];
    from[j] = inside ? state.applied[j] : MODEL->u_safe[j];
  }
  *status = @name@_step(MODEL, &state, &work, y, reference, u);
  return keeps(from, *status, k);
}

static int begin_at(real share) {
  uint32_t j;
  for (j = 0u; j < NY; ++j) {
    y[j] = MODEL->y_mid[j];
  }
  for (j = 0u; j < NU; ++j) {
    u[j] = MODEL->u_low[j] + share * (MODEL->u_high[j] - MODEL->u_low[j]);
  }
  return @name@_init(MODEL, &state, y, u) == 0u;
}

/* Around the middle, up to `share` of the span away. */
static void any_measurement(real share) {
  uint32_t j;
  for (j = 0u; j < NY; ++j) {
    y[j] = MODEL->y_mid[j] + MODEL->y_span[j] * between(-share, share);
  }
}

static void any_reference(int wild) {
  uint32_t j;
  for (j = 0u; j < REFERENCES * NY; ++j) {
    const real mid = MODEL->y_mid[j % NY], span = MODEL->y_span[j % NY];
    reference[j] = wild ? hostile(mid, span) : mid + span * between(R(-2.0), R(2.0));
  }
}

static int steps(unsigned long count) {
  unsigned long k;
  unsigned mood = 0u; /* 0 wild, 1 frozen, 2 calm, 3 jumps */
  for (k = 0; k < count + 400u; ++k) {
    uint32_t j, status;
    const int calm = k >= count; /* the end: it must come back to its senses */
    if (draw() % 50u == 0u) {
      mood = draw() % 4u;
    }
    for (j = 0u; j < NY && mood != 1u && !calm; ++j) {
      const real mid = MODEL->y_mid[j], span = MODEL->y_span[j];
      y[j] = mood == 0u   ? hostile(mid, span)
             : mood == 2u ? mid + span * between(R(-0.1), R(0.1))
                          : mid + span * (draw() % 2u ? R(3.0) : R(-3.0));
    }
    if (calm || draw() % 4u == 0u) {
      any_reference(mood == 0u && !calm);
    }
    for (j = 0u; j < NY && calm; ++j) {
      uint32_t i;
      y[j] = MODEL->y_mid[j] + MODEL->y_span[j] * between(R(-0.05), R(0.05));
      for (i = 0u; i < REFERENCES; ++i) {
        reference[i * NY + j] = MODEL->y_mid[j];
      }
    }
    if (draw() % 8u == 0u) { /* scratch is shared with others after advance */
      memset(&work, (int)(draw() & 255u), sizeof work);
    }
    if (!sample(k, &status)) {
      return 1;
    }
    if (k >= count + 390u && (status & ~(uint32_t)@NAME@_BUDGET) != 0u) {
      return broken("calm again", k, status);
    }
  }
  return 0;
}

/* A state that might be: within bounds, but nothing more. 0: one that watch must refuse. */
static int any_state(void) {
  const context c = {MODEL, &state, &work, NULL, 0u};
  const unsigned kind = draw() % 8u, marks = draw() % 4u;
  uint32_t j;
  for (j = 0u; j < NCHI; ++j) {
    state.chi[j] = between(-MODEL->bound[j], MODEL->bound[j]);
  }
#if KALMAN
  for (j = 0u; j < NP; ++j) {
    const real end = j < NCHI ? MODEL->bound[j] : MODEL->max_disturbance[j - NCHI];
    state.estimate[j] = between(-end, end);
    state.covariance[j * NP] = between(R(-0.1), R(0.1)); /* the vector whose square it becomes */
  }
  for (j = NP * NP; j > 0u; --j) {
    state.covariance[j - 1u] =
        state.covariance[(j - 1u) / NP * NP] * state.covariance[(j - 1u) % NP * NP];
  }
  for (j = 0u; j < NY; ++j) {
    state.noise_variance[j] = between(R(1e-9), R(1e-2));
    state.innovation_trend[j] = between(R(-9.0), R(9.0));
  }
#else
  for (j = 0u; j < NY; ++j) {
    state.disturbance[j] = between(R(-1.0), R(1.0));
  }
#endif
  for (j = 0u; j < PROBES * WIDE; ++j) {
    state.delay_buffer[j] = between(R(-1.0), R(1.0));
  }
#if HISTORY > 0
  for (j = 0u; j < HISTORY * NU; ++j) {
    const real low = MODEL->u_low[j % NU], high = MODEL->u_high[j % NU];
    state.input_history[j] =
        normalised(MODEL, draw() % 4u ? clamp(between(low, high), low, high) : high, j % NU);
  }
#endif
  state.oldest = draw() % PROBES;
  for (j = 0u; j < NU; ++j) {
    const uint32_t end = draw() % 4u;
    state.applied[j] = end == 0u   ? MODEL->u_low[j]
                       : end == 1u ? MODEL->u_high[j]
                                   : between(MODEL->u_low[j], MODEL->u_high[j]);
    state.applied[j] = clamp(state.applied[j], MODEL->u_low[j], MODEL->u_high[j]);
  }
  normalise(MODEL, &state);
  for (j = 0u; j < NV; ++j) {
    const real low = MODEL->v_low[j % NU], high = MODEL->v_high[j % NU];
    state.plan[j] = kind == 0u   ? low
                    : kind == 1u ? high
                    : kind == 2u ? (draw() % 2u ? low : high)
                                 : between(R(2.0) * low, R(2.0) * high);
  }
  if (kind < 7u) {
    project(&c, state.plan);
  } else if (draw() % 2u) {
    state.plan[draw() % NV] = hostile(R(0.0), R(1.0));
  } else {
    /* as it is, inadmissible */
  }
  for (j = 0u; j < ROWS; ++j) {
    state.working_set[j] = (uint8_t)(marks == 0u   ? draw()
                                     : marks == 1u ? draw() % 3u
                                     : marks == 2u ? (draw() % 8u == 0u) * (1u + draw() % 2u)
                                                   : 0u);
  }
  return kind < 7u;
}

static int solves(unsigned long count) {
  unsigned long k;
  for (k = 0; k < count; ++k) {
    uint32_t j, status;
    const int sound = any_state();
    any_measurement(R(1.5));
    any_reference(0);
    memset(&work, (int)(draw() & 255u), sizeof work);
    if (!sample(k, &status)) {
      return 1;
    }
    if ((status & (@NAME@_SOLVE_FAILED | @NAME@_SAFE_INPUT | @NAME@_REFUSED)) != 0u) {
      return broken("solve", k, status);
    }
    accepted += (status & @NAME@_STATE_RESET) == 0u;
    if (sound && (status & @NAME@_STATE_RESET) != 0u) {
      return broken("a sound state was refused", k, status);
    }
    for (j = 0u; j < NV; ++j) {
      if (!finite(state.plan[j]) || state.plan[j] < MODEL->v_low[j % NU] ||
          state.plan[j] > MODEL->v_high[j % NU]) {
        return broken("plan", k, status);
      }
    }
  }
  return 0;
}

/* What lay in the scratch before prepare must not matter, not to a bit. */
static int garbage(unsigned long count) {
  unsigned long k;
  for (k = 0; k < count; ++k) {
    real u_twin[NU];
    uint32_t j, status, status_twin;
    unsigned char *byte = (unsigned char *)&other;
    (void)any_state();
    twin = state;
    any_reference(draw() % 4u == 0u);
    for (j = 0u; j < NY; ++j) {
      y[j] = hostile(MODEL->y_mid[j], MODEL->y_span[j]);
    }
    memset(&work, 0, sizeof work);
    memset(&other, 255, sizeof other); /* NaN, and counts beyond every array */
    for (j = 0u; j < sizeof other && k % 2u; ++j) {
      byte[j] = (unsigned char)draw();
    }
    if (!sample(k, &status)) {
      return 1;
    }
    status_twin = @name@_step(MODEL, &twin, &other, y, reference, u_twin);
    if (status != status_twin || memcmp(u, u_twin, sizeof u) != 0 ||
        memcmp(&state, &twin, sizeof state) != 0) {
      return broken("scratch matters", k, status);
    }
  }
  return 0;
}

/* Bits that flip while the controller waits between prepare and feedback: the input is still one
 * within bounds. */
static int window(unsigned long count) {
  unsigned long k;
  for (k = 0; k < count; ++k) {
    uint32_t j, status;
    if (k % 16u == 0u && !begin_at(between(R(0.0), R(1.0)))) {
      return broken("init", k, 0);
    }
    any_reference(0);
    @name@_prepare(MODEL, &state, &work);
    switch (draw() % 8u) {
#if KALMAN
      case 6: state.covariance[draw() % (NP * NP)] = hostile(R(0.0), R(1.0)); break;
      case 7: state.estimate[draw() % NP] = hostile(R(0.0), R(1.0)); break;
#endif
#if HISTORY > 0
      case 5: state.input_history[draw() % (HISTORY * NU)] = hostile(R(0.0), R(1.0)); break;
#endif
      case 0: state.applied[draw() % NU] = hostile(R(0.0), R(1.0)); break;
      case 1: state.plan[draw() % NV] = hostile(R(0.0), R(1.0)); break;
      case 2: state.disturbance[draw() % NY] = hostile(R(0.0), R(1.0)); break;
      case 3: state.last_input[draw() % NU] = hostile(R(0.0), R(1.0)); break;
      case 4: state.oldest = draw(); break;
      default: state.working_set[draw() % ROWS] = (uint8_t)draw(); break;
    }
    status = @name@_feedback(MODEL, &state, &work, y, reference, u);
    for (j = 0u; j < NU; ++j) {
      if (!(u[j] >= MODEL->u_low[j] && u[j] <= MODEL->u_high[j])) {
        return broken("bounds after a bit flip", k, status);
      }
    }
    @name@_advance(MODEL, &state, &work);
    ++seen;
  }
  return 0;
}

/* A bit of the state tips over before every second sample: an input within bounds and rates, and a
 * state that is one again. */
static int rot(unsigned long count) {
  unsigned long k;
  for (k = 0; k < count; ++k) {
    uint32_t j, status;
    if (draw() % 2u) {
      const uint32_t bit = draw() % (8u * (uint32_t)sizeof state);
      ((unsigned char *)&state)[bit / 8u] ^= (unsigned char)(1u << bit % 8u);
      state.phase = MODEL->crc + READY; /* without it there is only the safe input */
    }
    any_measurement(R(0.5));
    any_reference(0);
    if (!sample(k, &status)) {
      return 1;
    }
    for (j = 0u; j < NCHI; ++j) {
      if (!(magnitude(state.chi[j]) <= MODEL->bound[j])) {
        return broken("chi", k, status);
      }
    }
    if (!all_finite(state.disturbance, NY) || !all_finite(state.plan, NV) ||
        state.oldest >= PROBES) {
      return broken("state", k, status);
    }
  }
  return 0;
}

#ifdef UNTOUCHED
/* A static variable was written with zeros; to valgrind this memory never was. */
static void never_written(void *to, size_t size) {
  void *volatile from = malloc(size);
  if (from != NULL) {
    memcpy(to, from, size);
  }
  free(from);
}
#endif

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "";
  const unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
  int failed;
  seed = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
#ifdef UNTOUCHED
  never_written(&state, sizeof state);
  never_written(&work, sizeof work);
#endif
  failed = !begin_at(R(0.5))          ? broken("init", 0, 0)
           : !strcmp(mode, "steps")   ? steps(count)
           : !strcmp(mode, "solves")  ? solves(count)
           : !strcmp(mode, "garbage") ? garbage(count)
           : !strcmp(mode, "rot")     ? rot(count)
                                      : window(count);
  printf("seen %lu clean %lu accepted %lu excess %.3g flags", seen, flags[8], accepted, excess);
  for (seed = 0; seed < 8u; ++seed) {
    printf(" %lu", flags[seed]);
  }
  printf("\n");
  return failed;
}
