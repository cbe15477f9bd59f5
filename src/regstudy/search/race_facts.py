"""The race among the leaders of a search, as it is stored with its runs, and its next round.

The study of the confirmation runs stores one attribute, so that a process that is killed leaves the old or the new
state: {"runs": how many are asked for, "baseline": the trial whose configuration the baseline has, "since": see
`companion.began`, "sizes", "center", "round", "leaders": see `analysis.race.Race`, "planned": the trial (-1 for the
baseline) and the round of each slot}. All else follows from the trials. Whoever finds all planned runs ended decides
what is next, so any process may go on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from regstudy.analysis.race import BASELINE, Entrant, Race, Run, advance, spare, start
from regstudy.config.run_config import RunConfig, parse_config
from regstudy.space.round_plan import RoundPlan
from regstudy.space.study_section import StudySection
from regstudy.study import attributes
from regstudy.study.companion import BASELINE_ARM, arm_of, began
from regstudy.study.queue_state import QueueState, queue_state
from regstudy.study.ranking import usable_trials
from regstudy.study.stored_facts import fact


@dataclass(frozen=True)
class RaceFacts:
    """What is stored; see above."""

    runs: int
    baseline: int
    race: Race
    planned: tuple[Run, ...] = ()

    def plain(self, search: optuna.Study) -> dict[str, Any]:
        """As plain values."""
        race = self.race
        return {
            "runs": self.runs,
            "baseline": self.baseline,
            "since": began(search),
            "sizes": list(race.sizes),
            "center": race.center,
            "round": race.round,
            "leaders": list(race.leaders),
            "planned": [[run.number, run.round] for run in self.planned],
        }


def parse_facts(stored: dict[str, Any]) -> RaceFacts:
    """The inverse of `RaceFacts.plain`."""
    race = Race(tuple(stored["sizes"]), float(stored["center"]), stored["round"], tuple(stored["leaders"]))
    return RaceFacts(stored["runs"], stored["baseline"], race, tuple(Run(*pair) for pair in stored["planned"]))


def facts_in(study: optuna.Study) -> RaceFacts | None:
    """The facts of confirmation runs; None if they are not stored yet."""
    stored = fact(study, attributes.RACE)
    return None if stored is None else parse_facts(stored)


def best_baseline(search: optuna.Study) -> FrozenTrial | None:
    """The best usable trial of the baseline arm that stores its configuration."""
    trials = _confirmable(search, limited=False)
    return next((trial for trial in trials if fact(trial, attributes.ARM) == BASELINE_ARM), None)


def challengers(search: optuna.Study, baseline: int) -> list[FrozenTrial]:
    """The usable trials of the search, best first, each configuration once and without that of the baseline."""
    trials = search.get_trials(deepcopy=False)
    seen = {_identity(trials[baseline])}
    found = []
    for trial in _confirmable(search):
        if fact(trial, attributes.ARM) != BASELINE_ARM and (identity := _identity(trial)) not in seen:
            seen.add(identity)
            found.append(trial)
    return found


def next_round(facts: RaceFacts, search: optuna.Study, trials: Sequence[FrozenTrial]) -> RaceFacts:
    """The facts with the runs of the next round, or unchanged if planned runs are open or none is left."""
    state = queue_state(trials)
    left = facts.runs - len(facts.planned)
    if state.count_unfinished(len(facts.planned)) or left < 1:
        return facts
    sign = 1.0 if search.direction == StudyDirection.MAXIMIZE else -1.0
    values = _values(facts.planned, trials, state, sign)
    entrants = [
        _entrant(trial.number, sign * float(trial.value or 0.0), values)
        for trial in challengers(search, facts.baseline)
    ]
    baseline = _entrant(BASELINE, 0.0, values)
    race, runs = advance(facts.race, entrants, baseline)
    if not runs:
        race, runs = advance(start(entrants, baseline, left), entrants, baseline)
    if runs:
        return replace(facts, race=race, planned=(*facts.planned, *runs[:left]))
    # one run is too few for a round; the baseline's is the first of the next one, so that as many run as were asked for
    rest = spare(entrants, baseline, facts.race.center) or [Run(BASELINE, max(_rounds(facts.planned)) + 1)]
    return replace(facts, planned=(*facts.planned, *rest[:left]))


def round_plan(facts: RaceFacts, search: optuna.Study, section: StudySection, *, fresh_splits: bool) -> RoundPlan:
    """The planned runs with their configurations, which are those of the search's trials."""
    trials = search.get_trials(deepcopy=False)
    numbers = {facts.baseline: BASELINE_ARM}
    numbers |= {run.number: arm_of(run.number) for run in facts.planned if run.number != BASELINE}
    arms = {arm: _config(trials[number]) for number, arm in numbers.items()}
    runs = [(BASELINE_ARM if run.number == BASELINE else arm_of(run.number), run.round) for run in facts.planned]
    return RoundPlan(search.study_name, arms, runs, section, {arm: n for n, arm in numbers.items()}, fresh_splits)


def _rounds(planned: Sequence[Run]) -> list[int]:
    return [0, *(run.round for run in planned)]


def _values(
    planned: tuple[Run, ...], trials: Sequence[FrozenTrial], state: QueueState, sign: float
) -> dict[int, tuple[dict[int, float], set[int]]]:
    """By trial: its fresh values by round, larger being better, and the rounds that were given up."""
    found: dict[int, tuple[dict[int, float], set[int]]] = {}
    for slot in state.lost:
        found.setdefault(planned[slot].number, ({}, set()))[1].add(planned[slot].round)
    for trial in trials:
        slot = fact(trial, attributes.SLOT)
        if slot is not None and slot < len(planned) and trial.value is not None:
            run = planned[slot]
            found.setdefault(run.number, ({}, set()))[0][run.round] = sign * trial.value
    return found


def _entrant(number: int, searched: float, values: dict[int, tuple[dict[int, float], set[int]]]) -> Entrant:
    fresh, lost = values.get(number, ({}, set()))
    return Entrant(number, searched, fresh, frozenset(lost))


def _confirmable(search: optuna.Study, *, limited: bool = True) -> list[FrozenTrial]:
    return [trial for trial in usable_trials(search, limited=limited) if fact(trial, attributes.CONFIG) is not None]


def _config(trial: FrozenTrial) -> RunConfig:
    return parse_config(fact(trial, attributes.CONFIG), f"trial {trial.number}")


def _identity(trial: FrozenTrial) -> str:
    """What tells configurations apart: all but the seeds."""
    stored = json.loads(json.dumps(fact(trial, attributes.CONFIG) or {}))
    stored.get("training", {}).pop("seed", None)
    stored.get("data", {}).pop("split_seed", None)
    return json.dumps(stored, sort_keys=True)
