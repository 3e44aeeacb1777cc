#include "@name@.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __FAST_MATH__
#error "compile without -ffast-math: checks for finite numbers would vanish"
#endif

typedef @name@_real real;
typedef @name@_model model_t;
typedef @name@_state state_t;
typedef @name@_work work_t;

#define R(x) ((real)(x))

#define KALMAN @NAME@_KALMAN /* 1: an observer with the disturbance at the inputs */
#define HISTORY @NAME@_HISTORY /* samples by which the delays of the inputs differ */
{% if monitor %}
#define MONITOR @NAME@_MONITOR
#if MONITOR > @NAME@_N
#error "the monitor looks no further than the plan"
#endif
#define DEVIATIONS R(@deviations | number@) /* standard ones that an estimate may be off */
{% endif %}
{% if alarm %}
#define ALARM @NAME@_ALARM
{% endif %}

#ifdef __GNUC__
#define OUT_OF_LINE __attribute__((noinline)) /* smaller, and not slower */
#else
#define OUT_OF_LINE
#endif

#if defined(__GCC_ATOMIC_INT_LOCK_FREE) && __GCC_ATOMIC_INT_LOCK_FREE == 2
#define LOCK_FREE 1 /* the processor can exchange a word at once */
#else
#define LOCK_FREE 0
#endif

/* Nothing in memory moves across it: who interrupts finds what the phase says. */
#ifdef __GNUC__
#define BARRIER() __asm__ volatile("" ::: "memory")
#else
#define BARRIER() (void)0
#endif

enum {
  NU = @NAME@_NU,
  NY = @NAME@_NY,
  N = @NAME@_N,
  BLOCKS = @NAME@_BLOCKS,
  NV = @NAME@_NV,
  LAYERS = @NAME@_LAYERS,
  NXI = @NAME@_NXI,
  NCHI = @NAME@_NCHI,
  LAG = @NAME@_LAG,
  PROBES = LAG + 1, /* places for what is under way to the probe ... */
  STAGE = @NAME@_STAGE, /* reals of a linearised step of the network */
  WIDEST = @NAME@_WIDEST, /* layer, or inputs */
  REFERENCES = @NAME@_REFERENCES, /* rows of setpoints */
  PREDICTED = @NAME@_PREDICTED, /* reals that are predicted along a plan */
{% if measured %}
  NM = @NAME@_NM, /* measured inputs */
  NW = NU + NM, /* inputs of the network: those that are moved, then those that are measured */
  FORESEEN = @NAME@_FORESEEN, /* rows of measured inputs */
{% endif %}
#if KALMAN
  NP = @NAME@_NP, /* states and input disturbances */
  WIDE = @NW@, /* ... inputs */
#else
  WIDE = NY, /* ... outputs */
#endif
  BOUND_ROWS = 2 * NV,
  HARD_ROWS = BOUND_ROWS + @NAME@_RATE_ROWS,
  ROWS = @NAME@_ROWS
};

enum { FREE = 0, ACTIVE = 1, CAPPED = 2 };

/* Numbers of the precision, each after its cause. */
#ifdef @NAME@_DOUBLE
#define TAIL(r) \
  (R(1.0 / 40320.0) + \
   (r) * (R(1.0 / 362880.0) + \
          (r) * (R(1.0 / 3628800.0) + \
                 (r) * (R(1.0 / 39916800.0) + \
                        (r) * (R(1.0 / 479001600.0) + (r) * R(1.0 / 6227020800.0))))))
