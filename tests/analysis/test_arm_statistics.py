"""Paired differences against known values and known truth, and what a comparison says of runs with known records."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from synthetic_plan import A1, A2, B1, B2, WHOLE, Curve, plan_study

from regstudy.analysis.arm_statistics import (
    ACCURACY,
    Arm,
    Comparison,
    compare_arms,
    curves_of,
    load_comparison,
    outcomes_of,
    spread,
)
from regstudy.analysis.paired import Paired, PairedVerdict, adjust, paired
from regstudy.errors import StudyError
from regstudy.report.comparison.comparison_figures import mean_curves, seed_points
from regstudy.report.comparison.comparison_page import comparison_sections, write_comparison
from regstudy.report.comparison.comparison_phrasing import comparison_verdict, interval_words, runs_words, spread_words
from regstudy.study import attributes

EVIL = "<script>alert(1)</script>"


def test_a_paired_difference_by_hand() -> None:
    """Differences 1, 2, 3, 6: mean 3, variance 14/3; t with 3 degrees of freedom has a closed form."""
    found = paired(np.array([1.0, 1, 1, 1]), np.array([2.0, 3, 4, 7]))
    reach = 3.182446 * math.sqrt(14 / 3) / 2
    assert (found.n, found.mean) == (4, 3.0)
    assert found.sd == pytest.approx(math.sqrt(14 / 3))
    assert (found.low, found.high) == pytest.approx((3 - reach, 3 + reach), abs=1e-5)
    x = 3 / (math.sqrt(14 / 3) / 2) / math.sqrt(3)
    assert found.p == pytest.approx(1 - 2 / math.pi * (math.atan(x) + x / (1 + x * x)))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=12))
@settings(max_examples=30)
def test_interval_and_p_agree_with_scipy_and_with_each_other(pairs: list[tuple[float, float]]) -> None:
    first, second = np.array(pairs).T
    found = paired(first, second)
    if found.sd < 1e-6:
        return
    expected = stats.ttest_rel(second, first)
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
    mirrored = paired(second, first)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))


@pytest.mark.parametrize(
    ("differences", "n", "p"),
    [
        ([], 0, math.nan),
        ([0.1], 1, math.nan),
        ([math.nan, 0.1], 1, math.nan),
        ([0.0, 0.0, 0.0], 3, 1.0),
        ([0.1] * 5, 5, 1 / 16),  # as far as a sign-flip test can go
    ],
)
def test_what_cannot_be_judged_is_not(differences: list[float], n: int, p: float) -> None:
    found = paired(np.zeros(len(differences)), np.array(differences))
    assert found.n == n
    assert found.p == pytest.approx(p, nan_ok=True)


def pairs_of(mean: float, low: float, high: float, adjusted: float, n: int = 5) -> Paired:
    return Paired(n, mean, 0.01, low, high, adjusted, adjusted)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (pairs_of(0.010, 0.005, 0.015, 0.01), "higher"),
        (pairs_of(-0.010, -0.015, -0.005, 0.01), "lower"),
        (pairs_of(0.010, 0.001, 0.019, 0.06), "undecided"),  # clear of zero, but not after the adjustment
        (pairs_of(0.001, -0.001, 0.003, 0.5), "no difference"),
        (pairs_of(0.001, 0.0005, 0.0015, 0.001), "no difference"),  # certain, and too small to matter
        (pairs_of(0.001, -0.004, 0.002, 0.5), "undecided"),
        (pairs_of(0.001, -0.002, 0.0031, 0.5), "undecided"),
        (pairs_of(0.5, math.nan, math.nan, math.nan, n=1), "one seed"),
        (pairs_of(math.nan, math.nan, math.nan, math.nan, n=0), "one seed"),
    ],
)
def test_verdicts(found: Paired, verdict: PairedVerdict) -> None:
    assert found.verdict(0.003) == verdict


@pytest.mark.parametrize(("mean", "sd", "n", "tests"), [(0.02, 0.02, 4, 1), (0.01, 0.03, 5, 4), (0.0, 0.01, 8, 1)])
def test_as_many_more_repeats_as_are_named_decide_four_in_five(mean: float, sd: float, n: int, tests: int) -> None:
    start = Paired(n, mean, sd, 0.0, 0.0, 0.5, 0.5, tests)
    wanted = n + int(start.more(0.003))
    draws = np.random.default_rng(0).normal(mean, sd, (400, wanted))
    decided = [replace(paired(row * 0, row), adjusted=min(1.0, tests * paired(row * 0, row).p)) for row in draws]
    share = np.mean([each.verdict(0.003) != "undecided" for each in decided])
    assert 0.7 < share < 0.95


def test_more_repeats_cannot_be_told_from_one_and_grow_as_the_difference_shrinks() -> None:
    assert math.isnan(pairs_of(0.1, 0, 0, math.nan, n=1).more(0.003))
    needed = [Paired(5, mean, 0.02, 0, 0, 0.5, 0.5).more(0.0) for mean in (0.05, 0.02, 0.01, 0.005, 0.0)]
    assert needed == sorted(needed)
    assert needed[0] >= 1
    assert needed[-1] == math.inf
    assert Paired(3, 0.1, 0.0, 0.1, 0.1, 0.25, 0.5, 2).more(0.003) == 4  # 2^(1−7) × 2 < 0.05


def run_rows(rng: np.random.Generator, shift: float, repeats: int) -> pd.DataFrame:
    """Runs of two arms whose outcomes all differ by ``shift`` but for noise."""
    rows = [
        {"arm": arm, "repeat": repeat, **{name: moved + rng.normal(0, 0.01) for name in outcomes_of(ACCURACY)}}
        for repeat in range(1, repeats + 1)
        for arm, moved in (("a", 0.0), ("b", shift))
    ]
    return pd.DataFrame(rows)


def test_identical_arms_are_called_different_in_at_most_five_per_cent_of_comparisons() -> None:
    rng = np.random.default_rng(1)
    alarms = sum(
        any(d.verdict in ("higher", "lower") for d in compare_arms(run_rows(rng, 0.0, 5), ["a", "b"], 0.0))
        for _ in range(300)
    )
    assert alarms / 300 < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 300)


def test_arms_that_differ_by_far_more_than_the_noise_are_told() -> None:
    found = compare_arms(run_rows(np.random.default_rng(1), -0.2, 5), ["a", "b"], 0.003)
    assert [(d.measure, d.verdict) for d in found] == [(name, "lower") for name in outcomes_of(ACCURACY)]
    assert {d.paired.tests for d in found} == {4}


def test_the_adjustment_counts_every_test_that_was_made() -> None:
    several = [pairs_of(0.1, 0.0, 0.2, math.nan)] * 3
    raw = [replace(one, p=p) for one, p in zip(several, (0.01, 0.04, math.nan), strict=True)]
    found = adjust(raw)
    assert [d.adjusted for d in found] == pytest.approx([0.02, 0.04, math.nan], nan_ok=True)
    assert {d.tests for d in found} == {2}


def arm(found: Comparison, name: str) -> Arm:
    return next(each for each in found.arms if each.name == name)


def test_every_measure_of_an_arm_by_hand() -> None:
    found = load_comparison(plan_study(WHOLE))
    a = arm(found, "a").spreads
    expected = {
        "val_accuracy_first": 0.35, "val_accuracy_last": 0.55, "val_accuracy_best": 0.65, "train_accuracy_first": 0.2,
        "clean_train_accuracy_last": 0.9, "running_gap_last": 0.35, "gap_accuracy_last": 0.35,
        "gap_accuracy_best": 0.15,
    }  # fmt: skip
    assert {name: a[name].mean for name in expected} == pytest.approx(expected)
    last = a["val_accuracy_last"]
    assert (last.n, last.low, last.high) == (2, 0.5, 0.6)
    assert last.sd == pytest.approx(0.1 / math.sqrt(2))
    assert arm(found, "a").seconds == 4.0  # median of 3, 4, 5, 3, 4, 5
    assert arm(found, "b").parameters == (1234, 1233)
    assert arm(found, "b").workers == (2, 2)
    assert arm(found, "b").epochs.high == 4


def test_differences_are_taken_within_repeats_and_a_run_ends_where_it_ended() -> None:
    found = load_comparison(plan_study(WHOLE))
    last = found.difference("b", "val_accuracy_last").paired
    assert (last.n, last.mean) == (2, pytest.approx(0.04))  # 0.06 and 0.02, the latter from the fourth epoch
    assert last.sd == pytest.approx(0.04 / math.sqrt(2))
    assert found.difference("b", "gap_accuracy_best").paired.mean == pytest.approx(-0.15)
    assert [d.paired.tests for d in found.differences] == [4] * 4


def test_curves_go_as_far_as_every_run_of_the_arm() -> None:
    found = load_comparison(plan_study(WHOLE))
    b = arm(found, "b")
    assert b.longer == 1
    assert set(b.curves) == set(curves_of(found.tables))
    validation = b.curves["val_accuracy"]
    assert validation.index.tolist() == [1, 2, 3]
    assert validation["mean"].tolist() == pytest.approx([0.25, 0.70, 0.62])
    assert validation["min"].tolist() == pytest.approx([0.20, 0.65, 0.56])


def test_runs_without_an_outcome_are_counted_and_enter_no_mean() -> None:
    runs: dict[int, Curve | str] = {0: A1, 1: B1, 2: A2, 3: "diverged", 4: "failed", 5: "running"}
    found = load_comparison(plan_study(runs, repeats=4))
    a, b = (arm(found, name) for name in "ab")
    assert (a.used, a.diverged, a.failed, a.running, a.missing) == (2, 0, 1, 0, 1)
    assert (b.used, b.diverged, b.failed, b.running, b.missing) == (1, 1, 0, 1, 1)
    assert runs_words(b) == "1 (1 of 4 diverged, 1 of 4 running and 1 of 4 not run yet)"
    assert found.difference("b", "val_accuracy_last").paired.n == 1
    text = comparison_verdict(found)
    assert "A single seed proves nothing" in " ".join(text.cautions)
    assert "diverged or failed" in " ".join(text.cautions)


def test_a_slot_that_failed_and_was_finished_later_did_not_fail() -> None:
    study = plan_study({0: "failed", 1: B1})
    later = plan_study({0: A1}).trials[0]
    study.add_trial(later)
    assert (arm(load_comparison(study), "a").failed, arm(load_comparison(study), "a").used) == (0, 1)


def test_a_study_of_a_search_is_no_comparison() -> None:
    with pytest.raises(StudyError, match="is not a comparison"):
        load_comparison(optuna.create_study())


def test_the_words_say_what_the_numbers_are() -> None:
    found = load_comparison(plan_study(WHOLE, **{attributes.MARGIN: 0.5}))
    assert spread_words(arm(found, "a").spreads["val_accuracy_last"], ACCURACY) == "55.00 ± 7.07 (50.00 to 60.00)"
    assert spread_words(spread(pd.Series([0.5])), ACCURACY) == "50.00"
    assert spread_words(spread(pd.Series([], dtype=float)), ACCURACY) == "–"
    text = comparison_verdict(found)
    assert text.headline.startswith("b vs. a at the last epoch: validation equal within 50 points")
    assert "changes by −44.00 points in train mode, and by −14.00 in eval mode. The 30.00 points" in text.sentences[1]
    assert interval_words(found.difference("b", "val_accuracy_last")) == "−21.41 to +29.41"
    assert "split seed 5, split hash abc" in text.cautions[1]


def test_a_gap_that_shrank_without_better_validation_is_no_gain() -> None:
    runs = {0: A1, 1: B1} | {2 * k: A1 for k in range(1, 8)} | {2 * k + 1: B1 for k in range(1, 8)}
    worse = {t: [(a, c, v - 0.06) for a, c, v in curve] if t % 2 else curve for t, curve in runs.items()}
    found = load_comparison(plan_study(worse, repeats=8))
    assert found.difference("b", "gap_accuracy_last").verdict == "lower"
    assert "only train accuracy fell" in comparison_verdict(found).sentences[0]


STUDIES = {
    "whole": (WHOLE, ("a", "b"), "b vs. a"),
    "three arms": ({0: A1, 1: B1, 2: B2, 3: A2, 4: B2, 5: B1}, ("a", "b", "c"), "Validation at the last epoch vs. a"),
    "single arm": ({0: A1, 1: A2}, ("a",), "a: validation 55.00 ± 7.07 % at the last epoch (2 seeds)."),
    "one repeat": ({0: A1, 1: B1}, ("a", "b"), "+6.00 points (undecided)"),
    "one arm without runs": ({0: A1, 2: A2}, ("a", "b"), "validation not comparable yet"),
    "nothing yet": ({}, ("a", "b"), "No run has finished"),
    "all diverged": ({0: "diverged", 1: "diverged"}, ("a", "b"), "No run has finished"),
    "names that are markup": (WHOLE, (EVIL, "a|b*_`"), "vs. "),
}  # fmt: skip


@pytest.mark.parametrize("name", STUDIES)
def test_a_page_of_every_comparison(name: str, tmp_path: Path) -> None:
    runs, arms, words = STUDIES[name]
    study = plan_study(runs, arms)
    page = write_comparison(study, tmp_path)
    text = page.read_text(encoding="utf-8").partition("</main>")[0]  # what follows is Plotly itself
    assert EVIL not in text
    assert not re.search(r'(src|href)="http', text)
    found = load_comparison(study)
    assert words in comparison_verdict(found).headline
    assert {path.name for path in tmp_path.iterdir()} == {
        "comparison.html", "comparison.md", "comparison.csv", "trials.csv", "epochs.csv"
    }  # fmt: skip
    summary = (tmp_path / "comparison.md").read_text(encoding="utf-8")
    assert EVIL not in summary
    table = pd.read_csv(tmp_path / "comparison.csv")
    assert len(table) == 15 * len(arms) + 4 * (len(arms) - 1)
    assert all(section.finding for section in comparison_sections(found))


def test_what_the_figures_show_is_what_was_measured() -> None:
    found = load_comparison(plan_study(WHOLE))
    first, first_mean, last, last_mean = seed_points(found).figure.data
    assert list(first.y) == pytest.approx([30, 40, 20, 30])
    assert list(last.y) == pytest.approx([50, 60, 56, 62])
    assert [y for y in last_mean.y if y is not None] == pytest.approx([55, 55, 59, 59])
    assert len(set(last.x)) == 4
    assert max(first.x[:2]) < min(last.x[:2]) < max(last.x[:2]) < min(first.x[2:])
    assert first_mean.mode == "lines"
    curves = mean_curves(found)
    assert [drawing.title for drawing in curves] == [
        "a, 2 seeds: gap 35.0 points (eval mode), 35.0 (train mode)",
        "b, 2 seeds: gap 21.0 points (eval mode), −9.0 (train mode)",
    ]
    lines = [trace for trace in curves[1].figure.data if trace.name == "validation"]
    assert list(lines[0].y) == pytest.approx([25, 70, 62])
    assert curves[0].figure.layout.yaxis.range == curves[1].figure.layout.yaxis.range


def test_a_mean_that_is_0_but_for_rounding_needs_no_number_of_pairs() -> None:
    right = np.array([909, 903, 877, 892, 911, 899, 878, 907, 906, 910])
    other = np.array([905, 898, 881, 887, 911, 894, 876, 907, 905, 928])  # as many right answers in all
    found = adjust([paired(right / 997, other / 997)] * 4)[0]
    assert 0 < abs(found.mean) < 1e-15
    assert 1 < found.more(0.003) < 1000
    assert found.more(0.0) == math.inf


def test_the_table_of_arms_has_five_rows_and_all_measures_are_collapsed() -> None:
    arms = comparison_sections(load_comparison(plan_study(WHOLE)))[0]
    key, full = arms.grids
    assert [row[0] for row in key.rows] == [
        "validation, last epoch (%)",
        "validation, best epoch (%)",
        "train (eval mode), last epoch (%)",
        "gap (eval mode), last epoch (points)",
        "epochs run / time per epoch",
    ]
    assert full.folded == "All measures" and len(full.rows) > 10 and not key.folded
