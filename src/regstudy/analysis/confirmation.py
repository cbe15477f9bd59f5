"""What the confirmation runs of a study show: the claim about its winner, from values that had no part in the search.

The race of `regstudy.analysis.race` has trained the leaders and the baseline again with fresh seeds, in rounds that
they share. The winner is the leader with the highest belief at the end. Its plain mean over the rounds is still
somewhat too good, because the same rounds helped to choose it (by 0.2 to 0.5 points in simulations). So each round is
also read without its own vote: the value of a round is that of the configuration which the search and the *other*
rounds would have chosen among those that ran in it. The mean of these values is what is claimed; its interval covers
the 95 % t-intervals of both readings. Simulated on planted truth (docs/answer.md), the claim is off by less than 0.1
points on average, the interval covers the truth in 94 to 96 % of studies, and equal configurations are called different
in less than 3 %.

Values are in the study's metric: shares are fractions in 0..1, the loss is in nats. A difference is positive where the
winner is better, also where lower values are better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from regstudy.analysis.constant_answer import constant_answer
from regstudy.analysis.gap import MARGIN
from regstudy.analysis.learned import nothing_learned
from regstudy.analysis.paired import TEST_POWER, pairs_needed
from regstudy.analysis.race import BASELINE, MIN_ROUNDS, Entrant, by_belief
from regstudy.analysis.ranks import SIGNIFICANCE_LEVEL
from regstudy.metrics import Metric
from regstudy.space.round_plan import ROUND
from regstudy.study.companion import BASELINE_ARM, number_of
from regstudy.study.tables import PARAM, Tables

MANY_RUNS = 400  # more than these are not worth naming: the difference is too small to matter

Status = Literal["confirmed", "no better", "undecided", "too few rounds", "nothing learned"]


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` rounds with its 95 % interval, which is NaN with fewer than two rounds."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def half(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Leader:
    """A configuration that was trained again, by the number of its trial.

    ``searched`` is its value in the search; ``values``, ``gaps`` and ``fits`` (the metric on training images in eval
    mode) are those of its fresh runs, by round. ``behind``: how much worse than the winner over the rounds that both
    ran, with the spread of all fresh runs together; of the winner itself 0. ``active``: its regularizers that are not
    off.
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
        """Whether the fresh runs cannot tell it from the winner."""
        return self.behind.low <= 0


