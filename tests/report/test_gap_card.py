"""Where the texts and marks of the first screen's drawings lie."""

from __future__ import annotations

import pytest

from regstudy.report.gap_card import apart
from regstudy.report.percent_axis import PercentAxis, axis_over

pytestmark = pytest.mark.table


@pytest.mark.parametrize(("upper", "lower"), [(48, 264), (150, 160), (48, 50), (262, 264), (155, 155)])
def test_no_text_covers_another_and_all_are_on_the_drawing(upper: float, lower: float) -> None:
    first, middle, last = apart(upper, lower, 300)
    assert middle - first >= 46 and last - middle >= 46
    assert first >= 40 and last + 16 <= 300


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(-2.4, 8.3, [-2, 0, 2, 4, 6, 8]), (-0.006, 0.006, [-0.005, 0, 0.005]), (-0.071, 0.01, [-0.06, -0.04, -0.02, 0])],
)
def test_ticks_are_few_and_round(low: float, high: float, ticks: list[float]) -> None:
    assert PercentAxis(low, high).ticks() == pytest.approx(ticks)


def test_an_axis_has_room_for_zero_and_the_margin_and_ignores_what_is_unknown() -> None:
    axis = axis_over([0.05, float("nan"), float("inf")], 0.006)
    assert axis.low < -0.006 and axis.high > 0.05
    assert 0 < axis.at(0.0) < axis.at(0.05) < 100 and axis.at(9.0) == 100.0
