/*
 * @name@: model predictive controller with its observer, C99.
{% include "story.h" %}
 *
 * One sample: feedback (measurement and setpoint in, input out), then advance, then prepare for the
 * next one. Without a hurry: step does all three. Values at this interface are in engineering
 * units. Nothing here allocates, recurses, prints or keeps data of its own; every loop has a bound
 * known at compile time.
 */
#ifndef @NAME@_H
#define @NAME@_H

#include <stdint.h>

#ifdef @NAME@_DOUBLE /* one switch for every number; the default is single precision */
typedef double @name@_real;
#else
typedef float @name@_real;
#endif

/* SHA-256 of the model */
#define @NAME@_DIGEST "@model.digest@"
#define @NAME@_TS @model.Ts | number@ /* [s] */
{% for key, size in sizes.items() %}
#define @NAME@_@key@ @size@
{% endfor %}
{% for key, table in tables.items() %}
@("#define %s_%s {%s}" % (NAME, key, table | integers)) | folded@
{% endfor %}
{% if monitor %}
#ifndef @NAME@_MONITOR /* samples for which a plan is checked; 0: the code of it is left out */
#define @NAME@_MONITOR @monitor@
#endif
{% endif %}
{% if alarm %}
#ifndef @NAME@_ALARM /* 0: the code of the alarm is left out */
#define @NAME@_ALARM 1
#endif
#define @NAME@_TRANSIENT @alarm.transient@ /* samples after init that raise no alarm */
{% endif %}
{% for condition, floor in floors.items() %}
#define @NAME@_@condition | upper@_FLOOR R(@floor | number@) /* what verify asks */
{% endfor %}

/* Status: 0, or a sum of these. The input that comes with it lies within bounds and rate limits
 * always. */
/* not finite or outside the sensor's range: the disturbance estimate is held */
#define @NAME@_MEASUREMENT_INVALID 1u
/* unchanged for too long: the disturbance estimate is held */
#define @NAME@_MEASUREMENT_FROZEN 2u
/* not finite: the last valid setpoint is kept */
#define @NAME@_SETPOINT_INVALID 4u
/* SQP or QP iterations ran out: the best feasible plan so far */
#define @NAME@_BUDGET 8u
/* no usable solution: the last good plan, shifted */
#define @NAME@_SOLVE_FAILED 16u
/* nothing left of that plan: on the way to the safe input */
#define @NAME@_SAFE_INPUT 32u
/* the state was corrupt and was made anew; delta-ISS forgets the difference */
#define @NAME@_STATE_RESET 64u
/* the model is corrupt, or not the one that init checked: nothing but the safe input */
#define @NAME@_REFUSED 128u
/* not prepared since the last advance, or the scratch is not what prepare left: the input in force
 * is kept, and nothing else is written */
#define @NAME@_OUT_OF_ORDER 1024u
{% if terminal %}
/* the setpoint is out of reach: the nearest steady output is followed */
#define @NAME@_OUT_OF_REACH 512u
{% endif %}
{% if monitor %}
/* the plan may take the model out of the safe set: on the way to the safe input */
#define @NAME@_UNSAFE_PLAN 4096u
{% endif %}
{% if alarm %}
/* a measurement is further from the model in open loop than its error tube is wide.
@alarm.words | comment@ */
#define @NAME@_MODEL_ALARM 2048u
{% endif %}
{% if measured %}
/* a measured input is not finite or beyond its limits: the last valid one is kept */
#define @NAME@_MEASURED_INVALID 256u
{% endif %}

/* The model and the tuning: constant, in flash. The numbers of one precision: its bounds are
 * rounded inwards. */
