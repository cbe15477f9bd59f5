"""The ablation runs of a planted search (`planted_race`): what each regularizer does is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution
from synthetic import curve

from regstudy.analysis.ablation_arms import arms_of, contrasts_of, lattice
from regstudy.analysis.ablation_design import ALPHAS
from regstudy.analysis.ablation_rates import tries_of
from regstudy.records import dump_records
from regstudy.study import attributes


@dataclass(frozen=True)
class Part:
    """What a regularizer adds to accuracy on validation and training images (eval mode)."""

    metric: float = 0.0
    train: float = 0.0


CLOSES = Part(0.041, -0.003)
PARTS: Mapping[str, Part] = {
    "closed the gap": CLOSES,
    "helped validation": Part(0.03, 0.03),
    "smaller gap, validation not better (underfits)": Part(0.0, -0.03),
    "hurt": Part(-0.02, -0.02),
    "no effect": Part(),
}


@dataclass(frozen=True)
class Taken:
    """What is planted. ``noise``: standard deviation of a run; ``extra``: what several do together by their names."""

    parts: Mapping[str, Part] = field(
        default_factory=lambda: {"dropout": Part(), "label smoothing": Part(), "augmentation": CLOSES}
    )
    repeats: int = 12
    noise: float = 0.0012
    split: float = 0.006
    base: tuple[float, float] = (0.849, 0.996)
    add_one_in: bool = False
    interactions: bool = False
    extra: Mapping[frozenset[str], Part] = field(default_factory=dict)
    left: int = 0  # runs that are planned and have not ended
    factors: Mapping[str, float] = field(default_factory=dict)  # of learning rates that were chosen, by arm


def ablation_runs(search: optuna.Study, truth: Taken | None = None, *, winner: int | None = None, seed: int = 2,
                  storage: Any = None) -> optuna.Study:  # fmt: skip
    """The study of the ablation runs; by default the best trial of the search is taken apart."""
    truth, rng = truth or Taken(), np.random.default_rng(seed)
    made = optuna.create_study(
        study_name=f"{search.study_name}/ablation", direction=search.direction.name.lower(), storage=storage
    )
    active = list(truth.parts)
    subsets = lattice(active)
    arms = list(subsets) if truth.interactions else list(arms_of(contrasts_of(active, truth.add_one_in)))
    cells = [(arm, repeat) for repeat in range(1, truth.repeats + 1) for arm in arms]
    tries = tries_of(arms) if truth.factors else ()
    stage = {"first": 1, "until": dict.fromkeys(arms, truth.repeats), "asked": len(cells), "alpha": ALPHAS[-1]}
    number = search.best_trial.number if winner is None else winner
    for key in (attributes.METRIC, attributes.DATA, attributes.EPOCHS_PLANNED):
        made.set_user_attr(key, search.user_attrs[key])
    made.set_user_attr(
        attributes.ABLATION,
        {
            "winner": number,
            "runs": len(tries) + len(cells),
            "margin": 0.003,
            "active": active,
            "fine": False,
            "add_one_in": truth.add_one_in,
            "interactions": truth.interactions,
            "since": str(search.trials[0].datetime_start),
            "stages": [stage],
            "planned": [list(cell) for cell in (*tries, *cells)],
            "lost": [],
            **({"retune_lr": True, "factors": {arm: truth.factors.get(arm, 1.0) for arm in arms}} if tries else {}),
        },
    )
    for arm, repeat in tries:  # no comparison may see how good or bad they are
        _run(made, search.trials[number], arm, [one for one, _ in tries], repeat, 0.99 if repeat == 1 else 0.01, 0.5)
    splits = rng.normal(0, truth.split, truth.repeats)
    for arm, repeat in cells[: len(cells) - truth.left]:
        on = subsets[arm]
        value, fit = (base + sum(_of(name, truth.parts, on, place) for name in active)
                      for place, base in enumerate(truth.base))  # fmt: skip
        for names, part in truth.extra.items():
            if names <= on:
                value, fit = value + part.metric, fit + part.train
        value += splits[repeat - 1] + rng.normal(0, truth.noise)
        _run(made, search.trials[number], arm, arms, repeat, value, min(fit + rng.normal(0, truth.noise / 3), 1.0))
    return made


def _of(name: str, parts: Mapping[str, Part], on: frozenset[str], place: int) -> float:
    part = parts[name]
    return (part.metric, part.train)[place] if name in on else 0.0


class _Still:
    def normal(self, mean: float, _sd: float) -> float:
        return mean


def _run(made: optuna.Study, of: Any, arm: str, arms: Sequence[str], repeat: int, value: float, fit: float) -> None:
    records = curve(fit, value, 30, 30, _Still())  # type: ignore[arg-type]
    top = max(records, key=lambda one: one.val_accuracy)
    made.add_trial(
        optuna.create_trial(
            value=top.val_accuracy,
            params={"trial": arm, "round": repeat},
            distributions={"trial": CategoricalDistribution(list(arms)), "round": IntDistribution(1, 1000)},
            user_attrs={
                attributes.ARM: arm,
                attributes.CONFIG: of.user_attrs[attributes.CONFIG],
                attributes.EPOCHS: dump_records(records),
                attributes.OUTCOME: "finished",
                attributes.BEST_EPOCH: top.epoch,
                attributes.BEST_VALUE: top.val_accuracy,
            },
        )
    )
