/*
 * @name@: the algorithm. See the header for its use, README.md for what was tested and how.
 *
 * Every sample solves min over the inputs of the blocks: tracking + moves + exact L1 price of soft
 * output bounds, within hard bounds and rates, by sequential quadratic programming in the inputs
 * alone (condensed, Gauss-Newton). The quadratic program is solved by a dual active-set method
 * after Goldfarb and Idnani with H^-1 = J J' and J' [normals of the working set] = [R; 0]; the
 * multiplier of a soft row cannot exceed its price, and a row that reaches it is released and
 * pushes with its full price, which needs no slack variable.
 *
 * Only + - * / act on numbers, in an order that the text fixes, so that every IEEE machine computes
 * the same bits. Compile with -ffp-contract=off, and without vector units that flush small numbers
 * to zero.
 */
{% include "definitions.c" %}

{% include "arithmetic.c" %}

{% include "network.c" %}

{% include "prediction.c" %}

{% include "problem.c" %}

{% include "working_set.c" %}

{% include "qp.c" %}

{% include "observer.c" %}

{% include "sqp.c" %}

{% include "supervisor.c" %}
{% if monitor %}

{% include "monitor.c" %}
{% endif %}
{% if terminal %}

{% include "target.c" %}
{% endif %}

{% include "certificate.c" %}

{% include "interface.c" %}
{% if not terminal %}

{% include "retune.c" %}
{% endif %}
