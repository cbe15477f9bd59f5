"""An ablation as it is stored with its runs, and its next runs.

The study of the ablation runs stores one attribute, so that a process that is killed leaves the old or the new state:
{"winner": the trial that is taken apart, "runs": how many are asked for, "margin", "active": the names of its
regularizers, "fine", "add_one_in", "interactions", "retune_lr": see `regstudy ablate`, "since": see `companion.began`,
"stages": see `analysis.ablation_design`, "planned": the arm and the repeat of each slot, "lost": those that were given
up, "factors": what the winner's learning rate is multiplied by in each arm, once this is chosen}. The runs that choose
it are planned first; see `analysis.ablation_rates`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import optuna

from regstudy.analysis.ablation_arms import arms_of, contrasts_of, lattice, switched_on
from regstudy.analysis.ablation_design import MIN_REPEATS, Request, advance
from regstudy.analysis.ablation_rates import FACTORS, arm_at, best_factors, is_try, tries_of
from regstudy.analysis.contrasts import Stage
from regstudy.config.active_regularizers import active_regularizers, without
from regstudy.config.learning_rate import learning_rates, with_rate_times
from regstudy.config.run_config import RunConfig, parse_config
from regstudy.errors import ArgumentError, ConfigError
from regstudy.space.round_plan import RoundPlan
from regstudy.space.study_section import StudySection
from regstudy.study import attributes
from regstudy.study.companion import began
from regstudy.study.queue_state import queue_state
from regstudy.study.stored_facts import fact
from regstudy.text import listing


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
    retune_lr: bool = False
    stages: tuple[Stage, ...] = ()
    planned: tuple[tuple[str, int], ...] = ()
    lost: tuple[tuple[str, int], ...] = ()
    factors: Mapping[str, float] = field(default_factory=dict)

    @property
    def request(self) -> Request:
        """What is asked for: the comparison, which has the runs that choose no learning rate."""
        contrasts = tuple(contrasts_of(self.active, self.add_one_in))
        always = tuple(lattice(self.active)) if self.interactions else ()
        return Request(contrasts, self.runs - self.tried, self.margin, always)

    @property
    def arms(self) -> dict[str, frozenset[str]]:
        """Which regularizers are on in each arm."""
        if self.interactions:
            return lattice(self.active)
        contrasts = contrasts_of(self.active, self.add_one_in)
        return {arm: switched_on(arm, self.active) for arm in arms_of(contrasts)}

    @property
    def tries(self) -> tuple[tuple[str, int], ...]:
        """The runs that choose learning rates: those that are planned, or that come first; none if none is chosen."""
        if not self.retune_lr:
            return ()
        return tuple(run for run in self.planned if is_try(run[0])) or tries_of(self.arms)

    @property
    def tried(self) -> int:
        """How many of the runs choose learning rates; those that were given up are free for others."""
        return len(self.tries) - sum(is_try(arm) for arm, _ in self.lost)

    @property
    def least(self) -> int:
        """The fewest runs that can be asked for."""
        return MIN_REPEATS * len(self.arms) + self.tried

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
            "retune_lr": self.retune_lr,
            "since": began(search),
            "stages": [stage.record() for stage in self.stages],
            "planned": [list(run) for run in self.planned],
            "lost": [list(run) for run in self.lost],
            "factors": dict(self.factors),
        }


def parse_ablation(stored: dict[str, Any]) -> AblationFacts:
    """The inverse of `AblationFacts.plain`."""
    planned, lost = (tuple((arm, repeat) for arm, repeat in stored.get(key, ())) for key in ("planned", "lost"))
    return AblationFacts(
        stored["winner"], stored["runs"], float(stored["margin"]), tuple(stored["active"]),
        bool(stored.get("fine")), bool(stored["add_one_in"]), bool(stored.get("interactions")),
        bool(stored.get("retune_lr")),
        tuple(Stage.parse(one) for one in stored["stages"]), planned, lost, dict(stored.get("factors", {})),
    )  # fmt: skip


def ablation_in(study: optuna.Study) -> AblationFacts | None:
    """The facts of ablation runs; None if they are not stored yet."""
    stored = fact(study, attributes.ABLATION)
    return None if stored is None else parse_ablation(stored)


def next_runs(facts: AblationFacts, study: optuna.Study) -> AblationFacts:
    """The facts with the runs of the next stage, or unchanged if planned runs are open or none is left.

    With ``retune_lr``, the runs that choose learning rates come before the first stage.
    """
    from regstudy.analysis.ablation_tables import results_in, tries_in  # pandas takes half a second
    from regstudy.study.load_tables import load_tables

    state = queue_state(study.get_trials(deepcopy=False))
    if state.count_unfinished(len(facts.planned)):
        return facts
    if facts.retune_lr and not facts.planned:
        return replace(facts, planned=facts.tries)
    tables, planned = load_tables(study), facts.planned
    facts = replace(facts, lost=tuple(planned[slot] for slot in sorted(state.lost) if slot < len(planned)))
    if facts.retune_lr and not facts.factors:
        facts = replace(facts, factors=best_factors(facts.arms, tries_in(tables), maximize=tables.maximize))
    lost = frozenset(run for run in facts.lost if not is_try(run[0]))
    stages, runs = advance(facts.request, facts.stages, results_in(tables), lost)
    return replace(facts, stages=stages, planned=(*planned, *((run.arm, run.repeat) for run in runs)))


def ablation_plan(
    facts: AblationFacts, search: optuna.Study, section: StudySection, *, fresh_splits: bool
) -> RoundPlan:
    """The planned runs with their configurations: the winner's, without what is off in their arm, at its rate."""
    winner = winner_config(search, facts.winner)
    parts = active_regularizers(winner, fine=facts.fine)
    bare = {arm: without(winner, [one for one in parts if one.name not in on]) for arm, on in facts.arms.items()}
    arms = {arm: with_rate_times(config, facts.factors.get(arm, 1.0)) for arm, config in bare.items()}
    if facts.retune_lr:
        for rate, factor in FACTORS.items():
            arms |= {arm_at(arm, rate): with_rate_times(config, factor) for arm, config in bare.items()}
    trials = dict.fromkeys(arms, facts.winner)
    tries = frozenset(filter(is_try, arms))
    return RoundPlan(search.study_name, arms, facts.planned, section, trials, fresh_splits, "ablation", tries)


def check_factors(config: RunConfig) -> None:
    """ArgumentError if a learning rate that would be tried is none."""
    for rate, factor in FACTORS.items():
        try:
            with_rate_times(config, factor)
        except ConfigError as error:
            rates = listing([f"{one:g}" for one in learning_rates(config)])
            raise ArgumentError(
                f"retune_lr (--retune-lr) tries the winner's learning rate (optimizer.lr) at {listing(list(FACTORS))},"
                f" but with lr = {rates}, {rate} is not a finite number above 0. Leave the option out."
            ) from error


def winner_config(search: optuna.Study, number: int) -> RunConfig:
    """The configuration of a trial."""
    return parse_config(fact(search.get_trials(deepcopy=False)[number], attributes.CONFIG), f"trial {number}")


def names_of(config: RunConfig, *, fine: bool) -> Sequence[str]:
    """The names of the regularizers that are on."""
    return [one.name for one in active_regularizers(config, fine=fine)]