typedef struct {
  /* per layer, gate (f, i, o, c) and cell: W row, U row, b */
  @name@_real weights[@NAME@_WEIGHTS];
  @name@_real head[@NAME@_NY * (@NAME@_NXI + 1)]; /* per output: C row, b_y */
{% if measured %}
  /* [input unit] normalised = (value - mid) / span: of inputs that are moved, then of measured
   * ones */
  @name@_real u_mid[@NAME@_NU + @NAME@_NM];
  @name@_real u_span[@NAME@_NU + @NAME@_NM];
{% else %}
  @name@_real u_mid[@NAME@_NU]; /* [input unit] normalised = (value - mid) / span */
  @name@_real u_span[@NAME@_NU];
{% endif %}
  @name@_real y_mid[@NAME@_NY];
  @name@_real y_span[@NAME@_NY];
  @name@_real u_low[@NAME@_NU]; /* [input unit] hard bounds */
  @name@_real u_high[@NAME@_NU];
{% if uneven %}
  @name@_real max_move[@NAME@_NU]; /* [input unit a sample] hard rate limits: up, and down */
  @name@_real max_move_down[@NAME@_NU];
{% else %}
  @name@_real max_move[@NAME@_NU]; /* [input unit a sample] hard rate limit */
{% endif %}
  @name@_real u_safe[@NAME@_NU]; /* [input unit] where to go when nothing else is known */
{% if measured %}
  @name@_real measured_low[@NAME@_NM]; /* [input unit] between which a measured input is believed */
  @name@_real measured_high[@NAME@_NM];
  @name@_real measured_rest[@NAME@_NM]; /* [input unit] before the first valid one */
{% endif %}
  @name@_real sensor_low[@NAME@_NY]; /* [output unit] what the sensor can say */
  @name@_real sensor_high[@NAME@_NY];
  @name@_real v_low[@NAME@_NU]; /* normalised from here on: bounds of the inputs in the program */
  @name@_real v_high[@NAME@_NU];
  @name@_real v_move[@NAME@_NU];
{% if uneven %}
  @name@_real v_move_down[@NAME@_NU];
{% endif %}
  @name@_real y_low[@NAME@_NY]; /* soft bounds */
  @name@_real y_high[@NAME@_NY];
  @name@_real output_weight[@NAME@_NY];
  @name@_real move_penalty[@NAME@_NU];
  @name@_real violation_weight[@NAME@_NY];
{% if targets %}
  @name@_real input_target[@NAME@_NU]; /* what inputs return to where outputs leave them free */
  @name@_real input_weight[@NAME@_NU]; /* of the distance from there */
{% endif %}
{% if terminal %}
  @name@_real end_weight[@NAME@_NCHI + @NAME@_NU]; /* D of the terminal cost: state, last input */
  @name@_real eta[@NAME@_NU]; /* the terminal law keeps this share of the way to its target */
  @name@_real reach[@NAME@_NY]; /* behind the plan, |y| from the target per root of its cost */
  @name@_real end_price[@NAME@_NY]; /* of what that is beyond a soft bound */
  @name@_real pull; /* of the safe input, where outputs leave the inputs free */
{% endif %}
#if @NAME@_KALMAN
  @name@_real noise[@NAME@_NY]; /* variance of the measurement that was declared */
  @name@_real drift[@NAME@_NU]; /* variance that the input disturbance gains in a sample */
  @name@_real max_disturbance[@NAME@_NU]; /* |input disturbance| */
  @name@_real state_noise; /* variance that every state gains in a sample */
  @name@_real drift_boost; /* drift times this when innovations keep their sign */
  @name@_real delay_uncertainty; /* variance for each squared move of the output in a sample */
#else
  @name@_real observer_gain;
#endif
  @name@_real tolerance; /* expected distance from the optimum that ends the iterations */
  @name@_real radius; /* largest |input| */
  @name@_real start[@NAME@_NCHI]; /* state at rest under the safe input */
  @name@_real bound[@NAME@_NCHI]; /* no sound state is beyond this */
  @name@_real witness[@NAME@_NCHI]; /* v of the certificate: A v < v */
{% if monitor %}
  @name@_real safe_low[@NAME@_NY]; /* the safe set of the release */
  @name@_real safe_high[@NAME@_NY];
  @name@_real slack; /* more than one operation of the monitor is rounded by */
{% endif %}
{% if alarm %}
  @name@_real error_width[@NAME@_NY]; /* of the error tube */
{% endif %}
  uint32_t sqp_iterations; /* at most; one is enough where its step is within the tolerance */
  uint32_t qp_iterations; /* of the working set, in one pass */
  uint32_t line_search_steps; /* of a step, in one pass */
  uint32_t frozen_after; /* equal measurements until the sensor is called frozen; 0: never */
  uint32_t crc; /* CRC-32 of all before, as it lies in memory (little-endian) */
} @name@_model;

