"""An ablation as it is stored with its runs, and its next runs.

The study of the ablation runs stores one attribute, so that a process that is killed leaves the old or the new state:
{"winner": the trial that is taken apart, "runs": how many are asked for, "margin", "active": the names of its
regularizers, "fine", "add_one_in", "interactions": see `regstudy ablate`, "since": see `companion.began`, "stages": see
`analysis.ablation_design`, "planned": the arm and the repeat of each slot, "lost": those that were given up}.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import optuna

from regstudy.analysis.ablation_arms import arms_of, contrasts_of, lattice, switched_on
from regstudy.analysis.ablation_design import MIN_REPEATS, Request, advance
from regstudy.analysis.contrasts import Stage
from regstudy.config.active_regularizers import active_regularizers, without
from regstudy.config.run_config import RunConfig, parse_config
from regstudy.space.round_plan import RoundPlan
from regstudy.space.study_section import StudySection
from regstudy.study import attributes
from regstudy.study.companion import began
from regstudy.study.queue_state import queue_state
from regstudy.study.stored_facts import fact


@dataclass(frozen=True)
class AblationFacts:
    """What is stored; see above."""

    winner: int
    runs: int
    margin: float
    active: tuple[str, ...]
    fine: bool = False
    add_one_in: bool = False
    interactions: bool = False
    stages: tuple[Stage, ...] = ()
    planned: tuple[tuple[str, int], ...] = ()
    lost: tuple[tuple[str, int], ...] = ()

    @property
    def request(self) -> Request:
        """What is asked for."""
        contrasts = tuple(contrasts_of(self.active, self.add_one_in))
        always = tuple(lattice(self.active)) if self.interactions else ()
        return Request(contrasts, self.runs, self.margin, always)

    @property
    def arms(self) -> dict[str, frozenset[str]]:
        """Which regularizers are on in each arm."""
        if self.interactions:
            return lattice(self.active)
        return {arm: switched_on(arm, self.active) for arm in arms_of(self.request.contrasts)}

    @property
    def least(self) -> int:
        """The fewest runs that can be asked for."""
        return MIN_REPEATS * len(self.arms)

    @property
    def made(self) -> int:
        """Runs that are planned and were not given up; those were replaced."""
        return len(self.planned) - len(self.lost)

    def plain(self, search: optuna.Study) -> dict[str, Any]:
        """As plain values."""
        return {
            "winner": self.winner,
            "runs": self.runs,
            "margin": self.margin,
            "active": list(self.active),
            "fine": self.fine,
            "add_one_in": self.add_one_in,
            "interactions": self.interactions,
            "since": began(search),
            "stages": [stage.record() for stage in self.stages],
            "planned": [list(run) for run in self.planned],
            "lost": [list(run) for run in self.lost],
        }


def parse_ablation(stored: dict[str, Any]) -> AblationFacts:
    """The inverse of `AblationFacts.plain`."""
    planned, lost = (tuple((arm, repeat) for arm, repeat in stored.get(key, ())) for key in ("planned", "lost"))
    return AblationFacts(
        stored["winner"], stored["runs"], float(stored["margin"]), tuple(stored["active"]),
        bool(stored.get("fine")), bool(stored["add_one_in"]), bool(stored.get("interactions")),
        tuple(Stage.parse(one) for one in stored["stages"]), planned, lost,
    )  # fmt: skip


def ablation_in(study: optuna.Study) -> AblationFacts | None:
    """The facts of ablation runs; None if they are not stored yet."""
    stored = fact(study, attributes.ABLATION)
    return None if stored is None else parse_ablation(stored)


def next_runs(facts: AblationFacts, study: optuna.Study) -> AblationFacts:
    """The facts with the runs of the next stage, or unchanged if planned runs are open or none is left."""
    from regstudy.analysis.ablation_tables import results_in  # pandas takes half a second
    from regstudy.study.tables import load_tables

    state = queue_state(study.get_trials(deepcopy=False))
    if state.count_unfinished(len(facts.planned)):
        return facts
    lost = tuple(facts.planned[slot] for slot in sorted(state.lost) if slot < len(facts.planned))
    stages, runs = advance(facts.request, facts.stages, results_in(load_tables(study)), frozenset(lost))
    new = [(run.arm, run.repeat) for run in runs]
    return replace(facts, stages=stages, planned=(*facts.planned, *new), lost=lost)


def ablation_plan(
    facts: AblationFacts, search: optuna.Study, section: StudySection, *, fresh_splits: bool
) -> RoundPlan:
    """The planned runs with their configurations: the winner's, without what is off in their arm."""
    winner = winner_config(search, facts.winner)
    parts = active_regularizers(winner, fine=facts.fine)
    arms = {arm: without(winner, [one for one in parts if one.name not in on]) for arm, on in facts.arms.items()}
    trials = dict.fromkeys(arms, facts.winner)
    return RoundPlan(search.study_name, arms, facts.planned, section, trials, fresh_splits, "ablation")


def winner_config(search: optuna.Study, number: int) -> RunConfig:
    """The configuration of a trial."""
    return parse_config(fact(search.get_trials(deepcopy=False)[number], attributes.CONFIG), f"trial {number}")


def names_of(config: RunConfig, *, fine: bool) -> Sequence[str]:
    """The names of the regularizers that are on."""
    return [one.name for one in active_regularizers(config, fine=fine)]
