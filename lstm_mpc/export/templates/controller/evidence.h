/* What cleared this controller, and who signed that.
{% for kind, sentence in evidence %}
@(kind ~ ": " ~ sentence) | comment@
{% endfor %}
 */
