"""Names of classes speak against mirroring or colors, or say nothing."""

from __future__ import annotations

import pytest

from regstudy.first_space.class_hints import harmful


@pytest.mark.parametrize(
    ("classes", "left_out"),
    [
        (["cat", "dog"], set()),
        (["neg", "pos"], set()),
        ([str(number) for number in range(10)], {"flip"}),
        (["zero", "one", "two"], {"flip"}),
        (["A", "B", "C"], {"flip"}),
        (["digit_1", "digit_2"], {"flip"}),
        (["left hand", "right hand"], {"flip"}),
        (["turn-left", "straight"], {"flip"}),
        (["red car", "blue car"], {"color"}),
        (["ripe", "unripe"], {"color"}),
        (["blackbird", "wren"], set()),
        (["red fox", "wolf"], set()),
    ],
)
def test_what_names_of_classes_leave_out(classes: list[str], left_out: set[str]) -> None:
    assert set(harmful(classes)) == left_out