/* What the controller remembers from sample to sample. Normalised units. */
typedef struct {
  @name@_real chi[@NAME@_NCHI]; /* the model now: per layer x, xi */
  @name@_real disturbance[@NAME@_NY]; /* of the outputs; 0 where the inputs have one */
#if @NAME@_KALMAN
  @name@_real estimate[@NAME@_NP]; /* state where the probe speaks, and input disturbance */
  @name@_real covariance[@NAME@_NP * @NAME@_NP]; /* of these */
{% if measured %}
  /* normalised inputs since then */
  @name@_real delay_buffer[(@NAME@_LAG + 1) * (@NAME@_NU + @NAME@_NM)];
{% else %}
  @name@_real delay_buffer[(@NAME@_LAG + 1) * @NAME@_NU]; /* normalised inputs since then */
{% endif %}
  @name@_real noise_variance[@NAME@_NY]; /* of the measurement, as learned */
  @name@_real innovation_trend[@NAME@_NY]; /* of the innovations, in their standard deviations */
  @name@_real innovation[@NAME@_NY]; /* last innovation, or a number that none is */
  @name@_real output_change[@NAME@_NY]; /* how far the output moved in a sample */
#else
  /* predicted outputs until the probe speaks of them */
  @name@_real delay_buffer[(@NAME@_LAG + 1) * @NAME@_NY];
#endif
{% if alarm %}
#if @NAME@_ALARM && @NAME@_KALMAN
  @name@_real open_loop[@NAME@_NCHI]; /* the model that nothing corrects */
  @name@_real open_outputs[(@NAME@_LAG + 1) * @NAME@_NY]; /* its outputs, since the probe's */
#endif
{% endif %}
  @name@_real reference[@NAME@_NY]; /* [output unit] last valid setpoint */
  @name@_real last_measurement[@NAME@_NY]; /* [output unit] last measurement */
  @name@_real applied[@NAME@_NU]; /* [input unit] the input in force */
  @name@_real last_input[@NAME@_NU]; /* the same, normalised */
  @name@_real plan[@NAME@_NV];
{% if terminal %}
  @name@_real target[@NAME@_NCHI + @NAME@_NU]; /* steady state, and the input that holds it */
  @name@_real wanted[@NAME@_NY]; /* the output that it was found for */
#if @NAME@_KALMAN
  @name@_real steady_input[@NAME@_NU]; /* that input with its disturbance */
#endif
{% endif %}
{% if blocked %}
  @name@_real closed[@NAME@_N * @NAME@_NU]; /* the last plan, shifted and closed; no blocks */
{% endif %}
{% if measured %}
  @name@_real last_measured[@NAME@_NM]; /* measured inputs, the last valid ones */
  @name@_real measured[@NAME@_FORESEEN * @NAME@_NM]; /* and what is expected of them */
{% endif %}
#if @NAME@_HISTORY > 0
  /* the last inputs, normalised, which some outputs still wait for; the newest at the end */
{% if measured %}
  @name@_real input_history[@NAME@_HISTORY * (@NAME@_NU + @NAME@_NM)];
{% else %}
  @name@_real input_history[@NAME@_HISTORY * @NAME@_NU];
{% endif %}
#endif
  uint32_t oldest; /* place in delay_buffer */
  uint32_t unchanged[@NAME@_NY]; /* equal measurements in a row */
  uint32_t failures; /* solves in a row that failed */
{% if alarm %}
#if @NAME@_ALARM
  uint32_t compared; /* samples since the model began, up to TRANSIENT */
#endif
{% endif %}
  uint32_t status; /* of this sample, as it builds up */
  volatile uint32_t phase; /* which call is due, and under which model */
  uint8_t working_set[@NAME@_ROWS]; /* working set: 0 free, 1 active, 2 violated at full price */
} @name@_state;

/* Scratch, between prepare and feedback only; may be shared with anything else after advance. */
typedef struct {
  const void *owner; /* the state that it was prepared for */
  @name@_real cost; /* of the plan, in the units of the problem */
  uint32_t sqp_iterations; /* used */
  uint32_t qp_iterations; /* of the working set, used in all iterations */
  uint32_t count; /* size of the working set */
  uint16_t active[@NAME@_NV]; /* its rows */
  @name@_real multiplier[@NAME@_NV];
  @name@_real gradient[@NAME@_NV];
  @name@_real step[@NAME@_NV];
  @name@_real trial[@NAME@_NV];
  @name@_real image[@NAME@_NV]; /* J' n */
  @name@_real scratch[@NAME@_NV];
  @name@_real chi[@NAME@_NCHI];
{% if terminal %}
  /* predicted along the plan, without the disturbance; then its end: state and input */
{% else %}
  /* predicted along the plan, without the disturbance */
{% endif %}
  @name@_real outputs[@NAME@_PREDICTED];
  @name@_real trial_outputs[@NAME@_PREDICTED];
{% if terminal %}
  @name@_real aimed[@NAME@_NY]; /* outputs at the target */
  @name@_real steady[(@NAME@_NCHI + @NAME@_NU + 1) * @NAME@_NCHI]; /* what leads there */
{% endif %}
  @name@_real stage[@NAME@_STAGE]; /* linearised gates */
#if @NAME@_KALMAN
  /* how the outputs change with each measurement, per unit of its image */
  @name@_real measurement_gains[@NAME@_NY * @NAME@_PREDICTED];
#endif
  @name@_real gains[@NAME@_GAINS]; /* d output / d plan, rows of rising length */
  @name@_real factor[@NAME@_NV * @NAME@_NV]; /* J: inverse Hessian = J J' */
  union { /* never needed at once */
    /* R of the working set, packed columns */
    @name@_real triangle[@NAME@_NV * (@NAME@_NV + 1) / 2];
    @name@_real slope[@NAME@_NV * @NAME@_NCHI]; /* d state / d plan, a row for each variable */
  } a;
} @name@_work;

