"""BaselineComparison of baseline and best, the underfit test, and gap against strength."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic import make_study

from regstudy.analysis.constant_answer import ConstantAnswer
from regstudy.analysis.gap import BaselineComparison, Relation, RelationKind, Scores, compare, relations
from regstudy.analysis.learned import qualify
from regstudy.analysis.ranks import expected_best, holm, partial_spearman, rank
from regstudy.report.finding_phrasing import relation_sentence
from regstudy.study.load_tables import load_tables

NOT_KNOWN = (math.nan, math.nan)


def scores(number: int, clean: float, val: float) -> Scores:
    return Scores(number, val, clean - 0.02, clean, val)


@pytest.mark.parametrize(
    ("clean", "val", "word", "underfit"),
    [
        (0.99, 0.85, "closed the gap", False),
        (1.00, 0.802, "no effect", False),
        (0.90, 0.80, "underfit", True),
        (0.85, 0.75, "hurt", True),
        (1.08, 0.81, "helped validation", False),
        (0.99, 0.78, "hurt", False),
    ],
)
def test_words(clean: float, val: float, word: str, underfit: bool) -> None:
    comparison = BaselineComparison(
        "val_accuracy", True, scores(0, 1.0, 0.80), scores(7, clean, val), 3, 40, 40, (0.8, 0.8)
    )
    assert (comparison.word, comparison.underfit) == (word, underfit)
    assert comparison.gap_change == pytest.approx(comparison.clean_train_change - comparison.val_gain)


def test_nothing_to_compare() -> None:
    only = BaselineComparison("val_accuracy", True, None, scores(7, 0.9, 0.8), 0, 40, 40, NOT_KNOWN)
    baseline = BaselineComparison("val_accuracy", True, scores(7, 0.9, 0.8), None, 1, 0, 0, NOT_KNOWN)
    assert only.word == baseline.word == "nothing to compare"
    assert math.isnan(only.val_gain) and not only.underfit
    assert only.best is only.challenger and not only.baseline_wins
    assert baseline.best is baseline.baseline and baseline.baseline_wins


@pytest.mark.parametrize(
    ("observed", "clean", "guess", "few", "untrained"),
    [
        (9, 0.9, 0.1, True, False),
        (10, 0.9, 0.1, False, False),
        (40, 0.148, 0.1, False, True),
        (40, 0.22, 0.1, False, False),
        (40, 0.58, 0.5, False, True),
        (40, 0.70, 0.5, False, False),
        (40, 0.005, 0.01, False, True),
        (40, 0.03, 0.01, False, False),
        (40, 0.955, 0.95, False, True),  # 760 and 40 images
        (40, 0.97, 0.95, False, False),
        (40, 0.05, None, False, False),
    ],
)
def test_what_is_too_little_to_judge(
    observed: int, clean: float, guess: float | None, few: bool, untrained: bool
) -> None:
    baseline, challenger = scores(0, clean, 0.04), scores(7, 0.99, 0.9)
    constant = None if guess is None else ConstantAnswer("val_accuracy", guess, 2)
    comparison = BaselineComparison("val_accuracy", True, baseline, challenger, 3, 40, observed, NOT_KNOWN, constant)
    assert (comparison.few, comparison.untrained) == (few, untrained)


def test_differences_agree_with_the_rounded_values() -> None:
    found = compare(load_tables(make_study(30)))
    a, b = found.baseline, found.challenger
    assert a is not None and b is not None
    for s in (a, b):
        assert all(round(1000 * x, 9) == round(1000 * x) for x in (s.train, s.clean_train, s.val, s.gap))
    assert found.val_gain == round(b.val - a.val, 3)
    assert found.gap_change == pytest.approx(b.gap - a.gap)
    assert found.constant is not None and found.constant.source == "assumed"
    assert (found.constant.value, found.search_observed) == (0.1, 19)


@pytest.mark.parametrize("maximize", [True, False])
def test_the_direction_decides_who_wins(maximize: bool) -> None:
    comparison = BaselineComparison("metric", maximize, scores(0, 0.9, 0.8), scores(1, 0.9, 0.7), 1, 1, 1, NOT_KNOWN)
    assert comparison.baseline_wins is maximize
    tie = BaselineComparison("metric", maximize, scores(0, 0.9, 0.8), scores(1, 0.9, 0.8), 1, 1, 1, NOT_KNOWN)
    assert tie.baseline_wins


def test_compare_counts_the_arms() -> None:
    comparison = compare(load_tables(make_study(40, baseline=4, diverged=1, failed=2)))
    assert comparison.baseline_trials == 4
    assert comparison.search_trials == 34  # 36 without the two failures
    assert comparison.word == "closed the gap"
    assert comparison.baseline is not None and comparison.best is not None
    low, high = comparison.equal_effort
    assert low < high < comparison.best.value


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize("draws", [1, 2, 5])
def test_expected_best_is_the_mean_over_all_subsets(draws: int, maximize: bool) -> None:
    values = np.array([0.3, 0.9, 0.1, 0.5, 0.7, math.nan])
    choose = max if maximize else min
    subsets = itertools.combinations(values[:5], draws)
    expected = np.mean([choose(subset) for subset in subsets])
    assert expected_best(values, draws, maximize=maximize) == pytest.approx(expected)
    assert math.isnan(expected_best(values, 6, maximize=maximize))
    assert math.isnan(expected_best(values, 0, maximize=maximize))


def test_hobbled_trials_are_excluded() -> None:
    qualification = qualify(load_tables(make_study(40, underfit=3, diverged=1)))
    assert qualification.excluded == 3 and qualification.from_baseline
    assert not qualification.mask[5:9].any()  # the odd ones follow the five baseline trials


def test_real_relations_are_told_and_placebos_are_not() -> None:
    found = {relation.path: relation for relation in relations(load_tables(make_study(60, seed=1)))}
    assert found["model.dropout"].significant and found["model.dropout"].rho < 0
    assert found["augmentation.strength"].significant
    assert relation_sentence(found["model.dropout"]).startswith("The gap falls as model.dropout increases")
    for placebo in ("regularization.l1", "regularization.l2", "regularization.label_smoothing"):
        assert not found[placebo].significant
        assert "No significant correlation" in relation_sentence(found[placebo])


def test_placebo_regularizers_are_rarely_told() -> None:
    told = 0
    for seed in range(40):
        study = make_study(40, seed=seed, effects={"model.dropout": 0.12}, epochs=4)
        told += any(
            relation.significant for relation in relations(load_tables(study)) if relation.path != "model.dropout"
        )
    assert told <= 5  # 40 × 5 % = 2; more than 5 has probability 0.014


def test_few_trials_give_no_relation() -> None:
    for relation in relations(load_tables(make_study(10, baseline=3))):
        assert math.isnan(relation.rho) and not relation.significant and "Too few" in relation_sentence(relation)


def test_a_plain_relation_that_few_trials_cannot_separate() -> None:
    study = make_study(15, baseline=3, prune=0.0, seed=3, effects={"model.dropout": 0.15})
    found = {relation.path: relation for relation in relations(load_tables(study))}
    dropout = found["model.dropout"]
    assert dropout.used < dropout.needed == 10 + dropout.held
    assert dropout.kind == "unadjusted" and not dropout.significant and math.isnan(dropout.rho)
    assert dropout.plain < -0.7
    assert "Unadjusted, the gap" in relation_sentence(
        dropout
    ) and f"the {dropout.held} other variables" in relation_sentence(dropout)


def relation(used: int, plain: float, plain_p: float, rho: float, p: float) -> Relation:
    return Relation("a.b", 0.0, plain, plain_p, rho, p, used, 0, 7, 17)


@pytest.mark.parametrize(
    ("found", "kind", "verb"),
    [
        (relation(30, 0.1, 0.5, -0.6, 0.01), "significant", "falls"),
        (relation(30, 0.6, 0.01, -0.1, 0.5), "unadjusted", "rises"),
        (relation(12, -0.76, 0.02, math.nan, math.nan), "unadjusted", "falls"),
        (relation(12, -0.3, 0.4, math.nan, math.nan), "chance", "falls"),
        (relation(9, math.nan, math.nan, math.nan, math.nan), "too few", "rises"),
        (relation(30, math.nan, math.nan, math.nan, math.nan), "not rankable", "rises"),
    ],
)
def test_what_can_be_said_of_a_relation(found: Relation, kind: RelationKind, verb: str) -> None:
    assert (found.kind, found.verb, found.significant) == (kind, verb, kind == "significant")
    assert ("at least 17 are needed" in relation_sentence(found)) == (kind == "unadjusted" and found.used < 17)


def test_without_baseline_the_best_trial_is_the_reference() -> None:
    qualification = qualify(load_tables(make_study(20, baseline=0)))
    assert not qualification.from_baseline and qualification.mask.any()


def test_holm() -> None:
    assert holm([0.01, math.nan, 0.04, 0.03]) == pytest.approx([0.03, math.nan, 0.06, 0.06], nan_ok=True)
    assert holm([]) == []


def test_partial_correlation_ignores_what_only_travels_along() -> None:
    rng = np.random.default_rng(0)
    cause = rng.normal(size=60)
    rider, gaps = cause + 0.3 * rng.normal(size=60), -cause + 0.1 * rng.normal(size=60)
    ranks = {name: rank(pd.Series(values)) for name, values in {"c": cause, "r": rider, "g": gaps}.items()}
    c, r, g = ranks["c"], ranks["r"], ranks["g"]
    assert c is not None and r is not None and g is not None
    alone, alone_p, _ = partial_spearman(r, g, [], 10)
    held, held_p, needed = partial_spearman(r, g, [c], 10)
    assert alone < -0.9 and alone_p < 1e-6
    assert abs(held) < 0.3 and held_p > 0.05 and needed == 11
    assert math.isnan(partial_spearman(c, g, [c], 10)[0])
    assert partial_spearman(c, c, [], 10)[:2] == (1.0, 0.0)


def test_without_others_it_is_spearmans() -> None:
    rng = np.random.default_rng(1)
    a, b = pd.Series(rng.integers(0, 5, 30)), pd.Series(rng.normal(size=30))
    expected = stats.spearmanr(a, b)
    rho, p, _ = partial_spearman(rank(a), rank(b), [], 10)
    assert (rho, p) == pytest.approx((expected.statistic, expected.pvalue))
