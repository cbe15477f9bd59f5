"""What a comparison says of calibration, from counts made by hand."""

from __future__ import annotations

from pathlib import Path

import optuna
import pandas as pd
import pytest
from synthetic_plan import A1, A2, B1, B2, WHOLE, Curve, plan_study

from regstudy.analysis.arm_calibration import compare_calibration
from regstudy.analysis.arm_statistics import load_comparison
from regstudy.records import Reliability, dump_reliability
from regstudy.report.comparison.calibration_section import calibration_section
from regstudy.report.comparison.comparison_page import comparison_sections, comparison_table, write_comparison


def counts(confidence: float, right: int) -> dict[str, object]:
    """1,000 images of one confidence."""
    return dump_reliability(Reliability((0, 1000), (0.0, 1000 * confidence), (0, right), 0.2 + confidence / 10))


def study(own: list[float], other: list[float], changes: dict[str, dict[str, object]]) -> optuna.Study:
    """Runs of two arms with these ECEs: accuracy 0.8, and a confidence that is higher by so much."""
    runs: dict[int, Curve | str] = {slot: (A1, B1, A2, B2)[slot % 4] for slot in range(2 * len(own))}
    errors = [ece for pair in zip(own, other, strict=True) for ece in pair]
    stored = {slot: counts(0.8 + ece, 800) for slot, ece in enumerate(errors)}
    return plan_study(runs, repeats=len(own), reliabilities=stored, changes=changes)


SMOOTH: dict[str, dict[str, object]] = {"a": {}, "b": {"regularization.label_smoothing": 0.1}}
BOTH: dict[str, dict[str, object]] = {
    "a": {}, "b": {"regularization.label_smoothing": 0.1, "regularization.mixup": 0.5, "model.dropout": 0.2}
}  # fmt: skip
OTHER: dict[str, dict[str, object]] = {"a": {}, "b": {"model.dropout": 0.2}}
HIGH = [0.10, 0.11, 0.10, 0.12, 0.11]
LOW = [0.02, 0.03, 0.01, 0.03, 0.02]


@pytest.mark.parametrize(
    ("own", "other", "changes", "words", "folded"),
    [
        (HIGH, LOW, SMOOTH, "b vs. a at the best epoch: ECE lower by 8.6 points and Brier score lower by 0.9 points;"
         " it differs in label"
         " smoothing (0 → 0.1).", False),
        (LOW, HIGH, BOTH, "b vs. a at the best epoch: ECE higher by 8.6 points and Brier score higher by 0.9 points;"
         " it differs in label"
         " smoothing (0 → 0.1) and mixup (0 → 0.5), but also in 1 other setting.", False),
        (HIGH, LOW, OTHER, "Brier score lower by 0.9 points.", False),
        (HIGH, HIGH, SMOOTH, "No significant difference from a in ECE or Brier score.", True),
        ([0.1], [0.0], SMOOTH, "No significant difference from a in ECE or Brier score.", True),
    ],
)  # fmt: skip
def test_what_moved_is_told_with_the_settings_that_soften_confidence(
    own: list[float], other: list[float], changes: dict[str, dict[str, object]], words: str, folded: bool
) -> None:
    section = calibration_section(load_comparison(study(own, other, changes)))
    assert section is not None
    assert words in section.finding
    assert section.folded is folded
    assert len(section.figures) == 2


def test_numbers_of_the_page_are_those_of_the_runs(tmp_path: Path) -> None:
    stored = study(HIGH, LOW, SMOOTH)
    found = load_comparison(stored)
    compared, section = compare_calibration(found), calibration_section(found)
    assert compared is not None and section is not None
    a, b = compared.arms
    assert a.spreads["ece_best"].mean == pytest.approx(sum(HIGH) / 5)
    assert b.overconfidence == pytest.approx(sum(LOW) / 5)
    assert (a.off, a.runs) == (5, 5) and b.off in (1, 2, 3)
    assert compared.differences[0].paired.mean == pytest.approx(sum(LOW) / 5 - sum(HIGH) / 5)
    dots = section.figures[0].figure.data[1]
    assert (list(dots.x), list(dots.y)) == ([pytest.approx(90.8)], [pytest.approx(80.0)])
    page = write_comparison(stored, tmp_path).read_text(encoding="utf-8")
    assert 'id="calibration"' in page
    assert "ECE lower by 8.6 points" in page
    table = pd.read_csv(tmp_path / "comparison.csv")
    assert {"ece_best", "noise_floor_best", "brier_best"} < set(table[table["against"].isna()]["measure"])
    assert set(table[table["against"].notna()]["measure"]) >= {"ece_best", "brier_best"}
    assert "noise floor" in (tmp_path / "comparison.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "broken",
    [
        None,
        {},
        {"images": [1], "confidence": [0.5], "right": [2], "brier": 0.1},  # more right than there are
        {"images": [1, 2], "confidence": [0.5], "right": [1], "brier": 0.1},
        {"images": [0], "confidence": [0.0], "right": [0], "brier": 0.1},
        {"images": [1], "confidence": ["x"], "right": [1], "brier": 0.1},
        {"images": [1], "confidence": [0.5], "right": [1], "brier": "nan"},
        {"images": [1], "confidence": [float("nan")], "right": [1], "brier": 0.1},
        [1, 2],
    ],
)
def test_runs_without_usable_counts_give_a_page_without_the_section(broken: object) -> None:
    """As the studies of version 0.1, and databases that anybody has written to."""
    found = load_comparison(plan_study(WHOLE, reliabilities=None if broken is None else dict.fromkeys(WHOLE, broken)))
    assert calibration_section(found) is None
    assert "calibration" not in [section.id for section in comparison_sections(found)]
    assert not set(comparison_table(found)["measure"]) & {"ece_best", "brier_best"}


def test_only_the_runs_that_have_counts_are_compared() -> None:
    """As in a comparison that version 0.1 began."""
    found = load_comparison(plan_study(WHOLE, reliabilities={2: counts(0.9, 800), 3: counts(0.85, 800)}))
    compared = compare_calibration(found)
    assert compared is not None
    assert [arm.runs for arm in compared.arms] == [1, 1]
    assert [d.paired.n for d in compared.differences] == [1, 1]
    one = plan_study(WHOLE, reliabilities={2: counts(0.9, 800)})
    section = calibration_section(load_comparison(one))
    assert section is not None and len(section.grids[0].rows) == 1
