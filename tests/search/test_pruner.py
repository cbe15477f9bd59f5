from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from regstudy.errors import ArgumentError
from regstudy.records import PruningDecision
from regstudy.search.pruner import Judge, SignalPruner, make_pruner
from regstudy.search.search_options import PRUNERS
from regstudy.space.parsing import parse_space
from regstudy.study import attributes
from regstudy.training.time_share import TimeShare

EPOCHS = 30


def study_with(
    pruner: optuna.pruners.BasePruner, maximize: bool, trials: int = 40, audit_seed: int = 0
) -> optuna.Study:
    """A plain Optuna study of curves that saturate at a level drawn per trial."""
    rng = np.random.default_rng(audit_seed)
    study = optuna.create_study(direction="maximize" if maximize else "minimize", pruner=pruner)

    def objective(trial: optuna.Trial) -> float:
        level = trial.suggest_float("level", 0.1, 0.9)
        best = 0.0
        for epoch in range(EPOCHS):
            value = level * (1 - np.exp(-(epoch + 1) / 4)) + 0.002 * rng.normal()
            best = max(best, value)
            trial.report(value if maximize else 1 - value, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return best if maximize else 1 - best

    study.sampler = optuna.samplers.RandomSampler(seed=audit_seed)
    study.optimize(objective, n_trials=trials)
    return study


@pytest.mark.parametrize("maximize", [True, False])
def test_a_plain_study_is_pruned_in_either_direction(maximize: bool) -> None:
    study = study_with(SignalPruner(EPOCHS, audit=0.0), maximize)
    pruned = study.get_trials(states=(TrialState.PRUNED,))
    assert len(pruned) > 10
    good = np.quantile([trial.params["level"] for trial in study.trials], 0.75)
    assert all(trial.params["level"] < good for trial in pruned)
    reasons = study.pruner.reasons  # type: ignore[attr-defined]
    assert all("were better at epoch" in reasons[trial.number] for trial in pruned)
    assert study.best_trial.params["level"] == max(trial.params["level"] for trial in study.trials)


def test_both_directions_prune_alike() -> None:
    lengths = [[len(t.intermediate_values) for t in study_with(SignalPruner(EPOCHS), m).trials] for m in (True, False)]
    assert lengths[0] == lengths[1]


def test_the_audited_share_is_never_cut_and_says_what_would_have_been() -> None:
    study = study_with(SignalPruner(EPOCHS, audit=0.5, seed=3), maximize=True, trials=60)
    pruner = study.pruner
    assert isinstance(pruner, SignalPruner)
    exempt = [trial for trial in study.trials if pruner.exempt(trial)]
    assert 15 < len(exempt) < 45
    assert all(trial.state == TrialState.COMPLETE for trial in exempt)
    shadows = pruner.shadows
    assert shadows and all(1 <= shadow["epoch"] < EPOCHS and shadow["reason"] for shadow in shadows.values())
    assert set(shadows) <= {trial.number for trial in exempt}


def test_without_exemption_and_with_all_exempt() -> None:
    assert not study_with(SignalPruner(EPOCHS, audit=1.0), True).get_trials(states=(TrialState.PRUNED,))


def test_a_retried_slot_keeps_its_place_in_the_audit() -> None:
    pruner = SignalPruner(EPOCHS, audit=0.5, seed=1)
    for slot in range(20):
        trials = [optuna.trial.create_trial(value=0.0, user_attrs={attributes.SLOT: slot}) for number in range(2)]
        trials[1].number = 99
        assert pruner.exempt(trials[0]) == pruner.exempt(trials[1])


def test_a_trial_that_diverged_is_nobodys_peer() -> None:
    def peers(outcome: str) -> int:
        study = optuna.create_study(direction="maximize")
        for _ in range(3):
            study.add_trial(
                optuna.trial.create_trial(
                    value=0.1, intermediate_values={1: 0.1, 2: float("nan")}, user_attrs={attributes.OUTCOME: outcome}
                )
            )
        trials = study.get_trials(deepcopy=False)
        return len(SignalPruner(EPOCHS).peers(study, optuna.trial.create_trial(value=0.0), trials))

    assert (peers("finished"), peers("diverged")) == (3, 0)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: SignalPruner(0), "epochs must be a whole number of at least 1, but it is 0"),
        (lambda: SignalPruner(2.5), "epochs must be a whole number"),  # type: ignore[arg-type]
        (lambda: SignalPruner(5, chance=2.0), "chance must be a share between 0 and 1, but it is 2.0"),
        (lambda: SignalPruner(5, audit=-0.1), "audit must be a share between 0 and 1"),
    ],
)
def test_wrong_settings_are_refused(build: Callable[[], SignalPruner], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        build()


@pytest.mark.parametrize(("chance", "expected"), [(None, 0.06), (0.5, 0.5)])
def test_between_folds_the_default_is_more_careful(
    chance: float | None, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def decide(_own: object, _peers: object, given: float) -> PruningDecision:
        asked.append(given)
        return PruningDecision(False, "")

    monkeypatch.setattr("regstudy.search.pruner.decide_on_folds", decide)
    study = optuna.create_study()
    trial = study.ask()
    SignalPruner(10, chance=chance).verdict_on_folds(study, study.trials[trial.number], study.trials)
    assert asked == [expected]


@pytest.mark.parametrize("name", PRUNERS)
def test_every_pruner_by_name_runs_a_study(name: str) -> None:
    raw = {"data": {"name": "digits"}, "model": {"name": "dropout_cnn"}, "training": {"epochs": EPOCHS}}
    pruner = make_pruner(parse_space(raw, "space", "space"), name)  # type: ignore[arg-type]
    study = study_with(pruner, maximize=True, trials=25)
    states = {trial.state for trial in study.trials}
    assert states == ({TrialState.COMPLETE} if name == "none" else {TrialState.COMPLETE, TrialState.PRUNED})


@pytest.mark.parametrize("epochs", [2, 5, 12, 30])
@pytest.mark.parametrize("slow", [False, True])
def test_trials_are_read_only_when_that_is_due_and_the_decision_is_that_of_a_fresh_reading(
    epochs: int, slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read while nothing can be pruned. A reading of a second is not repeated within 200 seconds."""
    pruner = SignalPruner(epochs, audit=0.0)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    for level in range(12):
        study.add_trial(
            optuna.create_trial(value=level, intermediate_values={step: level + step for step in range(1, epochs + 1)})
        )
    clock, read = [0.0], []
    monkeypatch.setattr("regstudy.search.pruner.TimeShare", partial(TimeShare, clock=lambda: clock[0]))
    get_trials = study.get_trials

    def counted(*given: object, **more: object) -> list[optuna.trial.FrozenTrial]:
        read.append(1)
        clock[0] += 1.0 if slow else 0.0
        return get_trials(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(study, "get_trials", counted)
    trial, reading, values = study.ask(), [], {}
    judge = Judge(trial)
    for epoch in range(1, epochs + 1):
        values[epoch] = -5.0
        trial.report(-5.0, epoch)
        read.clear()
        clock[0] += 50.0
        decision = judge.after_epoch(values)
        reading += [epoch] if read else []
        frozen = get_trials(deepcopy=False)[trial.number]
        assert decision.prune == SignalPruner(epochs, audit=0.0).verdict(study, frozen).prune
    first = max(2, -(-3 * epochs // 10))
    assert reading == list(range(first, epochs + 1, 4 if slow else 1))


def test_a_pruner_that_is_not_ours_asks_the_storage() -> None:
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=1.0))
    trial = study.ask()
    judge = Judge(trial)
    assert judge.asks_storage and not judge.after_epoch({1: 0.5}).prune
    trial.report(2.0, 2)
    assert judge.after_epoch({1: 0.5, 2: 2.0}) == PruningDecision(True, "ThresholdPruner pruned it at epoch 2")
