"""What is chosen for images, whatever the machine, as a table."""

from __future__ import annotations

from typing import Any

import pytest
from first_space.seen_images import seen

from regstudy.first_space.choices import choose
from regstudy.first_space.group_patterns import GroupProposal

RARE = {"well": 950, "sick": 50}
GROUPS = GroupProposal(r"(patient\d+)", 40, "patient1")


@pytest.mark.parametrize(
    ("images", "field", "value"),
    [
        ({}, "fit", "crop"),
        ({"sides": ((400, 300),)}, "fit", "crop"),
        ({"sides": ((300, 30),)}, "fit", "pad"),
        ({}, "channels", 3),
        ({"gray": 100}, "channels", 1),
        ({"gray": 99}, "channels", 3),
        ({}, "metric", "accuracy"),
        ({"classes": {"a": 100, "b": 200}}, "metric", "balanced_accuracy"),
        ({"classes": {"a": 100, "b": 200, "c": 300}}, "metric", "balanced_accuracy"),
        ({"classes": {"a": 7, "b": 4}}, "metric", "accuracy"),  # such a difference is chance
        ({"classes": RARE}, "metric", "average_precision"),
        ({"classes": RARE}, "positive", "sick"),
        ({"classes": RARE}, "balance", True),
        ({"classes": {"a": 100, "b": 200}}, "balance", False),
        ({}, "validation", 0.2),
        ({"classes": {"a": 5000, "b": 5000}}, "validation", 0.1),
        ({"validation": 50}, "validation", None),
        ({}, "group", None),
        ({"group": GROUPS}, "group", r"(patient\d+)"),
        ({"copies": 5}, "group", "near_duplicates"),
        ({"copies": 5, "group": GROUPS}, "group", r"(patient\d+)"),
        ({"copies": 1, "decoded": 500}, "group", None),
        ({"copies": 5, "classes": {"a": 20_000, "b": 20_000}}, "group", None),
        ({}, "skip_unreadable", False),
        ({"unreadable": {"a/1.png": "empty"}}, "skip_unreadable", True),
        ({}, "batch", (16, 64, 32)),
        ({"classes": {"a": 2000, "b": 2000}}, "batch", (32, 128, 64)),
        ({"classes": {"a": 20_000, "b": 20_000}}, "batch", (64, 256, 128)),
        ({}, "foldable", True),
        ({"validation": 50}, "foldable", False),
        ({"classes": {"a": 2000, "b": 2000}}, "foldable", False),
        ({"classes": {"a": 100, "b": 9}}, "foldable", False),
        ({"group": GroupProposal("x", 10, "x")}, "foldable", False),
        ({}, "operations", ("crop", "rotate", "scale", "flip", "color")),
        ({"classes": {"0": 50, "1": 50}}, "operations", ("crop", "rotate", "scale", "color")),
    ],
)
def test_choices(images: dict[str, Any], field: str, value: object) -> None:
    assert getattr(choose(seen(**images)), field) == value
