"""The score of the best answer that ignores the images, by metric and class sizes, and what studies know of it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from regstudy.analysis.constant_answer import constant_answer, constant_value

TWO = ["healthy", "sick"]


@pytest.mark.parametrize(
    ("metric", "counts", "value"),
    [
        ("val_accuracy", [380, 20], 0.95),
        ("val_accuracy", [20, 380], 0.95),
        ("val_accuracy", [40] * 10, 0.1),
        ("val_accuracy", [7, 0], 1.0),
        ("val_accuracy", [5, 3, 2], 0.5),
        ("val_loss", [380, 20], -(0.95 * math.log(0.95) + 0.05 * math.log(0.05))),
        ("val_loss", [40] * 10, math.log(10)),
        ("val_loss", [7, 0], 0.0),
    ],
)
def test_the_score_of_the_best_constant_answer(metric: str, counts: list[int], value: float) -> None:
    assert constant_value(metric, counts) == pytest.approx(value)


def checked(largest: int) -> dict[str, Any]:
    text = f"2 classes with 40 to 760 training and 10 to {largest} validation images each."
    return {"checked": [{"check": "copies", "examined": "none"}, {"check": "classes", "examined": text}]}


@pytest.mark.parametrize(
    ("data", "metric", "doctor", "expected"),
    [
        ({"classes": TWO, "validation_per_class": [190, 10]}, "val_accuracy", {}, (0.95, "healthy", "counted")),
        ({"classes": TWO, "validation_per_class": [10, 190]}, "val_accuracy", {}, (0.95, "sick", "counted")),
        ({"classes": TWO, "validation_per_class": [50, 50]}, "val_accuracy", {}, (0.5, "", "counted")),
        (
            {"classes": TWO, "validation_per_class": [190, 10]},
            "val_accuracy",
            checked(50),
            (0.95, "healthy", "counted"),
        ),
        ({"classes": TWO, "validation": 200}, "val_accuracy", checked(190), (0.95, "", "doctor")),
        ({"classes": TWO, "validation": 200}, "val_loss", checked(190), (0.1985, "", "doctor")),
        ({"classes": [*TWO, "old"], "validation": 200}, "val_accuracy", checked(120), (0.6, "", "doctor")),
        ({"classes": [*TWO, "old"], "validation": 200}, "val_loss", checked(120), (math.log(3), "", "assumed")),
        ({"classes": TWO, "validation": 200}, "val_accuracy", checked(20), (0.5, "", "assumed")),  # impossible
        ({"classes": TWO, "validation": 200}, "val_accuracy", {"skipped": "why"}, (0.5, "", "assumed")),
        ({"classes": TWO, "validation_per_class": [200]}, "val_accuracy", {}, (0.5, "", "assumed")),
        ({"classes": TWO}, "val_loss", {}, (math.log(2), "", "assumed")),
        ({"classes": TWO}, "score", {}, None),
        ({"classes": TWO}, None, {}, None),
        ({}, "val_accuracy", {}, None),
        ({"classes": []}, "val_accuracy", {}, None),
    ],
)
def test_what_a_study_knows_of_it(
    data: dict[str, Any], metric: str | None, doctor: dict[str, Any], expected: tuple[float, str, str] | None
) -> None:
    found = constant_answer(data, metric, doctor)
    if expected is None:
        assert found is None
        return
    assert found is not None and (found.largest, found.source) == expected[1:]
    assert found.value == pytest.approx(expected[0], abs=1e-4)


@pytest.mark.parametrize(
    ("metric", "value", "beaten"),
    [
        ("val_accuracy", 0.95, False),
        ("val_accuracy", 190 / 200 + 1e-9, False),
        ("val_accuracy", 191 / 200, True),
        ("val_accuracy", math.nan, False),
        ("val_loss", 0.25, False),
        ("val_loss", 0.15, True),
        ("val_loss", math.nan, False),
    ],
)
def test_only_a_better_result_beats_it(metric: str, value: float, beaten: bool) -> None:
    found = constant_answer({"classes": TWO, "validation_per_class": [190, 10]}, metric)
    assert found is not None and found.beaten_by(value) is beaten
