"""Which class the gap is in: additivity, the class that is named, and what is not named."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import optuna
import pytest
from synthetic import make_study

from regstudy.analysis.class_gaps import accuracy, balanced_accuracy, class_gaps, pooled_class_gaps
from regstudy.records import GroupCounts, dump_confusions, dump_groups
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables
from regstudy.study.tables import Tables

Recalls = dict[str, tuple[int, int, int, int]]  # by class: right and images in train, right and images in validation


def confusion(right: list[int], images: list[int]) -> list[list[int]]:
    """Wrong answers go to the next class."""
    matrix = np.diag(right)
    for label, (hits, count) in enumerate(zip(right, images, strict=True)):
        matrix[label, (label + 1) % len(right)] += count - hits
    return matrix.tolist()


def parts(recalls: Recalls) -> dict[str, list[list[int]]]:
    hits, seen, right, support = map(list, zip(*recalls.values(), strict=True))
    return {"train": confusion(hits, seen), "validation": confusion(right, support)}


def tables_of(*runs: Recalls, metric: str = "val_accuracy") -> Tables:
    """A study whose first trials have these confusion matrices."""
    study = make_study(len(runs), baseline=1, epochs=2, prune=0, data={"classes": list(runs[0])})
    tables = load_tables(study)
    return replace(
        tables, metric=metric, confusions={number: dump_confusions(parts(run)) for number, run in enumerate(runs)}
    )


PLANTED: Recalls = {"big": (195, 200, 190, 200), "small": (28, 30, 8, 30), "other": (100, 100, 95, 100)}


def test_the_classes_add_up_to_the_gap() -> None:
    tables = tables_of(PLANTED)
    found, own = class_gaps(tables, 0), tables.confusion(0)
    assert found is not None
    assert found.gap + found.mix == pytest.approx(accuracy(own["train"]) - accuracy(own["validation"]))
    assert found.mix == pytest.approx(0)  # the parts have equal shares
    assert [one.name for one in found.classes] == ["small", "big", "other"]  # of the last two the worse one first
    assert {one.name: round(one.points * 330) for one in found.classes} == {"small": 20, "big": 5, "other": 5}


def test_in_balanced_accuracy_every_class_has_the_same_weight() -> None:
    tables = tables_of(PLANTED, metric="val_balanced_accuracy")
    found, own = class_gaps(tables, 0), tables.confusion(0)
    assert found is not None and found.balanced
    assert found.gap == pytest.approx(balanced_accuracy(own["train"]) - balanced_accuracy(own["validation"]))
    assert found.classes[0].points == pytest.approx(20 / 30 / 3)


def test_other_shares_of_the_classes_are_told_from_gaps() -> None:
    """The same recalls in both parts: no gap in any class, only another mix."""
    found = class_gaps(tables_of({"easy": (90, 90, 10, 10), "hard": (5, 10, 45, 90)}), 0)
    assert found is not None and found.named is None
    assert (found.gap, found.mix) == pytest.approx((0, 0.95 - 0.55))


@pytest.mark.parametrize(
    ("recalls", "named", "mostly"),
    [
        (PLANTED, "small", True),
        ({"healthy": (900, 900, 800, 900), "sick": (100, 100, 50, 100)}, "sick", False),  # 50 against 11 points
        ({"a": (100, 100, 80, 100), "b": (100, 100, 82, 100)}, None, False),  # both alike
        ({"a": (50, 50, 49, 50), "b": (3, 3, 0, 3)}, None, False),  # three images prove nothing
        ({"a": (4, 4, 3, 4), "b": (8, 8, 5, 8), "c": (8, 8, 8, 8)}, None, False),  # wide intervals
        ({"a": (999, 1000, 998, 1000), "b": (999, 1000, 990, 1000)}, None, False),  # less than two points
        ({"a": (80, 100, 90, 100), "b": (50, 100, 80, 100)}, None, False),  # no gap at all
        ({"only": (100, 100, 50, 100), "absent": (0, 0, 0, 0)}, None, False),
    ],
)
def test_a_class_is_named_if_the_data_support_it(recalls: Recalls, named: str | None, mostly: bool) -> None:
    found = class_gaps(tables_of(recalls), 0)
    assert found is not None
    assert (found.named.name if found.named else None) == named
    assert found.mostly is mostly


def test_equal_classes_are_rarely_named() -> None:
    """Ten classes of 40 images with the same recalls: at most about one study in twenty names one."""
    rng = np.random.default_rng(0)
    names = list("abcdefghij")
    named = 0
    for _ in range(200):
        hits, right = rng.binomial(40, 0.97, 10).tolist(), rng.binomial(40, 0.8, 10).tolist()
        recalls = {name: (a, 40, b, 40) for name, a, b in zip(names, hits, right, strict=True)}
        found = class_gaps(replace(BASE, confusions={0: dump_confusions(parts(recalls))}), 0)
        assert found is not None
        named += found.named is not None
    assert named <= 16


BASE = replace(load_tables(make_study(1, baseline=1, epochs=2)), data={"classes": list("abcdefghij")})


def test_groups_count_as_independent() -> None:
    """A class of 30 images of two patients: one was missed as a whole, which says little."""
    tables = tables_of({"a": (200, 200, 190, 200), "b": (30, 30, 15, 30)})
    free = class_gaps(tables, 0)
    counts = GroupCounts([*range(40), 40, 41], [0] * 40 + [1] * 2, [5] * 40 + [15] * 2, [5, 5, 5, 4] * 10 + [15, 0])
    grouped = class_gaps(replace(tables, groups={0: dump_groups({"validation": counts})}), 0)
    assert free is not None and grouped is not None
    assert free.named is not None and free.named.name == "b" and grouped.named is None
    one, other = free.classes[0].validation, grouped.classes[0].validation
    assert other.groups == 2 and other.high - other.low > 2 * (one.high - one.low)


def test_the_change_is_that_of_recall_on_the_same_images() -> None:
    better = {**PLANTED, "small": (28, 30, 14, 30)}
    found = class_gaps(tables_of(PLANTED, better), 1, baseline=0)
    assert found is not None
    assert {one.name: one.change for one in found.classes} == pytest.approx({"small": 0.2, "big": 0, "other": 0})
    others = {**PLANTED, "small": (28, 30, 14, 31)}
    for number, baseline, tables in ((1, 0, tables_of(PLANTED, others)), (0, 0, tables_of(PLANTED))):
        unlike = class_gaps(tables, number, baseline)
        assert unlike is not None and all(math.isnan(one.change) for one in unlike.classes)


def test_several_runs_on_the_same_images_count_as_one() -> None:
    tables = tables_of(PLANTED, PLANTED, PLANTED)
    one, three = class_gaps(tables, 0), pooled_class_gaps(tables, [0, 1, 2])
    assert one is not None and three is not None
    assert three.gap == pytest.approx(one.gap)
    limits = [(found.classes[0].validation.low, found.classes[0].validation.high) for found in (one, three)]
    assert limits[0] == pytest.approx(limits[1])


@pytest.mark.parametrize("kept", [(), ("train",), ("validation",)])
def test_without_both_matrices_there_is_nothing_to_say(kept: tuple[str, ...]) -> None:
    tables = tables_of(PLANTED)
    stored = {part: value for part, value in tables.confusions[0].items() if part in kept}
    tables = replace(tables, confusions={0: stored} if stored else {})
    assert class_gaps(tables, 0) is None
    assert pooled_class_gaps(tables, [0]) is None and pooled_class_gaps(tables, []) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (attributes.CONFUSION, {"validation": {"classes": 2, "cells": [[0, 2, 5]]}}),
        (attributes.CONFUSION, {"validation": {"classes": 2, "cells": [[0, 1]]}}),
        (attributes.CONFUSION, {"validation": [[1, 2], [3, 4]]}),
        (attributes.CONFUSION, "many"),
        (attributes.GROUPS, {"validation": {"images": [3], "right": [4], "times": [1]}}),
        (attributes.GROUPS, {"validation": {"images": [3, 3], "right": [1], "times": [1]}}),
        (attributes.GROUPS, {"validation": {"images": [3], "right": [1]}}),
        (attributes.GROUPS, [1, 2]),
    ],
)
def test_counts_of_another_form_are_left_out_and_named(name: str, value: object) -> None:
    study = optuna.create_study(direction="maximize")
    study.add_trial(optuna.create_trial(value=0.5, user_attrs={name: value}))
    tables = load_tables(study)
    assert tables.malformed == [f"{name} of trial 0"] and class_gaps(tables, 0) is None
