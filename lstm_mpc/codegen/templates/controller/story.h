@("LSTM model %r, sampling time %r s, SHA-256" % (model.name, model.Ts)) | comment@
 * @model.digest@
{% for signal in model.outputs %}
@("measures %d: %s" % (loop.index0, signal.label)) | comment@
{% endfor %}
{% for signal in model.inputs %}
{% set delay = model.delays[loop.index0] %}
{% set late = ", %d sample(s) late" % delay if delay else "" %}
{% set ends = " in [%r, %r]" % (signal.low, signal.high) %}
{% set place = loop.index0 %}
{% if measured %}
{% set place = (model.measured if signal.measured else model.manipulated).index(signal) %}
{% endif %}
{% set gives = "is told" if signal.measured else "gives" %}
@("%s %d: %s" % (gives, place, signal.label) ~ ends ~ late) | comment@
{% endfor %}
@"Released, because:" | comment@
{% for kind, sentence in claims %}
@(kind ~ ": " ~ sentence) | comment@
{% endfor %}
