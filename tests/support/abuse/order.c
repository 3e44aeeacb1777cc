/*
 * Calls out of order: `order WHICH seed`. Whatever comes, the input is the one in force or one move
 * from it, and nothing beyond the arrays is touched. Prints what was not so; 0: all was. Compile
 * with -finstrument-functions: any function that begins may be interrupted by another call.
 */
#include "@name@.c"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL (&@name@_data)
#define PLAIN __attribute__((no_instrument_function))

static state_t state, held;
static work_t work;
static real y[NY], reference[REFERENCES * NY], u[NU];
static uint64_t seed;

PLAIN static uint32_t draw(void) { /* splitmix */
  uint64_t z = (seed += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return (uint32_t)((z ^ (z >> 31)) >> 32);
}

static int wrong(const char *what, uint32_t status) {
  printf("%s: status %u, u %.9g, in force %.9g\n", what, (unsigned)status, (double)u[0],
         (double)held.applied[0]);
  return 1;
}

/* At rest in the middle, a setpoint far away, and where `ahead` a sample behind it. */
static void begin(int ahead) {
  uint32_t j;
  for (j = 0u; j < NY; ++j) y[j] = MODEL->y_mid[j];
  for (j = 0u; j < REFERENCES * NY; ++j)
    reference[j] = MODEL->y_mid[j % NY] + R(0.6) * MODEL->y_span[j % NY];
  for (j = 0u; j < NU; ++j) u[j] = R(0.5) * (MODEL->u_low[j] + MODEL->u_high[j]);
  (void)@name@_init(MODEL, &state, y, u);
  if (ahead) (void)@name@_step(MODEL, &state, &work, y, reference, u);
  held = state;
}

/* Was the call refused, with the input in force and the state as it was? */
static int refused(uint32_t status) {
  return status == @NAME@_OUT_OF_ORDER && memcmp(u, held.applied, sizeof u) == 0 &&
         memcmp(&state, &held, sizeof state) == 0;
}

/* Is `u` one admissible move away from what was held? */
static int one_move(void) {
  uint32_t j;
  for (j = 0u; j < NU; ++j) {
    if (!(u[j] >= MODEL->u_low[j] && u[j] <= MODEL->u_high[j]) ||
        !(magnitude(u[j] - held.applied[j]) <= MODEL->max_move[j] + R(1e-6) * MODEL->u_span[j])) {
      return 0;
    }
  }
  return 1;
}

static uint32_t prepared_feedback(void) {
  @name@_prepare(MODEL, &state, &work);
  held = state;
  return @name@_feedback(MODEL, &state, &work, y, reference, u);
}

static int unprepared(void) {
  int byte, bad = 0;
  for (byte = 0; byte < 256; byte += 51) {
    uint32_t status;
    begin(byte % 2);
    memset(&work, byte, sizeof work);
    status = @name@_feedback(MODEL, &state, &work, y, reference, u);
    if (!refused(status)) bad += wrong("feedback without prepare", status);
    @name@_advance(MODEL, &state, &work);
    if (memcmp(&state, &held, sizeof state) != 0) bad += wrong("advance without feedback", 0u);
    status = prepared_feedback();
    if (status == @NAME@_OUT_OF_ORDER || !one_move()) bad += wrong("then in order", status);
    @name@_advance(MODEL, &state, &work);
    held = state;
    status = @name@_feedback(MODEL, &state, &work, y, reference, u);
    if (!refused(status)) bad += wrong("feedback without another prepare", status);
  }
  return bad;
}

static int twice(void) {
  int k, bad = 0;
  uint32_t status;
  begin(1);
  status = prepared_feedback();
  if (status == @NAME@_OUT_OF_ORDER || !one_move()) bad += wrong("the first", status);
  held = state;
  for (k = 0; k < 5; ++k) { /* the same sample again, and as if advance were forgotten */
    if (k > 1) @name@_prepare(MODEL, &state, &work);
    status = @name@_feedback(MODEL, &state, &work, y, reference, u);
    if (!refused(status)) bad += wrong("feedback twice", status);
  }
  @name@_advance(MODEL, &state, &work);
  held = state;
  @name@_advance(MODEL, &state, &work);
  if (memcmp(&state, &held, sizeof state) != 0) bad += wrong("advance twice", 0u);
  status = prepared_feedback();
  if (status == @NAME@_OUT_OF_ORDER || !one_move()) bad += wrong("then in order", status);
  return bad;
}

/* All of the scratch, or of it any bytes behind its owner; a count or a row that cannot be. */
static int overwritten(void) {
  int k, bad = 0;
  for (k = 0; k < 600; ++k) {
    uint32_t status, byte, row;
    int impossible = k < 100;
    begin(1);
    @name@_prepare(MODEL, &state, &work);
    held = state;
    if (impossible) {
      memset(&work, (int)draw(), sizeof work);
    } else {
      const uint32_t count = 1u << draw() % 12u;
      for (byte = 0u; byte < count; ++byte) {
        const size_t first = offsetof(work_t, cost);
        ((uint8_t *)&work)[first + draw() % (sizeof work - first)] = (uint8_t)draw();
      }
      if (k % 3 == 1) work.count = draw() % (2u * NV);
      impossible = work.count > NV;
      for (row = 0u; row < work.count && row < NV; ++row) {
        if (k % 3 == 2) work.active[row] = (uint16_t)(draw() % (2u * ROWS));
        impossible = impossible || work.active[row] >= ROWS;
      }
    }
    status = @name@_feedback(MODEL, &state, &work, y, reference, u);
    if (impossible ? !refused(status) : !one_move()) bad += wrong("overwritten scratch", status);
    if (impossible) {
      status = prepared_feedback();
      if (status == @NAME@_OUT_OF_ORDER || !one_move()) bad += wrong("then in order", status);
    }
  }
  return bad;
}

static int shared(void) {
  static state_t other;
  uint32_t status;
  begin(1);
  other = state;
  @name@_prepare(MODEL, &state, &work);
  @name@_prepare(MODEL, &other, &work);
  held = state;
  status = @name@_feedback(MODEL, &state, &work, y, reference, u);
  return refused(status) ? 0 : wrong("scratch of another controller", status);
}

/* -- interrupted ------------------------------------------------------------------------------- */

static long entries, at = -1; /* functions begun, and at which of them the interrupt comes */
static int within, faults;

PLAIN void __cyg_profile_func_enter(void *function, void *caller);
PLAIN void __cyg_profile_func_exit(void *function, void *caller);

PLAIN void __cyg_profile_func_enter(void *function, void *caller) {
  (void)function;
  (void)caller;
  if (++entries - 1 == at && !within) {
    const uint32_t phase = state.phase;
    state_t before;
    real answer[NU];
    uint32_t status;
    within = 1;
    memcpy(&before, &state, sizeof state);
    status = @name@_step(MODEL, &state, &work, y, reference, answer);
    if (phase == MODEL->crc + BUSY &&
        (status != @NAME@_OUT_OF_ORDER || memcmp(&before, &state, sizeof state) != 0)) {
      ++faults;
    }
    within = 0;
  }
}

PLAIN void __cyg_profile_func_exit(void *function, void *caller) {
  (void)function;
  (void)caller;
}

/* A step on the same state comes in the middle of one: where it is busy, the answer is that of a
 * step without it, to the bit. */
static int interrupted(void) {
  state_t after;
  real answer[NU];
  long total, k;
  int bad = 0;
  begin(1);
  entries = 0;
  (void)@name@_step(MODEL, &state, &work, y, reference, u);
  total = entries;
  after = state;
  memcpy(answer, u, sizeof u);
  if (total < 100) return wrong("nothing was counted", 0u);
  /* step, prepare, what it calls and claim have begun: from there on the state is claimed */
  for (k = 4; k < total; k += k < 40 || k > total - 40 ? 1 : 1 + total / 300) {
    uint32_t status;
    begin(1);
    entries = 0;
    at = k;
    status = @name@_step(MODEL, &state, &work, y, reference, u);
    at = -1;
    if (status == @NAME@_OUT_OF_ORDER) { /* it came between two calls, and was the one served */
      if (memcmp(state.applied, answer, sizeof answer) != 0) bad += wrong("served twice", status);
    } else if (faults || memcmp(u, answer, sizeof u) != 0 ||
               memcmp(&state, &after, sizeof state) != 0) {
      bad += wrong("interrupted", status);
    }
    faults = 0;
  }
  return bad;
}

int main(int argc, char **argv) {
  const char *which = argc > 1 ? argv[1] : "";
  seed = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
  return !strcmp(which, "unprepared")    ? unprepared()
         : !strcmp(which, "twice")       ? twice()
         : !strcmp(which, "overwritten") ? overwritten()
         : !strcmp(which, "shared")      ? shared()
                                         : interrupted();
}
