/*
 * Replays recorded frames through @name@ and writes what it answers, to the bit. The same file runs
 * on the host and on a core.
 *
 * frames.bin, little-endian:  sizeof(real), NU, NY, REFERENCES, runs (32 bits each); then for every
 * run its length (32 bits), y[NY], u[NU] to begin at, and for every sample y[NY],
 * reference[REFERENCES * NY]. answers.bin:                for every run one `begun`, for every
 * sample one `answer`; at the end one `summary`.
 */
#include <float.h>

#include "@name@.h"
#include "port.h"

#if FLT_EVAL_METHOD != 0
#error "this compiler computes wider than the type says: its bits are not those of other machines"
#endif

#define TURNS 500000u /* of the known loop: a million instructions */

typedef struct {
  uint32_t real, inputs, outputs, references, runs;
{% if measured %}
  uint32_t measured;
{% endif %}
} header;

typedef struct {
  uint32_t status, ticks; /* of init */
} begun;

/* without gaps: the reals fill an even number of words wherever they are 8 bytes long */
typedef struct {
  @name@_real u[@NAME@_NU];
  uint32_t status, prepare, feedback, advance; /* the last three in ticks */
} answer;

typedef struct {
  uint32_t state, work, model; /* [bytes] */
  uint32_t stack; /* [bytes] */
  uint32_t nothing, loop; /* ticks of counting alone, and of a known loop */
} summary;

/* Static, so that the stack that is measured is the controller's. */
static @name@_state state;
static @name@_work work;

static uint32_t elapsed(int *failed) {
  const uint32_t ticks = port_ticks();
  if (ticks == UINT32_MAX) *failed = PORT_COUNTER;
  return ticks;
}

static int run(void) {
  static @name@_real y[@NAME@_NY], u[@NAME@_NU], reference[@NAME@_REFERENCES * @NAME@_NY];
{% if measured %}
  static @name@_real known[@NAME@_FORESEEN * @NAME@_NM];
{% endif %}
  static begun first;
  static answer now;
  uint32_t length;
  int failed = 0;
  if (port_read(&length, sizeof length) || port_read(y, sizeof y) || port_read(u, sizeof u))
    return PORT_FILES;
{% if measured %}
  if (port_read(known, sizeof known)) return PORT_FILES;
{% endif %}
  port_start();
  first.status = @name@_init(&@name@_data, &state, y, u@", known" | raw if measured else ""@);
  first.ticks = elapsed(&failed);
  if (port_write(&first, sizeof first)) return PORT_FILES;
  for (; length > 0 && failed == 0; --length) {
    if (port_read(y, sizeof y) || port_read(reference, sizeof reference)) return PORT_FILES;
{% if measured %}
    if (port_read(known, sizeof known)) return PORT_FILES;
{% endif %}
    port_start();
    @name@_prepare(&@name@_data, &state, &work);
    now.prepare = elapsed(&failed);
    port_start();
    now.status = @name@_feedback(&@name@_data, &state, &work, y, reference,
                                 @"known, " | raw if measured else ""@now.u);
    now.feedback = elapsed(&failed);
    port_start();
    @name@_advance(&@name@_data, &state, &work);
    now.advance = elapsed(&failed);
    if (port_write(&now, sizeof now)) return PORT_FILES;
  }
  return failed;
}

int main(void) {
  static header shape;
  static summary last = {sizeof(@name@_state), sizeof(@name@_work), sizeof(@name@_model), 0, 0, 0};
  int failed = 0;
  if (port_open() || port_read(&shape, sizeof shape)) return PORT_FILES;
  if (shape.real != sizeof(@name@_real) || shape.inputs != @NAME@_NU ||
{% if measured %}
      shape.measured != @NAME@_FORESEEN * @NAME@_NM ||
{% endif %}
      shape.outputs != @NAME@_NY || shape.references != @NAME@_REFERENCES) {
    return PORT_SHAPES;
  }
  port_start();
  last.nothing = elapsed(&failed);
  for (; shape.runs > 0 && failed == 0; --shape.runs) failed = run();
  if (failed != 0) return failed;
  last.stack = port_stack();
  if (last.stack == UINT32_MAX) return PORT_STACK;
  port_start();
  port_loop(TURNS);
  last.loop = elapsed(&failed);
  if (port_write(&last, sizeof last) || port_close()) return PORT_FILES;
  return 0;
}
