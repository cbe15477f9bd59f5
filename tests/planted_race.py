"""A search and its confirmation runs whose truth is planted: the leaders of `synthetic.make_study`, trained again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution
from synthetic import curve, make_study

from regstudy.records import dump_confusions, dump_records
from regstudy.study import attributes
from regstudy.study.companion import BASELINE_ARM, arm_of

CLASSES = ["basophil", "eosinophil", "lymphocyte", "monocyte"]
IMAGES = [40, 120, 120, 120]


@dataclass(frozen=True)
class Truth:
    """What fresh seeds give: validation and training accuracy of the baseline, of the winner, and of other leaders.

    ``behind``: by how much the other leaders are worse than the winner; ``noise``: standard deviation of a run.
    """

    baseline: float = 0.849
    winner: float = 0.913
    fit: tuple[float, float] = (0.996, 0.979)
    behind: tuple[float, ...] = (0.004, 0.02, 0.035)
    noise: float = 0.006
    rounds: int = 5
    own_validation: bool = False
    classes: bool = True
    asked: int | None = None
    counts: Sequence[int] | None = None  # validation images of each class


PLANTED: Mapping[str, Truth] = {
    "confirmed": Truth(),
    "undecided": Truth(winner=0.861, noise=0.012),
    "no better": Truth(winner=0.848, noise=0.001, behind=()),
    "worse": Truth(winner=0.83, noise=0.003),
    "too few rounds": Truth(rounds=2, behind=(0.004,), asked=14),
    "own validation": Truth(own_validation=True, classes=False),
}


def planted_race(truth: Truth | None = None, *, name: str = "blood_cells", trials: int = 36, seed: int = 1):  # type: ignore[no-untyped-def]
    """The study of the search and that of its confirmation runs, in memory."""
    truth = truth or Truth()
    data: dict[str, Any] = {"name": "blood_cells", "classes": CLASSES, "train": 4800, "validation": sum(IMAGES)}
    data["validation_per_class"] = list(truth.counts or IMAGES)
    if truth.own_validation:
        data["own_validation"] = True
    search = make_study(trials - 1, name=name, seed=seed, data=data)
    _simpler(search)
    return search, fresh_runs_of(search, truth, seed=seed)


def fresh_runs_of(search: optuna.Study, truth: Truth, *, seed: int = 1, storage: Any = None) -> optuna.Study:
    """The confirmation runs of a search."""
    rng = np.random.default_rng(seed)
    fresh = optuna.create_study(
        study_name=f"{search.study_name}/confirmation", direction=search.direction.name.lower(), storage=storage
    )
    ended = [trial for trial in search.trials if trial.state.name == "COMPLETE" and trial.value is not None]
    arms = {
        arm: sorted((t for t in ended if t.user_attrs[attributes.ARM] == arm), key=lambda t: -(t.value or 0))
        for arm in ("baseline", "search")
    }
    base, leaders = arms["baseline"][0], arms["search"][: 1 + len(truth.behind)]
    sizes = [max(1, len(leaders) - number * max(1, len(leaders) // 2)) for number in range(truth.rounds)]
    race = {
        "runs": truth.asked or sum(sizes) + len(sizes),
        "baseline": base.number,
        "sizes": sizes,
        "center": 0.8,
        "round": truth.rounds,
        "planned": [
            [number, round_]
            for round_, size in enumerate(sizes, start=1)
            for number in (-1, *(leader.number for leader in leaders[:size]))
        ],
        "since": str(search.trials[0].datetime_start),
        "leaders": [leader.number for leader in leaders[: sizes[-1] if sizes else 0]],
    }
    for key in (attributes.METRIC, attributes.DATA, attributes.EPOCHS_PLANNED):
        fresh.set_user_attr(key, search.user_attrs[key])
    fresh.set_user_attr(attributes.RACE, race)
    numbers = [leader.number for leader in leaders]
    for round_ in range(1, truth.rounds + 1):
        split = rng.normal(0, truth.noise)
        _run(fresh, BASELINE_ARM, round_, base, truth.baseline + split, truth.fit[0], truth, rng, numbers)
        for place, leader in enumerate(leaders[: sizes[round_ - 1]]):
            value = truth.winner - (0.0, *truth.behind)[place] + split
            _run(fresh, arm_of(leader.number), round_, leader, value, truth.fit[1], truth, rng, numbers)
    return fresh


class _Still:
    """A generator without noise."""

    def normal(self, mean: float, _sd: float) -> float:
        return mean


def _simpler(search: optuna.Study) -> None:
    """A further trial, nearly as good as the best one and with two of its regularizers only."""
    best = search.best_trial
    config = json.loads(json.dumps(best.user_attrs[attributes.CONFIG]))
    config["regularization"] = {"l2": 0.0, "l1": 0.0, "label_smoothing": 0.0}
    attrs = {**best.user_attrs, attributes.CONFIG: config, attributes.SLOT: len(search.trials)}
    assert best.value is not None
    search.add_trial(
        optuna.create_trial(
            value=best.value - 0.001,
            params=best.params,
            distributions=best.distributions,
            user_attrs={**attrs, attributes.BEST_VALUE: best.value - 0.001},
        )
    )


def _run(
    fresh: optuna.Study,
    arm: str,
    round_: int,
    of: optuna.trial.FrozenTrial,
    value: float,
    fit: float,
    truth: Truth,
    rng: np.random.Generator,
    leaders: Sequence[int],
) -> None:
    value += rng.normal(0, truth.noise)
    records = curve(fit, value, 30, 30, _Still())  # type: ignore[arg-type]
    top = max(records, key=lambda one: one.val_accuracy)
    attrs: dict[str, Any] = {
        attributes.ARM: arm,
        attributes.CONFIG: of.user_attrs[attributes.CONFIG],
        attributes.EPOCHS: dump_records(records),
        attributes.OUTCOME: "finished",
        attributes.BEST_EPOCH: top.epoch,
        attributes.BEST_VALUE: top.val_accuracy,
    }
    if truth.classes:
        attrs[attributes.CONFUSION] = dump_confusions(
            {"train": _matrix(fit, 6, rng), "validation": _matrix(top.val_accuracy, 1, rng)}
        )
    fresh.add_trial(
        optuna.create_trial(
            value=top.val_accuracy,
            params={"configuration": arm, "round": round_},
            distributions={
                "configuration": CategoricalDistribution([BASELINE_ARM, *(arm_of(leader) for leader in leaders)]),
                "round": IntDistribution(1, 100),
            },
            user_attrs=attrs,
        )
    )


def _matrix(accuracy: float, times: int, rng: np.random.Generator) -> list[list[int]]:
    """Rare classes are recognized worse."""
    images = np.array(IMAGES) * times
    wrong = (1 - accuracy) * images.sum() * np.array([0.35, 0.1, 0.15, 0.4])
    missed = np.minimum(np.maximum(np.round(wrong + rng.normal(0, 0.5, len(images))), 0), images).astype(int)
    matrix = np.diag(images - missed)
    for label, count in enumerate(missed):
        matrix[label, (label + 1) % len(images)] += count
    return matrix.tolist()
