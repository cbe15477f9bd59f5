"""What the confirmation runs of a study show: the claim about its winner, from values that had no part in the search.

The race of `regstudy.analysis.race` has trained the leaders and the baseline again with fresh seeds, in rounds that
they share. What is claimed from their values, and why it is honest, is in `regstudy.analysis.claim`; this file reads
them from the tables of both studies.

Values are in the study's metric: shares are fractions in 0..1, the loss is in nats. The gain, the luck and how far a
leader is behind are positive where the winner, or the search, is better, also where lower values are better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import pandas as pd

from regstudy.analysis.claim import (
    UNKNOWN,
    Claim,
    Estimate,
    Status,
    claim_of,
    corrected,
    deficits,
    interval,
    more_rounds,
    status_of,
)
from regstudy.analysis.gap import MARGIN
from regstudy.analysis.learned import nothing_learned
from regstudy.analysis.race import Entrant
from regstudy.analysis.simplicity import simplicity
from regstudy.metrics import Metric
from regstudy.space.round_plan import ROUND
from regstudy.study.companion import BASELINE_ARM, arm_of, number_of
from regstudy.study.tables import PARAM, Tables

__all__ = ["Confirmation", "Estimate", "Leader", "Status", "confirmation"]

ITSELF = Estimate(0.0, 0.0, 0.0, 0)  # how far behind itself the winner is


@dataclass(frozen=True)
class Leader:
    """A configuration that was trained again, by the number of its trial.

    ``searched`` is its value in the search; ``values``, ``gaps`` and ``fits`` (the metric on training images in eval
    mode) are those of its fresh runs, by round. ``behind``: how much worse than the winner over the rounds that both
    ran, with the spread of all fresh runs together; of the winner itself 0 in 0 rounds. ``active``: its regularizers
    that are not off.
    """

    number: int
    searched: float
    values: Mapping[int, float]
    gaps: Mapping[int, float]
    fits: Mapping[int, float]
    behind: Estimate
    active: Mapping[str, object] = field(default_factory=dict)
    strength: float = 0.0  # sum over its regularizers, each as a share of the strongest in the study

    @property
    def equal(self) -> bool:
        """Whether it has run in a round with the winner, and the fresh runs cannot distinguish the two."""
        return self.behind.n > 0 and self.behind.low <= 0


@dataclass(frozen=True)
class Confirmation:
    """The claim about the winner of a study. Its levels, gaps and gain are those of the rounds that count.

    ``gain``, ``gap_change`` and ``fit_change``: winner against baseline, over the ``rounds`` that both ran. A negative
    ``gap_change`` is a smaller gap, a positive ``fit_change`` a better fit to the training images. Runs that diverged
    have neither.
    """

    metric: Metric
    margin: float  # differences up to this one do not matter
    winner: Leader
    baseline: Leader
    leaders: list[Leader]  # the winner first, then by belief
    rounds: int
    wins: int  # rounds in which the winner was better than the baseline
    level: Estimate  # of the winner
    baseline_level: Estimate
    gain: Estimate
    gap: Estimate
    baseline_gap: Estimate
    gap_change: Estimate
    fit_change: Estimate
    status: Status
    own_validation: bool  # the user's own validation part, the same in all rounds and in the search
    runs: int  # finished
    left: int  # asked for and not finished
    epochs: int  # of these runs, none of which is pruned
    search_epochs: int
    run_seconds: float  # of one run, on average; NaN if unknown
    more_rounds: float  # that would decide with a chance of 80 %, were mean and spread to stay; infinite if too many
    chosen: Mapping[int, int] = field(default_factory=dict)  # by round, the leader chosen by the other rounds
    gap_at_most: float | None = None  # the study's limit, which the winner's value in the search keeps

    @property
    def luck(self) -> float:
        """By how much the value of the search is better than what fresh seeds give."""
        sign = 1.0 if self.metric.maximize else -1.0
        return sign * (self.winner.searched - self.level.mean)

    @property
    def more_runs(self) -> float:
        """Further runs that would decide, two per round; see ``more_rounds``."""
        return 2 * self.more_rounds

    @property
    def recommended(self) -> Leader:
        """What to train: the winner, or the baseline where the winner is no better or nothing feasible would decide."""
        hopeless = self.status == "undecided" and math.isinf(self.more_rounds)
        return self.baseline if self.status == "no better" or hopeless else self.winner

    @property
    def limit_kept(self) -> Literal["kept", "broken", "undecided"] | None:
        """Whether the fresh gap of what is recommended keeps the limit, by its whole interval; None without one."""
        gap = self.gap if self.recommended is self.winner else self.baseline_gap
        if self.gap_at_most is None or not math.isfinite(gap.mean):
            return None
        if gap.high <= self.gap_at_most:
            return "kept"
        return "broken" if gap.low > self.gap_at_most else "undecided"

    @property
    def equals(self) -> list[Leader]:
        """The other leaders that cannot be distinguished from the winner."""
        return [leader for leader in self.leaders[1:] if leader.equal]

    @property
    def simplest(self) -> Leader:
        """Of the winner and its equals the one with the fewest regularizers, and of these the weakest."""
        return min([self.winner, *self.equals], key=lambda one: (len(one.active), one.strength))


def confirmation(search: Tables, fresh: Tables | None) -> Confirmation | None:
    """What the confirmation runs show, given the tables of the search and of these runs.

    None without a round that the baseline and a leader have both finished.
    """
    if fresh is None or not fresh.race:
        return None
    sign = 1.0 if search.maximize else -1.0
    searched = dict(zip(search.trials["number"], search.trials["value"], strict=True))
    arms = _runs_by_arm(fresh)
    base, base_number = arms.pop(BASELINE_ARM, None), fresh.race.get("baseline")
    if base is None or base_number is None or base_number not in searched:
        return None
    known = {
        number: rows for arm, rows in arms.items() if (number := number_of(arm)) is not None and number in searched
    }

    def entrant(number: int, rows: pd.DataFrame) -> Entrant:
        return Entrant(number, sign * searched[number], (sign * rows["value"]).to_dict())

    baseline = entrant(base_number, base)
    found = claim_of([entrant(*each) for each in known.items()], baseline, float(fresh.race.get("center", 0.0)))
    if found is None:
        return None
    behind = {found.winner.number: ITSELF, **deficits(found, baseline)}
    leaders = [_leader(one.number, known[one.number], search, behind[one.number]) for one in found.entrants]
    return _confirmation(search, fresh, found, leaders, _leader(base_number, base, search, UNKNOWN))


def _confirmation(search: Tables, fresh: Tables, found: Claim, leaders: list[Leader], baseline: Leader) -> Confirmation:
    sign = 1.0 if search.maximize else -1.0
    winner, of = leaders[0], {leader.number: leader for leader in leaders}

    def both(series: str, against: bool, factor: float = 1.0) -> Estimate:
        """The winner's level or its change against the baseline, read with and without each round's own vote."""
        plain, blind = [], []
        for n in found.rounds:
            base = getattr(baseline, series)[n] if against else 0.0
            read = [factor * (getattr(one, series)[n] - base) for one in (winner, of[found.chosen[n]])]
            if all(map(math.isfinite, read)):
                plain.append(read[0])
                blind.append(read[1])
        return corrected(plain, blind)

    level = both("values", against=False)
    unlearned = _unlearned(search, fresh, found.winner.number, level.mean)
    margin = MARGIN if search.metric == search.measured.val else 0.0  # nothing is known of another objective's scale
    ended = fresh.trials[fresh.trials["state"] == "COMPLETE"]
    base_gaps = [value for n in found.rounds if math.isfinite(value := baseline.gaps[n])]
    return Confirmation(
        metric=search.measured,
        margin=margin,
        winner=winner,
        baseline=baseline,
        leaders=leaders,
        rounds=len(found.rounds),
        wins=sum(difference > 0 for difference in found.differences),
        level=level,
        baseline_level=interval([baseline.values[n] for n in found.rounds]),
        gain=found.gain,
        gap=both("gaps", against=False),
        baseline_gap=interval(base_gaps),
        gap_change=both("gaps", against=True),
        fit_change=both("fits", against=True, factor=sign),
        status="nothing learned" if unlearned else status_of(found.gain, margin),
        own_validation=bool(fresh.data.get("own_validation", search.data.get("own_validation"))),
        runs=len(ended),
        left=max(0, int(fresh.race.get("runs", 0)) - len(ended)),
        epochs=int(fresh.epochs_run().sum()),
        search_epochs=int(search.epochs_run().sum()),
        run_seconds=float(ended["seconds"].mean()) if len(ended) else math.nan,
        more_rounds=more_rounds(found.differences, found.gain.mean, margin),
        chosen=found.chosen,
        gap_at_most=search.gap_at_most,
    )


def _unlearned(search: Tables, fresh: Tables, winner: int, level: float) -> bool:
    """Whether no trial of the search has learned, or the winner has not: by its level and, where another metric may
    show that it has, the mean of its fresh runs.
    """
    if nothing_learned(search):
        return True
    rows = fresh.trials[(fresh.trials["arm"] == arm_of(winner)) & (fresh.trials["state"] == "COMPLETE")]
    means = {name: rows[name].mean() for name in rows.select_dtypes("float64").columns}
    means |= {"value": level, search.metric or "value": level}
    mean = rows.iloc[:1].assign(**means, outcome="finished")
    return nothing_learned(replace(search, trials=mean, confusions=fresh.confusions))


def _runs_by_arm(fresh: Tables) -> dict[str, pd.DataFrame]:
    """The finished runs of each arm, indexed by round; one that diverged counts with the value it has, a chance level.

    A run that was made twice after a failure counts once.
    """
    ended = fresh.trials[(fresh.trials["state"] == "COMPLETE") & fresh.trials["value"].map(math.isfinite)]
    ended = ended[ended[PARAM + ROUND].notna()] if PARAM + ROUND in ended else ended.iloc[:0]
    runs = pd.DataFrame(
        {
            "arm": ended["arm"].astype(str),
            "round": ended[PARAM + ROUND].astype(int) if len(ended) else pd.Series(dtype=int),
            "number": ended["number"],
            "value": ended["value"],
            "gap": ended[fresh.gap],
            "fit": ended[fresh.measured.clean_train],
        }
    ).drop_duplicates(["arm", "round"])
    return {str(arm): rows.set_index("round").sort_index() for arm, rows in runs.groupby("arm")}


def _leader(number: int, rows: pd.DataFrame, search: Tables, behind: Estimate) -> Leader:
    trial, plain = search.trials.set_index("number").loc[number], simplicity(search, number)
    values, gaps, fits = (rows[name].to_dict() for name in ("value", "gap", "fit"))
    return Leader(number, float(trial["value"]), values, gaps, fits, behind, plain.active, plain.strength)
