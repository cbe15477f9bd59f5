"""What confirmation runs show, from planted tables of a search and its companion study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from regstudy.analysis.confirmation import Confirmation, confirmation
from regstudy.analysis.gap import MARGIN
from regstudy.records import EpochRecord, dump_records
from regstudy.space.study_name import CONFIRMATION
from regstudy.study import attributes
from regstudy.study.companion import BASELINE_ARM, arm_of
from regstudy.study.load_tables import load_tables
from regstudy.study.tables import Tables

DATA = {
    "classes": [str(digit) for digit in range(10)],
    "validation_per_class": [40] * 10,
    "split_hash": "9f2c",
    "split_seed": 123,
}
REGULARIZERS = {"model.dropout": 0.0, "regularization.l2": 0.0, "augmentation.strength": 0.0}
SEARCHED = {0: 0.70, 3: 0.72, 4: 0.80, 5: 0.83, 6: 0.82, 7: 0.71}  # of each trial; 0, 3 and 7 are baselines
BASELINE = 3
Runs = Mapping[str, Sequence[float]]  # the values of each arm, round by round


def stored(value: float, arm: str, diverged: bool = False, **more: Any) -> dict[str, Any]:
    """The attributes of a run of five epochs; its clean train accuracy is 5 points higher, its train loss 0.1 lower."""
    accuracy, loss = (value, 2.0 * (1 - value)) if value <= 1 else (0.5, value)
    epochs = [] if diverged else range(1, 6)
    records = [EpochRecord(n, 1.0, 0.9, loss - 0.1, accuracy + 0.05, loss, accuracy, 1e-3, 1.0, 2.0) for n in epochs]
    return {
        attributes.ARM: arm,
        attributes.EPOCHS: dump_records(records),
        attributes.OUTCOME: "diverged" if diverged else "finished",
        attributes.BEST_EPOCH: 0 if diverged else 5,
        attributes.BEST_VALUE: value,
        **more,
    }


def search(
    searched: Mapping[int, float] = SEARCHED,
    settings: Mapping[int, Mapping[str, float]] | None = None,
    metric: str = "val_accuracy",
    direction: str = "maximize",
    data: Mapping[str, Any] | None = None,
) -> Tables:
    """A search whose trials have these values, and regularizers (dropout, l2, augmentation)."""
    study = optuna.create_study(study_name="x", direction=direction)
    for name, fact in {
        attributes.METRIC: metric,
        attributes.REGULARIZERS: REGULARIZERS,
        attributes.DATA: {**DATA, **(data or {})},
    }.items():
        study.set_user_attr(name, fact)
    worst = 0.1 if direction == "maximize" else 9.0
    for number in range(max(searched) + 1):
        off = number in (0, 3, 7)
        given = {"dropout": 0.3, "l2": 0.01, "strength": 0.5, **((settings or {}).get(number, {}))}
        config = {
            "model": {"dropout": 0.0 if off else given["dropout"]},
            "regularization": {"l2": 0.0 if off else given["l2"]},
            "augmentation": {"strength": 0.0 if off else given["strength"]},
        }
        value, arm = searched.get(number, worst), "baseline" if off else "search"
        facts = stored(value, arm, **{attributes.CONFIG: config})
        study.add_trial(create_trial(value=value, user_attrs=facts))
    return load_tables(study)


def run(
    value: float, arm: str, round_: int, state: TrialState = TrialState.COMPLETE, diverged: bool = False
) -> FrozenTrial:
    return create_trial(
        state=state,
        value=value if state == TrialState.COMPLETE else None,
        params={"round": round_},
        distributions={"round": IntDistribution(1, 99)},
        user_attrs=stored(value, arm, diverged),
    )


def planted(runs: Runs) -> list[FrozenTrial]:
    return [run(value, arm, n) for arm, values in runs.items() for n, value in enumerate(values, start=1)]


def fresh(made: Runs | Sequence[FrozenTrial], metric: str = "val_accuracy", **race: Any) -> Tables:
    """The companion study with these runs."""
    direction = "minimize" if metric == "val_loss" else "maximize"
    study = optuna.create_study(study_name="x" + CONFIRMATION, direction=direction)
    study.set_user_attr(attributes.METRIC, metric)
    sign = -1 if direction == "minimize" else 1
    given = {"runs": 14, "baseline": BASELINE, "sizes": [4, 2, 1, 1, 1], "center": sign * 0.7, "round": 5}
    study.set_user_attr(attributes.RACE, {**given, "leaders": [], "planned": [], **race})
    study.add_trials(planted(made) if isinstance(made, Mapping) else made)
    return load_tables(study)


def told(made: Runs | Sequence[FrozenTrial], of: Tables | None = None, **race: Any) -> Confirmation:
    of = of or search()
    found = confirmation(of, fresh(made, of.metric or "", **race))
    assert found is not None
    return found


CLEAR: Runs = {
    BASELINE_ARM: [0.71, 0.70, 0.72, 0.71, 0.71],
    arm_of(5): [0.79, 0.77, 0.80, 0.78, 0.79],
    arm_of(6): [0.74, 0.72],
    arm_of(4): [0.70],
    arm_of(8): [0.60],  # of no trial of the search
}


def test_the_claim_in_figures() -> None:
    found = told(CLEAR, runs=16)
    assert found.status == "confirmed"
    assert [one.number for one in found.leaders] == [5, 6, 4]
    assert (found.winner.searched, found.winner.values) == (0.83, dict(enumerate(CLEAR[arm_of(5)], start=1)))
    assert (found.baseline.number, found.baseline.searched) == (3, 0.72)
    assert (found.rounds, found.wins, found.level.n) == (5, 5, 5)
    assert found.level.mean == pytest.approx(0.786)
    assert found.baseline_level.mean == pytest.approx(0.71)
    assert found.gain.mean == pytest.approx(0.076) and 0.06 < found.gain.low < found.gain.high < 0.09
    assert found.luck == pytest.approx(0.83 - 0.786)
    assert (found.gap.mean, found.baseline_gap.mean) == pytest.approx((0.05, 0.05))
    assert (found.gap_change.mean, found.fit_change.mean) == pytest.approx((0.0, 0.076))
    assert found.margin == MARGIN
    assert (found.runs, found.left) == (14, 2)  # one is of a trial that is not in the search, but it was made
    assert (found.epochs, found.search_epochs, found.run_seconds) == (70, 40, 10.0)
    assert not found.own_validation


@pytest.mark.parametrize(
    ("gains", "status"),
    [
        ([0.08, 0.09, 0.08, 0.09], "confirmed"),
        ([0.08, 0.09, 0.08], "too few rounds"),
        ([0.08], "too few rounds"),
        ([0.08, -0.06, 0.08, -0.06], "undecided"),
        ([0.02, 0.02, 0.02, 0.02], "undecided"),  # no spread to judge by
        ([0.001, 0.002, 0.001, 0.002], "no better"),
        ([0.0, 0.0, 0.0, 0.0], "no better"),
        ([-0.08, -0.09, -0.08, -0.09], "no better"),
    ],
)
def test_statuses(gains: list[float], status: str) -> None:
    base = [0.71, 0.69, 0.72, 0.70][: len(gains)]
    found = told({BASELINE_ARM: base, arm_of(5): [b + gain for b, gain in zip(base, gains, strict=True)]})
    assert found.status == status
    assert found.gain.mean == pytest.approx(sum(gains) / len(gains))


def test_the_same_with_a_metric_of_which_less_is_better() -> None:
    of = search({0: 1.9, 3: 1.8, 4: 1.5, 5: 1.2, 6: 1.3, 7: 1.85}, metric="val_loss", direction="minimize")
    found = told(
        {BASELINE_ARM: [1.80, 1.82, 1.79, 1.81], arm_of(5): [1.32, 1.30, 1.33, 1.31], arm_of(6): [1.6]},
        of,
        center=-1.6,
    )
    assert (found.winner.number, found.status, found.wins) == (5, "confirmed", 4)
    assert found.level.mean == pytest.approx(1.315)
    assert found.gain.mean == pytest.approx(0.49) and found.gain.low > 0
    assert found.luck == pytest.approx(0.115)
    assert found.leaders[1].behind.mean == pytest.approx(0.28)
    assert found.gap.mean == pytest.approx(0.1) and found.gap_change.mean == pytest.approx(0.0)
    assert found.fit_change.mean == pytest.approx(0.49)  # it fits better, too


@pytest.mark.parametrize(
    ("runs", "race"),
    [
        ({}, {}),
        ({arm_of(5): [0.8, 0.8]}, {}),
        ({BASELINE_ARM: [0.7, 0.7]}, {}),
        ({BASELINE_ARM: [0.7], arm_of(50): [0.8]}, {}),
        ({BASELINE_ARM: [0.7], arm_of(5): [0.8]}, {"baseline": 99}),
        ([run(0.7, BASELINE_ARM, 1), run(0.8, arm_of(5), 2)], {}),
        ([run(0.7, BASELINE_ARM, 1, TrialState.FAIL), run(0.8, arm_of(5), 1)], {}),
    ],
    ids=["no runs", "no baseline", "no leader", "an unknown leader", "an unknown baseline", "no pair", "a failed one"],
)
def test_nothing_to_say(runs: Runs | Sequence[FrozenTrial], race: dict[str, Any]) -> None:
    assert confirmation(search(), fresh(runs, **race)) is None


def test_nothing_to_say_without_a_race() -> None:
    assert confirmation(search(), None) is None
    assert confirmation(search(), search()) is None


def test_one_round_has_a_mean_and_no_interval() -> None:
    found = told({BASELINE_ARM: [0.71], arm_of(5): [0.79], arm_of(6): [0.75]})
    assert (found.status, found.rounds) == ("too few rounds", 1)
    assert found.gain.mean == pytest.approx(0.08)
    assert math.isnan(found.gain.low) and math.isnan(found.level.half) and math.isnan(found.more_rounds)
    assert found.leaders[1].equal  # there is no spread to tell them apart


def test_only_finished_runs_count_and_each_once() -> None:
    extra = [
        run(0.10, arm_of(5), 2, TrialState.FAIL),
        run(0.99, arm_of(5), 1),  # made twice after a failure
        run(0.10, BASELINE_ARM, 4, TrialState.FAIL),
    ]
    plain, more = told(CLEAR), told([*planted(CLEAR), *extra])
    assert more.gain == plain.gain and more.winner.values == plain.winner.values


def test_a_diverged_run_counts_with_its_value_and_has_no_gap() -> None:
    runs = planted({**CLEAR, arm_of(5): [0.79, 0.77, 0.80, 0.78]})
    found = told([*runs, run(0.1, arm_of(5), 5, diverged=True)])
    assert found.winner.values[5] == 0.1
    assert (found.status, found.wins, found.level.n) == ("undecided", 4, 5)
    assert found.gap.n == found.gap_change.n == 4 and found.gap.mean == pytest.approx(0.05)
    assert math.isfinite(found.fit_change.mean)


def test_equals_and_the_simplest_of_them() -> None:
    of = search(
        settings={
            5: {"dropout": 0.3, "l2": 0.01, "strength": 0.5},
            6: {"dropout": 0.2, "l2": 0.0, "strength": 0.5},
            4: {"dropout": 0.6, "l2": 0.0, "strength": 0.5},
            2: {"dropout": 0.1, "l2": 0.0, "strength": 0.0},
        }
    )
    found = told(
        {
            BASELINE_ARM: [0.71, 0.70, 0.72, 0.71],
            arm_of(5): [0.79, 0.77, 0.80, 0.78],
            arm_of(6): [0.785, 0.775],
            arm_of(4): [0.78, 0.78],
            arm_of(2): [0.60, 0.59],
        },
        of,
    )
    assert found.winner.number == 5 and set(found.winner.active) == set(REGULARIZERS)
    assert {one.number for one in found.equals} == {4, 6}  # 2 is clearly worse
    assert found.simplest.number == 6  # as few regularizers as 4, and weaker
    assert set(found.simplest.active) == {"model.dropout", "augmentation.strength"}
    assert found.baseline.active == {} and found.baseline.strength == 0.0
    assert found.winner.behind.mean == 0.0


def test_a_leader_without_a_round_in_common_is_no_equal() -> None:
    found = told([*planted(CLEAR), run(0.82, arm_of(4), 9)])
    unpaired = told([*planted({k: v for k, v in CLEAR.items() if k != arm_of(4)}), run(0.82, arm_of(4), 9)])
    assert 4 in {one.number for one in found.leaders} and 4 in {one.number for one in unpaired.leaders}
    assert 4 not in {one.number for one in unpaired.equals}


def test_a_validation_part_of_the_users_own_is_named() -> None:
    assert told(CLEAR, search(data={"own_validation": True})).own_validation


@pytest.mark.parametrize(
    ("searched", "levels", "status"),
    [
        ({0: 0.09, 3: 0.1, 5: 0.1}, [0.12, 0.13, 0.12, 0.13], "nothing learned"),  # so luck in the fresh runs
        ({0: 0.09, 3: 0.1, 5: 0.13}, [0.10, 0.11, 0.09, 0.10], "nothing learned"),  # luck in the search
        ({0: 0.09, 3: 0.1, 5: 0.4}, [0.39, 0.38, 0.40, 0.39], "confirmed"),
    ],
)
def test_nothing_learned(searched: dict[int, float], levels: list[float], status: str) -> None:
    found = told({BASELINE_ARM: [0.09, 0.1, 0.09, 0.1], arm_of(5): levels}, search(searched))
    assert found.status == status


def test_whoever_learned_and_has_a_poor_loss_has_learned() -> None:
    """A confident network may lose more than the constant answer (2.3) and yet be right about half of the images."""
    of = search({0: 2.6, 3: 2.6, 5: 2.4}, metric="val_loss", direction="minimize")
    found = told({BASELINE_ARM: [2.62, 2.6, 2.61, 2.6], arm_of(5): [2.42, 2.41, 2.4, 2.41]}, of, center=-2.5)
    assert found.status == "confirmed"


def test_another_objective_has_no_margin() -> None:
    assert told(CLEAR, search(metric="val_something")).margin == 0.0
    assert told(CLEAR).margin == MARGIN