#define SATURATION R(40.0) /* exp(-SATURATION) is nothing beside 1 */
#define DAMPING R(1e-10) /* of the Hessian, relative to its largest diagonal entry */
/* share of a normal, squared, that must lie outside the span of the working set */
#define DEPENDENT R(1e-14)
#define SLACK R(1e-12) /* violation of a row that counts as none */
#define ROUNDING R(1e-15) /* error of a sum that may be round-off */
#define REST_TOLERANCE R(1e-15)
{% if terminal %}
#define STEADY R(1e-12) /* step towards a target that counts as none */
#define NEAR R(1e-6) /* ... after which none is needed */
#define REACHED R(1e-6) /* distance from the setpoint that counts as none */
#define ALIKE R(1e-13) /* by which an input that is rounded twice may differ */
{% endif %}
#define LAST_PLACE R(2.3e-16) /* more than half a unit in the last place of 1, twice */
#define ABSOLUTE(x) __builtin_fabs(x)
#define POWER(k) ((real)(1u << ((k) / 2u)) * (real)(1u << ((k) - (k) / 2u))) /* k may exceed 31 */
#else
#define TAIL(r) R(0.0)
#define SATURATION R(20.0)
#define DAMPING R(1e-6)
#define DEPENDENT R(1e-9)
#define SLACK R(1e-6)
#define ROUNDING R(1e-6)
#define REST_TOLERANCE R(1e-7)
{% if terminal %}
#define STEADY R(2e-6)
#define NEAR R(1e-3)
#define REACHED R(1e-4)
#define ALIKE R(1e-5)
{% endif %}
#define LAST_PLACE R(1.2e-7)
#define ABSOLUTE(x) __builtin_fabsf(x)
#define POWER(k) ((real)(1u << (k)))
#endif
#define NEVER R(1e30) /* a number that nothing here reaches */
{% if terminal %}
#define TARGET_STEPS 8u /* of Newton's method, towards a target */
#define TARGET_SWEEPS (NU > 1 ? 60u : 1u) /* over the inputs, in each */
{% endif %}
#define REST_SAMPLES 3000u /* samples that the observer may take to come to rest, at init only */
/* Whose turn it is. The phase of a state is this more than the checksum of its model, so that any
 * other word says that init has not been, or with another model. */
#define BUSY 0u /* one of them is at work, or was broken off */
#define READY 1u /* prepare */
#define PREPARED 2u /* feedback */
#define APPLIED 3u /* advance */
#define ASLEEP 4u /* init */
#if KALMAN
/* samples in which the covariance becomes that of a rest, at init only */
#define COVARIANCE_SAMPLES 200u
#define MIN_VARIANCE R(1e-4) /* variance of the noise, as a share of the declared one */
#define VARIANCE_GAIN R(0.1) /* share of what is new in it */
#define TREND_MEMORY R(0.5) /* of the trend */
#define WHITE_LEVEL R(2.0) /* squared trend, of white innovations 1, that is none yet */
#endif

static const uint16_t cells[LAYERS] = @NAME@_CELLS;
/* a constant in one layer */
#define CELLS(layer) (LAYERS == 1 ? (uint32_t)NXI : (uint32_t)cells[layer])
static const uint16_t starts[BLOCKS + 1] = @NAME@_STARTS; /* first sample of each block, and N */
/* where the gains of a sample begin; NY rows of ... */
static const uint16_t row_start[N] = @NAME@_ROW_START;
static const uint16_t row_length[N] = @NAME@_ROW_LENGTH; /* ... this length */

/* The tables; where every sample has a block of its own, their rule. */
#define START(block) (BLOCKS == N ? (block) : (uint32_t)starts[block])
#define ROW_START(k) \
  (BLOCKS == N ? (uint32_t)(NU * NY) * (k) * ((k) + 1u) / 2u : (uint32_t)row_start[k])
#define ROW_LENGTH(k) (BLOCKS == N ? (uint32_t)NU * ((k) + 1u) : (uint32_t)row_length[k])

#if HISTORY > 0
/* samples that an input arrives after the quickest */
static const uint16_t extra_delay[@NW@] = @NAME@_EXTRA_DELAYS;
#endif

/* unit vector j of the inputs begins at NU - 1 - j */
static const real unit[2 * NU - 1] = {[NU - 1] = R(1.0)};

/* What a sample works on. `reference` is read with `stride`: 0 where one setpoint is held. */
typedef struct {
  const model_t *model;
  state_t *state;
  work_t *work;
  const real *reference;
  uint32_t stride;
} context;
