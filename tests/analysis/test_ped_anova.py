"""PED-ANOVA over arrays gives the numbers of Optuna's evaluator."""

from __future__ import annotations

import warnings

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial
from synthetic import make_study

from regstudy.analysis.ped_anova import evaluate, regimes


def of_optuna(trials: list[FrozenTrial], ranks: np.ndarray, top: int) -> dict[str, float]:
    study = optuna.create_study()
    study.add_trials([optuna.create_trial(value=0.0, params=t.params, distributions=t.distributions) for t in trials])
    evaluator = PedAnovaImportanceEvaluator(target_quantile=(top - 0.5) / len(trials))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return evaluator.evaluate(study, target=lambda trial: float(ranks[trial.number]))


def compared(trials: list[FrozenTrial], ranks: np.ndarray, top: int) -> None:
    names = sorted({name for trial in trials for name in trial.distributions})
    order = np.argsort(ranks)
    mine = evaluate(regimes(trials, names, str), len(names), order[None, :top])[0]
    theirs = of_optuna(trials, ranks, top)
    np.testing.assert_allclose(mine, [theirs[name] for name in names], rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(("n", "top"), [(12, 5), (50, 5), (50, 10), (120, 24)])
def test_conditional_studies(n: int, top: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(3):
        compared(make_study(n, seed=n, epochs=2).get_trials(), rng.permutation(n), top)


@pytest.mark.parametrize(
    "distribution",
    [
        FloatDistribution(0.0, 1.0, step=0.1),
        FloatDistribution(-3.0, 400.0),
        FloatDistribution(1e-8, 1e3, log=True),
        IntDistribution(0, 1),
        IntDistribution(0, 900, step=3),
        IntDistribution(1, 1000, log=True),
        CategoricalDistribution([None, "a", 2.5, True]),
        CategoricalDistribution(["only"]),
        FloatDistribution(2.0, 2.0),
    ],
    ids=str,
)
def test_every_kind_of_distribution(distribution: BaseDistribution) -> None:
    sampler = optuna.samplers.RandomSampler(seed=5)
    study = optuna.create_study(sampler=sampler)
    for _ in range(40):
        study.tell(study.ask({"x": distribution}), 0.0)
    compared(study.get_trials(), np.random.default_rng(1).permutation(40), 8)


def test_a_range_that_changed_makes_two_regimes_and_one_trial_makes_none() -> None:
    spans = [FloatDistribution(0.0, 1.0)] * 19 + [FloatDistribution(0.0, 2.0)] * 10 + [FloatDistribution(0.0, 3.0)]
    rng = np.random.default_rng(3)
    trials = [
        optuna.create_trial(value=0.0, params={"x": float(rng.random())}, distributions={"x": span}) for span in spans
    ]
    study = optuna.create_study()
    study.add_trials(trials)
    compared(study.get_trials(), rng.permutation(30), 6)


def test_rankings_of_subsamples_are_those_of_smaller_studies() -> None:
    trials = make_study(40, seed=4, epochs=2).get_trials()
    names = sorted({name for trial in trials for name in trial.distributions})
    rng = np.random.default_rng(0)
    regions = np.stack([rng.permutation(40)[:30] for _ in range(70)])  # more than are computed at once
    many = evaluate(regimes(trials, names, str), len(names), regions[:, :6], regions)
    for i in (0, 69):
        few = [trials[position] for position in regions[i]]
        alone = evaluate(regimes(few, names, str), len(names), np.arange(6)[None, :])[0]
        np.testing.assert_allclose(many[i], alone, rtol=1e-9, atol=1e-14)
