"""The classes of winner and baseline over fresh rounds: pooled, paired by round, and honest about small ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planted_race import CLASSES, IMAGES, Truth, planted_race

from regstudy.analysis.class_gaps import pooled_class_gaps
from regstudy.analysis.confirmation import Confirmation, confirmation
from regstudy.analysis.fresh_classes import fresh_classes, fresh_runs
from regstudy.study.load_tables import load_tables
from regstudy.study.tables import Tables


@pytest.fixture(scope="module")
def planted() -> tuple[Confirmation, Tables]:
    search, fresh = planted_race(Truth())
    tables = load_tables(fresh)
    found = confirmation(load_tables(search), tables)
    assert found is not None
    return found, tables


def test_runs_are_those_of_the_shared_rounds_in_order(planted: tuple[Confirmation, Tables]) -> None:
    found, fresh = planted
    winner, baseline = fresh_runs(found, fresh)
    arms = fresh.trials.set_index("number")["arm"]
    assert {arms[number] for number in winner} == {f"trial {found.winner.number}"}
    assert {arms[number] for number in baseline} == {"baseline"} and len(winner) == len(baseline) == found.rounds


def test_mistakes_add_up_and_the_worst_class_comes_first(planted: tuple[Confirmation, Tables]) -> None:
    found, fresh = planted
    classes = fresh_classes(found, fresh, CLASSES)
    assert classes is not None and {one.name for one in classes} == set(CLASSES)
    assert sum(one.images for one in classes) == sum(IMAGES)
    wrong = sum(one.mistakes for one in classes)
    assert wrong == pytest.approx((1 - found.level.mean) * sum(IMAGES), abs=3)
    assert [one.mistakes for one in classes] == sorted((one.mistakes for one in classes), reverse=True)
    for one in classes:
        assert one.change.mean == pytest.approx(one.after - one.before) and one.change.low < one.change.mean


def test_pooled_runs_have_the_change_from_the_baseline(planted: tuple[Confirmation, Tables]) -> None:
    found, fresh = planted
    gaps = pooled_class_gaps(fresh, *fresh_runs(found, fresh))
    classes = fresh_classes(found, fresh, CLASSES)
    assert gaps is not None and classes is not None
    changes = {one.name: one.change for one in gaps.classes}
    for one in classes:
        assert changes[one.name] == pytest.approx(one.change.mean)


def test_a_class_that_got_worse_is_known_by_its_interval() -> None:
    search, fresh = planted_race(Truth(baseline=0.913, winner=0.80, noise=0.002, behind=()))
    tables = load_tables(fresh)
    found = confirmation(load_tables(search), tables)
    assert found is not None
    classes = fresh_classes(found, tables, CLASSES)
    assert classes is not None and all(one.change.high < 0 for one in classes)


@pytest.mark.parametrize("lost", ["all", "one run", "one part"])
def test_runs_without_counts_have_no_classes(lost: str, planted: tuple[Confirmation, Tables]) -> None:
    found, fresh = planted
    number = fresh_runs(found, fresh)[0][0]
    confusions = dict(fresh.confusions)
    if lost == "all":
        confusions = {}
    elif lost == "one run":
        del confusions[number]
    else:
        confusions[number] = {"train": confusions[number]["train"]}
    assert fresh_classes(found, replace(fresh, confusions=confusions), CLASSES) is None
