"""The section by class, of a search and of a comparison: its finding, its rows, when it is folded or absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from synthetic import make_study
from synthetic_plan import WHOLE, plan_study

from regstudy.analysis.arm_statistics import load_comparison
from regstudy.analysis.gap import compare
from regstudy.report.comparison.comparison_page import comparison_sections
from regstudy.report.page import find
from regstudy.report.report_section import ReportSection
from regstudy.report.sections import sections
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables


def matrices(right: tuple[int, int, int]) -> dict[str, Any]:
    """A train part without errors, and so many right answers among 90, 30 and 30 validation images."""
    images = (90, 30, 30)
    cells = [[i, i, n] for i, n in enumerate(right)]
    cells += [[i, (i + 1) % 3, n - hits] for i, (n, hits) in enumerate(zip(images, right, strict=True)) if n > hits]
    whole = {"classes": 3, "cells": [[i, i, n] for i, n in enumerate(images)]}
    return {"train": whole, "validation": {"classes": 3, "cells": cells}}


def with_attributes(study: optuna.Study, found: Mapping[int, Mapping[str, Any]]) -> optuna.Study:
    """The same study with further attributes by trial."""
    copied = optuna.create_study(study_name=study.study_name, direction=study.direction.name.lower())
    for name, value in study.user_attrs.items():
        copied.set_user_attr(name, value)
    for trial in study.get_trials():
        trial.user_attrs |= found.get(trial.number, {})
        copied.add_trial(trial)
    return copied


def of_a_search(right: tuple[int, int, int], groups: dict[str, Any] | None = None) -> list[ReportSection]:
    study = make_study(20, baseline=5, data={"classes": ["lymphocyte", "basophil", "other"], "validation": 150})
    more: dict[str, Any] = {attributes.CONFUSION: matrices(right)}
    if groups is not None:
        more[attributes.GROUPS] = {"validation": groups}
    found = compare(load_tables(study))
    assert found.best is not None
    assert found.baseline is not None
    before = {attributes.CONFUSION: matrices((80, 10, 28))}
    return sections(find(with_attributes(study, {found.baseline.number: before, found.best.number: more})))


def section(parts: list[ReportSection], name: str) -> ReportSection | None:
    return next((part for part in parts if part.id == name), None)


def test_the_worst_class_is_named_first_and_in_the_finding() -> None:
    part = section(of_a_search((88, 8, 29)), "classes")
    assert part is not None and not part.folded
    assert part.finding == "The gap is mostly in class 'basophil': 14.7 of its 16.7 points."
    rows = part.grids[0].rows
    assert [row[0] for row in rows] == ["basophil", "other", "lymphocyte"]
    assert rows[0][1] == "30 / 30" and rows[0][-1] == "−6.7"
    assert part.grids[0].strong == {0}


def test_without_a_class_that_stands_out_the_section_is_folded() -> None:
    part = section(of_a_search((81, 27, 27)), "classes")
    assert part is not None and part.folded
    assert part.finding.startswith("No class stands out")


def test_a_study_without_matrices_has_no_such_section() -> None:
    assert section(sections(find(make_study(20))), "classes") is None
    assert section(comparison_sections(load_comparison(plan_study(WHOLE))), "classes") is None


def test_groups_are_counted_in_a_line() -> None:
    groups = {"groups": list(range(15)), "classes": [0] * 15, "images": [10] * 15, "right": [10, 10, 5] * 5}
    found = section(of_a_search((88, 8, 29), groups), "comparison")
    assert found is not None
    lines = [note for note in found.notes if "independent groups" in note]
    assert len(lines) == 1 and "15 independent groups" in lines[0]
    assert not [note for note in section(of_a_search((88, 8, 29)), "comparison").notes if "groups" in note]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("right", "finding"), [((88, 8, 29), "a: The gap is mostly in class 'y'"), ((81, 27, 27), "No class")]
)
def test_a_comparison_has_a_column_per_arm(right: tuple[int, int, int], finding: str) -> None:
    data = {"name": "digits", "split_seed": 5, "split_hash": "abc", "classes": ["x", "y", "z"]}
    study = plan_study(WHOLE, **{attributes.DATA: data})
    arms = {0: right, 1: (85, 28, 28), 2: right, 3: (85, 28, 28)}
    study = with_attributes(study, {slot: {attributes.CONFUSION: matrices(one)} for slot, one in arms.items()})
    part = section(comparison_sections(load_comparison(study)), "classes")
    assert part is not None and part.finding.startswith(finding)
    assert part.grids[0].head == ["class", "validation images", "a", "b"]
    row = next(row for row in part.grids[0].rows if row[0] == "y")
    assert row[1] == "30" and f"{100 * (28 - right[1]) / 30:+.1f}" in row[3]


def test_balancing_that_moves_two_metrics_apart_is_said_and_unfolds_the_section() -> None:
    study = make_study(20, baseline=5, prune=0, data={"classes": ["x", "y", "z"], "validation": 150})
    found: dict[int, dict[str, Any]] = {}
    for trial in study.get_trials():
        way = "weights" if trial.number % 2 else "none"
        right = (70 + trial.number % 3, 27, 27) if trial.number % 2 else (88 + trial.number % 3, 20, 20)
        config = trial.user_attrs[attributes.CONFIG]
        config = {**config, "training": {**config["training"], "balance": way}}
        found[trial.number] = {attributes.CONFIG: config, attributes.CONFUSION: matrices(right)}
    part = section(sections(find(with_attributes(study, found))), "classes")
    assert part is not None and not part.folded
    assert "(training.balance: weights) moved accuracy and balanced accuracy in opposite directions" in part.finding
    assert "points less accuracy and" in part.finding and "points more balanced accuracy" in part.finding