@dataclass(frozen=True)
class Confirmation:
    """The claim about the winner of a study. Its levels, gaps and gain are those of the rounds that count.

    ``gain``, ``gap_change`` and ``fit_change``: winner against baseline, over the ``rounds`` that both ran.
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
    def equals(self) -> list[Leader]:
        """The other leaders that cannot be told from the winner."""
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
    base = arms.pop(BASELINE_ARM, None)
    if base is None or fresh.race.get("baseline") not in searched:
        return None
    known = {number: rows for arm, rows in arms.items() if (number := number_of(arm)) in searched}
    entrants = [
        Entrant(number, sign * searched[number], {round_: sign * value for round_, value in rows["value"].items()})
        for number, rows in known.items()
        if number is not None
    ]
    shared = {one.number: len(set(one.fresh) & set(base.index)) for one in entrants}
    if not any(shared.values()):
        return None
    center = float(fresh.race.get("center", 0.0))
    most = max(shared.values())
    ranked = by_belief(entrants, center)
    winner = next(one for one in ranked if shared[one.number] == most)
    ordered = [winner, *(one for one in ranked if one is not winner)]
    spread = _residual_spread(
        {**{one.number: one.fresh for one in entrants}, BASELINE: (sign * base["value"]).to_dict()}
    )
    leaders = [_leader(one.number, known[one.number], search, _behind(winner, one, spread)) for one in ordered]
    baseline = _leader(int(fresh.race["baseline"]), base, search, NOTHING)
    return _claim(search, fresh, ordered, leaders, baseline, center)


def _claim(
    search: Tables,
    fresh: Tables,
    entrants: Sequence[Entrant],
    leaders: list[Leader],
    baseline: Leader,
    center: float,
) -> Confirmation:
    """The claim about the first of the leaders; ``entrants`` are the same configurations in the same order."""
    sign = 1.0 if search.maximize else -1.0
    winner, of = leaders[0], {leader.number: leader for leader in leaders}
    rounds = sorted(set(winner.values) & set(baseline.values))
    chosen = {number: _chosen_without(number, entrants, center) for number in rounds}

    def both(series: str, against: bool, factor: float = 1.0) -> Estimate:
        base = [getattr(baseline, series)[number] if against else 0.0 for number in rounds]
        plain = [factor * (getattr(winner, series)[n] - b) for n, b in zip(rounds, base, strict=True)]
        blind = [factor * (getattr(of[chosen[n]], series)[n] - b) for n, b in zip(rounds, base, strict=True)]
        return corrected(plain, blind)

    gain = both("values", True, sign)
    margin = MARGIN
    ended = fresh.trials[fresh.trials["state"] == "COMPLETE"]
    own = bool(search.data.get("own_validation"))
    better = sum(sign * (winner.values[number] - baseline.values[number]) > 0 for number in rounds)
    differences = np.array([sign * (winner.values[number] - baseline.values[number]) for number in rounds])
    level = both("values", False)
    constant = constant_answer(search.data, search.metric, search.doctor)
    unlearned = nothing_learned(search) or (constant is not None and not constant.beaten_by(level.mean))
    seconds = float(ended["seconds"].mean()) if len(ended) else math.nan
    return Confirmation(
        metric=search.measured,
        margin=margin,
        winner=winner,
        baseline=baseline,
        leaders=leaders,
        rounds=len(rounds),
        wins=better,
        level=level,
        baseline_level=interval([baseline.values[number] for number in rounds]),
        gain=gain,
        gap=both("gaps", False),
        baseline_gap=interval([baseline.gaps[number] for number in rounds]),
        gap_change=both("gaps", True),
        fit_change=both("fits", True),
        status="nothing learned" if unlearned else status_of(gain, margin),
        own_validation=own,
        runs=len(ended),
        left=max(0, int(fresh.race.get("runs", 0)) - len(ended)),
        epochs=int(fresh.epochs_run().sum()),
        search_epochs=int(search.epochs_run().sum()),
        run_seconds=seconds,
        more_rounds=more_rounds(differences, gain.mean, margin),
    )


def status_of(gain: Estimate, margin: float) -> Status:
    """What the gain over the baseline shows: confirmed only if the whole interval is above the margin."""
    if gain.n < MIN_ROUNDS:
        return "too few rounds"
    if gain.low > margin:
        return "confirmed"
    return "no better" if gain.high <= margin else "undecided"


def corrected(plain: Sequence[float], blind: Sequence[float]) -> Estimate:
    """The mean of ``blind`` with an interval that covers the 95 % t-intervals of both.

    ``plain`` has the winner's value of each round, ``blind`` that of the configuration that would have been chosen
    without the round. They are equal, and so are the intervals, unless the choice was close.
    """
    one, other = interval(plain), interval(blind)
    return Estimate(other.mean, min(one.low, other.low), max(one.high, other.high), other.n)


def interval(values: Sequence[float]) -> Estimate:
    """The mean of values with its 95 % t-interval (Student, 1908)."""
    n = len(values)
    mean = float(np.mean(values)) if n else math.nan
    if n < 2:
        return Estimate(mean, math.nan, math.nan, n)
    reach = float(stats.t.isf(SIGNIFICANCE_LEVEL / 2, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Estimate(mean, mean - reach, mean + reach, n)


def more_rounds(differences: NDArray[np.float64], mean: float, margin: float) -> float:
    """Further rounds after which the interval would be clear of the margin with a chance of 80 %.

    Infinite if more than `MANY_RUNS` runs would be needed, NaN with fewer than two rounds.
    """
    if len(differences) < 2:
        return math.nan
    needed = pairs_needed(float(differences.std(ddof=1)), abs(mean - margin), SIGNIFICANCE_LEVEL, TEST_POWER)
    more = max(1.0, max(needed, MIN_ROUNDS) - len(differences))
    return more if 2 * more <= MANY_RUNS else math.inf


def _chosen_without(round_: int, entrants: Sequence[Entrant], center: float) -> int:
    """The trial that would have been chosen among those of a round without its values."""
    return by_belief([one for one in entrants if round_ in one.fresh], center, without=round_)[0].number


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
    trial = search.trials.set_index("number").loc[number]
    active, strength = {}, 0.0
    for path, off in search.regularizers.items():
        values = search.strength(path)
        if values is None or (value := trial[values.name]) == off or pd.isna(value):
            continue
        active[path] = value
        numbers = pd.to_numeric(values, errors="coerce").abs()
        strength += (
            abs(float(value)) / float(numbers.max()) if isinstance(value, int | float) and numbers.max() else 1.0
        )
    values, gaps, fits = (rows[name].to_dict() for name in ("value", "gap", "fit"))
    return Leader(number, float(trial["value"]), values, gaps, fits, behind, active, strength)


NOTHING = Estimate(0.0, 0.0, 0.0, 0)


def _behind(winner: Entrant, other: Entrant, spread: tuple[float, int]) -> Estimate:
    """How much worse a leader is than the winner over the rounds that both ran; see `Leader`."""
    shared = sorted(set(winner.fresh) & set(other.fresh))
    if other is winner or not shared:
        return NOTHING
    mean = float(np.mean([winner.fresh[number] - other.fresh[number] for number in shared]))
    sd, degrees = spread
    if degrees < 1:
        return Estimate(mean, -math.inf, math.inf, len(shared))
    reach = float(stats.t.isf(SIGNIFICANCE_LEVEL / 2, degrees)) * sd * math.sqrt(2 / len(shared))
    return Estimate(mean, mean - reach, mean + reach, len(shared))


def _residual_spread(values: Mapping[int, Mapping[int, float]]) -> tuple[float, int]:
    """The standard deviation of a run, given its configuration and its round, and its degrees of freedom.

    Least squares with an effect of each configuration and of each round (two-way analysis of variance without
    interaction), which also fits leaders that ran in few rounds only.
    """
    cells = [(arm, round_, value) for arm, row in values.items() for round_, value in row.items()]
    arms, rounds = sorted({arm for arm, _, _ in cells}), sorted({round_ for _, round_, _ in cells})
    design = np.zeros((len(cells), len(arms) + len(rounds)))
    for i, (arm, round_, _) in enumerate(cells):
        design[i, arms.index(arm)] = design[i, len(arms) + rounds.index(round_)] = 1.0
    y = np.array([value for _, _, value in cells])
    residuals = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    degrees = len(y) - int(np.linalg.matrix_rank(design))
    return (math.sqrt(float(residuals @ residuals) / degrees) if degrees > 0 else math.nan), degrees
