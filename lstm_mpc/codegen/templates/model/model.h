/*
 * @name@: one sample of an LSTM model, C99, reference export of lstm_mpc.
 *
@("model    %r" % model.name) | comment@
 * model    SHA-256 @model.digest@
 * sampling @model.Ts | number@ s
 *
{% for s in model.inputs %}
{% set delay = model.delays[loop.index0] %}
{% set late = ", %d sample(s) late" % delay if delay else "" %}
{% set text = "input  %d: %s, clipped to [%r, %r]" % (loop.index0, s.label, s.low, s.high) %}
@(text ~ late) | comment@
{% endfor %}
{% for s in model.outputs %}
@("output %d: %s" % (loop.index0, s.label)) | comment@
{% endfor %}
 *
 * All values at this interface are in engineering units; the scalings are inside:
{% set scaling = model.scaling %}
{% set rows = [("u", scaling.u_mid, scaling.u_span), ("y", scaling.y_mid, scaling.y_span)] %}
{% for y, mid, span in rows %}
@("%s = %s + %s * normalised" % (y, mid | numbers, span | numbers)) | comment(" *   ")@
{% endfor %}
 *
 * Released, because:
{% for kind, sentence in claims %}
@(kind ~ ": " ~ sentence) | comment(" *   ")@
{% endfor %}
 */
#ifndef @NAME@_H
#define @NAME@_H

#define @NAME@_STATES @model.system.n@
#define @NAME@_INPUTS @model.inputs | length@
#define @NAME@_OUTPUTS @model.outputs | length@
#define @NAME@_TS @model.Ts | number@ /* [s] */
#define @NAME@_DIGEST "@model.digest@"

/* The state before any sample. */
void @name@_init(double state[@NAME@_STATES]);

/*
 * Move `state` on by one sample under the input `u`, which is clipped to its limits; a NaN counts
 * as the lower limit.
 */
void @name@_step(double state[@NAME@_STATES], const double u[@NAME@_INPUTS]);

/* The output at `state`, before this sample's input acts. */
void @name@_output(const double state[@NAME@_STATES], double y[@NAME@_OUTPUTS]);

#endif
