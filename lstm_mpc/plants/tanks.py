"""What a tank cannot leave, whatever flows into it within limits."""

from __future__ import annotations


def tank_stays(lowest: float, needed: float, steep: float) -> bool:
    """Does a tank A ḣ = in − q(h), q rising, whose steps are those of Runge–Kutta of order 4, stay
    between the levels at rest under its least and its largest inflow, the `lowest` of them above
    what is `needed`?

    It does where `steep` = T q'(h)/A ≤ 1 at all stages (a_1 … a_4 below), for then a step rises
    with the level and with the inflow of every stage, and a level at rest under the largest inflow
    stays where it is. The stages are y_1 = h, y_2 = h + T/2 g_1, y_3 = h + T/2 g_2, y_4 = h + T
    g_3 with g_j = (in_j − q(y_j))/A. With y' = ∂y/∂h: y_2' = 1 − a_1/2, y_3' = 1 − a_2 y_2'/2 and
    y_4' = 1 − a_3 y_3' lie in [0, 1], hence ∂h⁺/∂h = 1 − (a_1 + 2 a_2 y_2' + 2 a_3 y_3' + a_4
    y_4')/6 ≥ 0; and 6A/T ∂h⁺/∂in_j is 1 for j = 4, 2 − a_4 for 3, 2 − a_3 + a_3 a_4/2 for 2, and 1
    − a_2 + a_2 a_3/2 − a_2 a_3 a_4/4 for 1, none below 0.

    Args:
        lowest: The least level of any stage.
        needed: What it must be above.
        steep: The largest T q'(h)/A at such levels.

    Returns:
        Whether it is proved.
    """
    return lowest > needed and 0 <= steep <= 1
