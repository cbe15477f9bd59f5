"""What an ablation shows: signs at the looks, verdicts, both intervals; and how often all of this is wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from planted_ablation import ACTIVE, conducted, constant, noisy, request
from scipy import stats

from regstudy.analysis.ablation import FLIPPED, Ablation, ablation, judged
from regstudy.analysis.ablation_arms import EVERYTHING, contrasts_of
from regstudy.analysis.contrasts import Pairs, Result, Sign, Stage, look, pairs_of, standing, summary

MARGIN = 0.3


def noise(mean: float, sd: float, n: int) -> list[float]:
    """Values with exactly this mean and standard deviation."""
    values = np.arange(n) - (n - 1) / 2
    return list(mean + sd * values / values.std(ddof=1))


def told(
    metric: tuple[float, float], gap: tuple[float, float], n: int = 20, margin: float = 0.003, **more: object
) -> Ablation:
    """The ablation of one regularizer whose differences have these means and spreads."""
    contrasts = contrasts_of(["dropout"])
    differences = {"dropout": list(zip(noise(*metric, n), noise(*gap, n)[::-1], strict=True))}
    results, stage = constant(differences, contrasts)
    return ablation(results, contrasts, [stage], margin=margin, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "gap", "verdict"),
    [
        ((0.04, 0.01), (-0.04, 0.01), "closed the gap"),
        ((0.04, 0.01), (0.0, 0.02), "helped validation"),
        ((0.04, 0.01), (0.04, 0.01), "helped validation"),
        ((0.0, 0.001), (-0.04, 0.01), "smaller gap, validation not better (underfits)"),
        ((-0.01, 0.03), (-0.04, 0.01), "smaller gap, validation not better (underfits)"),
        ((0.01, 0.03), (-0.04, 0.01), "undecided"),  # validation may be better
        ((-0.04, 0.01), (-0.04, 0.01), "hurt"),
        ((-0.04, 0.01), (0.04, 0.01), "hurt"),
        ((0.0, 0.001), (0.0, 0.001), "no effect"),
        ((0.002, 0.0005), (-0.002, 0.0005), "no effect"),  # certain, but within the margin
        ((0.04, 0.01), (-0.0025, 0.004), "helped validation"),  # the gap is certainly smaller, but by a trifle
        ((0.0, 0.001), (-0.0025, 0.004), "undecided"),
        ((0.0025, 0.004), (-0.04, 0.01), "undecided"),
        ((-0.0025, 0.004), (0.0, 0.001), "undecided"),
        ((-0.0025, 0.004), (-0.04, 0.01), "smaller gap, validation not better (underfits)"),
        ((0.0, 0.001), (0.04, 0.01), "no effect"),
        ((0.0, 0.001), (0.0, 0.03), "undecided"),  # the gap may be smaller
        ((0.0, 0.03), (0.0, 0.03), "undecided"),
    ],
)
@pytest.mark.parametrize("maximize", [True, False])
def test_verdicts(metric: tuple[float, float], gap: tuple[float, float], verdict: str, maximize: bool) -> None:
    """The same for a loss, whose better values are lower."""
    given = metric if maximize else (-metric[0], metric[1])
    found = told(given, gap, n=40, maximize=maximize).effect("dropout")
    assert found.verdict == verdict
    assert found.metric.mean == pytest.approx(metric[0])
    assert found.gap.mean == pytest.approx(gap[0])
    assert (found.more_runs > 0) == (verdict == "undecided")


def test_verdicts_of_every_pair_of_signs() -> None:
    signs: tuple[Sign, ...] = ("higher", "lower", "none", "not higher", "not lower", "open")
    assert {(metric, gap): judged(metric, gap) for metric in ("not lower", "open") for gap in signs} == {
        (metric, gap): "undecided" for metric in ("not lower", "open") for gap in signs
    }
    assert all(FLIPPED[FLIPPED[sign]] == sign for sign in signs)


def test_both_intervals_in_figures() -> None:
    """Student's on these images; Nadeau and Bengio's for new ones, with 20 % of the images for validation."""
    found = told((0.04, 0.01), (-0.04, 0.01), n=10, test_share=0.25).effect("dropout").metric
    t = stats.t.ppf(0.975, 9)
    assert (found.n, found.sd) == (10, pytest.approx(0.01))
    assert (found.low, found.high) == pytest.approx((0.04 - t * 0.01 / 10**0.5, 0.04 + t * 0.01 / 10**0.5))
    reach = t * 0.01 * math.sqrt(0.1 + 0.25)
    assert (found.new_low, found.new_high) == pytest.approx((0.04 - reach, 0.04 + reach))
    fixed = told((0.04, 0.01), (-0.04, 0.01), n=10).effect("dropout").metric
    assert math.isnan(fixed.new_low) and fixed.low == found.low


@pytest.mark.parametrize(("mean", "sd", "n"), [(0.02, 0.01, 5), (-0.01, 0.02, 8), (0.0, 0.01, 3)])
def test_p_is_that_of_a_paired_t_test(mean: float, sd: float, n: int) -> None:
    values = noise(mean, sd, n)
    pairs = summary(values)
    assert pairs.p() == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert pairs.below(0.003) == pytest.approx(stats.ttest_1samp(values, 0.003, alternative="less").pvalue)
    assert pairs.above(-0.003) == pytest.approx(stats.ttest_1samp(values, -0.003, alternative="greater").pvalue)


@pytest.mark.parametrize(
    ("pairs", "p"),
    [(Pairs(1, 5.0, math.nan), math.nan), (Pairs(5, 0.1, 0.0), 0.0625), (Pairs(5, 0.0, 0.0), 1.0)],
)
def test_p_of_few_pairs_or_without_spread(pairs: Pairs, p: float) -> None:
    assert pairs.p() == pytest.approx(p, nan_ok=True)


def test_holm_over_both_measures() -> None:
    """Four tests at 4 %: 0.008 passes at 1 %, 0.012 at 1.33 %, and 0.03 not at 2 %."""
    t = {p: float(stats.t.isf(p / 2, 9)) / 10**0.5 for p in (0.008, 0.012, 0.03, 0.9)}
    tests = {
        ("a", "metric"): Pairs(10, t[0.008], 1.0),
        ("a", "gap"): Pairs(10, -t[0.012], 1.0),
        ("b", "metric"): Pairs(10, t[0.03], 1.0),
        ("b", "gap"): Pairs(10, t[0.9], 1.0),
    }
    assert look(tests, 0.04, 0.0) == {("a", "metric"): "higher", ("a", "gap"): "lower"}  # type: ignore[arg-type]


def test_what_was_decided_stays_decided() -> None:
    """A look after two repeats decides; the values after it would not."""
    contrasts = contrasts_of(["dropout"])
    differences = [(0.04 + 0.0001 * n, -0.04 + 0.0001 * n) for n in range(4)] + [(-0.3, 0.3), (0.2, -0.1)]
    results, _ = constant({"dropout": differences}, contrasts)
    until = dict.fromkeys(results, 4)
    stages = [Stage(1, until, 8, 0.02), Stage(5, dict.fromkeys(results, 6), 12, 0.03)]
    assert ablation(results, contrasts, stages[1:], margin=0.003).effect("dropout").verdict == "undecided"
    assert ablation(results, contrasts, stages, margin=0.003).effect("dropout").verdict == "closed the gap"


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("higher", "not lower", "higher"),
        ("lower", "open", "lower"),
        ("open", "not higher", "not higher"),
        ("not higher", "not lower", "none"),
        ("not lower", "higher", "higher"),
        ("higher", "none", "none"),
        ("none", "not higher", "none"),
    ],
)
def test_two_looks_together(monkeypatch: pytest.MonkeyPatch, first: Sign, second: Sign, together: Sign) -> None:
    contrasts = contrasts_of(["dropout"])
    results, _ = constant({"dropout": [(0.0, 0.0)] * 4}, contrasts)
    said = {0.02: first, 0.03: second}
    monkeypatch.setattr("regstudy.analysis.contrasts.look", lambda tests, alpha, _: dict.fromkeys(tests, said[alpha]))
    stages = [Stage(1, dict.fromkeys(results, 2), 4, 0.02), Stage(3, dict.fromkeys(results, 4), 8, 0.03)]
    assert standing(results, contrasts, stages, frozenset(), 0.003).sign(contrasts[0], "metric") == together


def test_nothing_is_decided_before_a_stage_has_ended() -> None:
    contrasts = contrasts_of(["dropout"])
    results, stage = constant({"dropout": [(0.04 + 0.0001 * n, -0.04) for n in range(8)]}, contrasts)
    assert standing(results, contrasts, [stage], frozenset(), 0.003).looks == 1
    del results["winner"][3]
    found = ablation(results, contrasts, [stage], margin=0.003)
    assert (found.looks, found.effect("dropout").verdict, found.effect("dropout").metric.n) == (0, "undecided", 7)
    found = ablation(results, contrasts, [stage], margin=0.003, lost={("winner", 3)})
    assert (found.looks, found.effect("dropout").metric.sign) == (1, "higher")


def test_diverged_runs_have_no_gap_and_pairs_are_complete() -> None:
    contrasts = contrasts_of(["dropout"])
    results, _ = constant({"dropout": [(0.04, -0.04)] * 6}, contrasts)
    results["winner"][2] = Result(0.1)
    del results["baseline"][5]
    assert (pairs_of(results, contrasts[0], "metric").n, pairs_of(results, contrasts[0], "gap").n) == (5, 4)
    assert pairs_of(results, contrasts[0], "metric", last=3).n == 3


def test_no_runs_yet() -> None:
    found = ablation({}, contrasts_of(["a", "b"]), [], margin=MARGIN)
    assert [one.verdict for one in found.effects] == ["undecided"] * 3
    assert [one.chances for one in found.effects] == [None] * 3
    assert (found.runs, found.looks, found.more_runs) == (0, 0, 0.0)


def test_planted_truth_by_the_whole_design() -> None:
    """One closes the gap, one only fits less, one hurts, two do nothing."""
    effects = {"augmentation": 4.0, "dropout": 0.0, "l2": -4.0}
    gaps = {"augmentation": -4.4, "dropout": -4.0, "l2": 0.0}
    value = noisy(effects, sd=0.4, gaps=gaps)
    of = request(140)
    stages, results, lost, _ = conducted(of, value)
    found = ablation(results, of.contrasts, stages, margin=MARGIN, lost=lost)
    verdicts = {one.name: one.verdict for one in found.effects}
    assert verdicts["augmentation"] == "closed the gap"
    assert verdicts["l2"] == "hurt"
    assert verdicts["dropout"] in ("smaller gap, validation not better (underfits)", "undecided")
    assert {verdicts["mixup"], verdicts["label smoothing"]} <= {"no effect", "undecided"}
    assert found.effect("augmentation").metric.mean == pytest.approx(4.0, abs=0.6)
    assert found.effect("augmentation").gap.mean == pytest.approx(-4.4, abs=0.6)
    assert found.effect("augmentation").fit.mean == pytest.approx(-0.4, abs=0.3)
    assert found.effects[-1].name == EVERYTHING


def test_more_runs_that_are_said_to_decide_do_so_mostly() -> None:
    """Half of the undecided effects that are really there are named when the runs are made."""
    decided = []
    for seed in range(30):
        value, of = noisy({"augmentation": 0.8}, seed), request(70)
        stages, results, lost, _ = conducted(of, value)
        found = ablation(results, of.contrasts, stages, margin=0.0, lost=lost).effect("augmentation")
        if found.verdict != "undecided" or not math.isfinite(found.more_runs):
            continue
        more = int(ablation(results, of.contrasts, stages, margin=0.0).more_runs)
        stages, results, lost, _ = conducted(request(70 + more, margin=0.0), value, stages, results, lost)
        decided.append(ablation(results, of.contrasts, stages, margin=0.0).effect("augmentation").verdict)
    assert len(decided) >= 5
    assert np.mean([verdict != "undecided" for verdict in decided]) >= 0.6


def test_each_arm_counts_with_the_runs_that_it_needs() -> None:
    """One effect needs many pairs, the other few: the arms of the second do not run as often as those of the first."""
    contrasts = contrasts_of(["dropout", "L2"])[:2]
    differences = {"dropout": noise(0.004, 0.01, 12), "L2": noise(0.02, 0.025, 12)}
    given = {name: [(each, 0.0) for each in values] for name, values in differences.items()}
    results, stage = constant(given, contrasts)
    found = ablation(results, contrasts, [stage], margin=0.003)
    long, short = (found.effect(name).more_runs / 2 for name in ("dropout", "L2"))
    assert long > 5 * short > 0
    assert found.more_runs == 2 * long + short  # the winner and the arm without dropout, and that without L2


def test_a_small_simulation() -> None:
    """200 ablations: coverage, false signs, and named effects are what docs/answer.md says, roughly."""
    effects = {"augmentation": 2.0, "dropout": 1.2}
    covered, false, named = [], [], {name: list[bool]() for name in effects}
    for seed in range(200):
        of = request(70)
        stages, results, _, made = conducted(of, noisy(effects, seed))
        assert len(made) <= 70
        found = ablation(results, of.contrasts, stages, margin=MARGIN)
        wrong = False
        for one in found.effects:
            truth = effects.get(one.name, sum(effects.values()) if one.name == EVERYTHING else 0.0)
            covered.append(one.metric.low <= truth <= one.metric.high)
            wrong |= one.metric.sign in (("higher", "lower") if truth == 0 else ("none", "lower"))
            if one.name in named:
                named[one.name].append(one.metric.sign == "higher")
        false.append(wrong)
    assert 0.93 <= np.mean(covered) <= 0.975
    assert np.mean(false) <= 0.05
    assert np.mean(named["augmentation"]) >= 0.95
    assert np.mean(named["dropout"]) >= 0.65


def test_the_active_regularizers_of_the_tests_are_those_of_the_plan() -> None:
    assert [one.name for one in contrasts_of(ACTIVE)] == [*ACTIVE, EVERYTHING]