#ifdef __cplusplus
extern "C" {
#endif

extern const @name@_model @name@_data;

/* 0 when `model` is what was released: checksum, and the stability margins recomputed from the
 * weights; else REFUSED. */
uint32_t @name@_verify(const @name@_model *model);

/* Recompute the margins delta of condition (7) and of incremental stability (both positive: both
 * hold). */
void @name@_margins(const @name@_model *model, @name@_real *iss, @name@_real *delta_iss);

/* Begin at the measured output `y` with the input `u` in force. Verifies the model: what it returns
 * is 0 or REFUSED. */
{% if measured %}
uint32_t @name@_init(const @name@_model *model, @name@_state *state, const @name@_real y[@NAME@_NY],
                     const @name@_real u[@NAME@_NU],
                     const @name@_real measured[@NAME@_FORESEEN * @NAME@_NM]);
{% else %}
uint32_t @name@_init(const @name@_model *model, @name@_state *state, const @name@_real y[@NAME@_NY],
                     const @name@_real u[@NAME@_NU]);
{% endif %}

{% if terminal %}
#ifdef @NAME@_RETUNE
#error "the proof of the loop speaks of these limits and weights: export others, do not retune"
#endif
{% else %}
#ifdef @NAME@_RETUNE /* another switch: costs flash */
/* What may change at run time, in engineering units; a limit of 1e30 and beyond is none. */
typedef struct {
  @name@_real u_low[@NAME@_NU]; /* hard bounds; the input in force must lie within */
  @name@_real u_high[@NAME@_NU];
  @name@_real u_safe[@NAME@_NU];
  @name@_real max_move[@NAME@_NU]; /* a sample */
{% if uneven %}
  @name@_real max_move_down[@NAME@_NU];
{% endif %}
  @name@_real move_penalty[@NAME@_NU];
  @name@_real y_low[@NAME@_NY]; /* soft bounds */
  @name@_real y_high[@NAME@_NY];
  @name@_real output_weight[@NAME@_NY];
  @name@_real violation_weight[@NAME@_NY];
{% if targets %}
  @name@_real input_target[@NAME@_NU];
  @name@_real input_weight[@NAME@_NU]; /* 0: none */
{% endif %}
} @name@_tuning;

/* Other limits and weights in `model`, a copy in RAM of the one that `state` began with, and a new
 * checksum; between advance and feedback. REFUSED, and nothing is changed: the model is corrupt, a
 * number is none or of the wrong sign, the bounds reach beyond what the certificates hold for, the
 * input in force or the safe input lies outside them, or the program has no rows for such a limit
 * (RATE_ROWS 0, or no soft bounds). */
uint32_t @name@_retune(@name@_model *model, @name@_state *state, const @name@_tuning *tuning);
#endif
{% endif %}

/* Everything that needs no measurement: linearise along the plan and factorise. Does nothing
 * between feedback and advance. */
void @name@_prepare(const @name@_model *model, @name@_state *state, @name@_work *work);

/* The input `u` for the measurement `y` and the setpoints `reference` (REFERENCES rows of NY;
 * several rows: now, next sample, ...). */
{% if measured %}
/* And for the measured inputs (FORESEEN rows of NM): where they are not as expected, it linearises
 * once more. */
{% endif %}
uint32_t @name@_feedback(const @name@_model *model, @name@_state *state, @name@_work *work,
                         const @name@_real y[@NAME@_NY],
                         const @name@_real reference[@NAME@_REFERENCES * @NAME@_NY],
{% if measured %}
                         const @name@_real measured[@NAME@_FORESEEN * @NAME@_NM],
{% endif %}
                         @name@_real u[@NAME@_NU]);

/* On to the next sample: the observer moves, the plan shifts. Does nothing before feedback. */
void @name@_advance(const @name@_model *model, @name@_state *state, @name@_work *work);

/* prepare, feedback and advance. */
uint32_t @name@_step(const @name@_model *model, @name@_state *state, @name@_work *work,
                     const @name@_real y[@NAME@_NY],
                     const @name@_real reference[@NAME@_REFERENCES * @NAME@_NY],
{% if measured %}
                     const @name@_real measured[@NAME@_FORESEEN * @NAME@_NM],
{% endif %}
                     @name@_real u[@NAME@_NU]);

/* After feedback: the outputs expected at the next N samples under the plan, [output unit]; beyond
 * a delay that all inputs share. */
void @name@_predicted(const @name@_model *model, const @name@_state *state, const @name@_work *work,
                      @name@_real y[@NAME@_N * @NAME@_NY]);

#ifdef __cplusplus
}
#endif

#endif
