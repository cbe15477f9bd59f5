"""A race among the leaders of a search: which configurations are trained again with fresh seeds, round by round.

In each round the leaders that are left and the baseline are trained once, all with the same fresh seed and, where
regstudy splits off the validation part, on the same fresh split; so their values can be paired. Leaders drop out
between rounds, in the order of `belief`: about two fifths of them, until one is left, which then runs on with the
baseline.

The number of leaders follows from the number of runs: as many as leave the last one `wanted_rounds` rounds with the
baseline. Simulated on planted truth and on recorded trainings (docs/answer.md): racing more leaders over fewer rounds
finds better ones but says less about them.

The design follows racing and successive halving (Maron & Moore, 1994; Karnin, Koren & Somekh, 2013).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

MIN_ROUNDS = 4  # that winner and baseline must share before anything is claimed
PRIOR_RUNS = 1.0  # how many runs the belief that a configuration is an average one counts as much as
KEEP = 0.6  # share of the leaders that stay after a round

BASELINE = -1  # stands for the baseline in runs


@dataclass(frozen=True)
class Entrant:
    """A configuration that can take part: the number of its trial, its value in the search, and those by round.

    Larger values are better. ``lost``: rounds in which its training was given up, and is not tried again.
    """

    number: int
    searched: float
    fresh: Mapping[int, float] = field(default_factory=dict)
    lost: frozenset[int] = frozenset()

    def missing(self, rounds: int) -> Iterator[int]:
        """The rounds up to this one that it has not run."""
        return (number for number in range(1, rounds + 1) if number not in self.fresh and number not in self.lost)


@dataclass(frozen=True)
class Race:
    """Where a race stands: how many leaders run in each round, and which have run in the last of ``round`` rounds."""

    sizes: tuple[int, ...]
    center: float = 0.0  # the median of the search, see `belief`
    round: int = 0
    leaders: tuple[int, ...] = ()  # numbers of trials


@dataclass(frozen=True)
class Run:
    """A training to be made: the number of the trial whose configuration it has, or `BASELINE`, and the round."""

    number: int
    round: int


def wanted_rounds(runs: int) -> int:
    """How many rounds a race of so many runs should have."""
    return max(MIN_ROUNDS, 2 + runs // 5)


def sizes_of(leaders: int, rounds: int) -> list[int]:
    """How many leaders run in each round, if so many run in the first, and one is left for the last ones.

    >>> sizes_of(8, 7)
    [8, 5, 3, 2, 1, 1, 1]
    """
    sizes = [leaders]
    while sizes[-1] > 1:
        sizes.append(max(1, min(sizes[-1] - 1, round(KEEP * sizes[-1]))))
    return sizes + [1] * (rounds - len(sizes))


def most_runs(runs: int) -> int:
    """How many of so many runs a new race makes; one too few for a further round is left over.

    >>> most_runs(15)
    14
    """
    sizes = _largest([Entrant(number, 0.0) for number in range(runs)], Entrant(BASELINE, 0.0), runs, runs)
    return sum(sizes) + len(sizes)


def start(entrants: Sequence[Entrant], baseline: Entrant, left: int) -> Race:
    """A race that needs at most ``left`` runs, those of an earlier race not counted.

    Also an earlier race's rounds are run by whoever enters now. With too few runs it makes none.
    """
    center = median(entrant.searched for entrant in entrants) if entrants else 0.0
    spent = len(baseline.fresh) + sum(len(entrant.fresh) for entrant in entrants)
    return Race(tuple(_largest(by_belief(_able(entrants), center), baseline, left, left + spent)), center)


def advance(race: Race, entrants: Sequence[Entrant], baseline: Entrant) -> tuple[Race, list[Run]]:
    """The race after its next rounds with runs to make, and these; no runs at its end.

    Rounds between which nobody leaves are run together, but for the first, in which a configuration that always fails
    shows. Whoever enters has run, or runs now, every round so far. A leader stays in the race when a training of it
    was given up, unless that was its only one. Call it again when the runs have ended.
    """
    while race.round < len(race.sizes):
        size, last = race.sizes[race.round], race.round + 1
        while race.round and race.sizes[last : last + 1] == (size,):
            last += 1
        racing = [entrant for entrant in entrants if entrant.number in race.leaders] if race.round else entrants
        leaders = by_belief(_able(racing), race.center)[:size]
        race = replace(race, round=last, leaders=tuple(entrant.number for entrant in leaders))
        pair = (baseline, *leaders) if leaders else ()
        runs = [Run(one.number, missing) for one in pair for missing in one.missing(last)]
        if runs:
            return race, sorted(runs, key=lambda run: run.round)
    return race, []


def spare(entrants: Sequence[Entrant], baseline: Entrant, center: float) -> list[Run]:
    """What a single run that is left over is used for: a missing round of the best leader that lacks one."""
    rounds = max(baseline.fresh, default=0)
    ranked = by_belief(entrants, center)
    return next(([Run(one.number, missing)] for one in ranked for missing in one.missing(rounds)), [])


def by_belief(entrants: Sequence[Entrant], center: float, without: int | None = None) -> list[Entrant]:
    """The best first, by `belief`; of equals the one whose trial came first."""
    return sorted(entrants, key=lambda entrant: (-belief(entrant, center, without), entrant.number))


def belief(entrant: Entrant, center: float, without: int | None = None) -> float:
    """How good a configuration is believed to be: the mean of its values in the search and in the rounds, drawn toward
    ``center`` as if it had `PRIOR_RUNS` further runs with that value. The round ``without`` is left out.

    The value of the search is one noisy value among others here. That it was selected does no harm: what is claimed
    later rests on the rounds alone (`regstudy.analysis.confirmation`).
    """
    values = [entrant.searched, *(value for number, value in entrant.fresh.items() if number != without)]
    return (sum(values) + PRIOR_RUNS * center) / (len(values) + PRIOR_RUNS)


def _able(entrants: Iterable[Entrant]) -> list[Entrant]:
    """Without those of which no training has succeeded: they would keep the value of the search forever."""
    return [one for one in entrants if one.fresh or not one.lost]


def _largest(ranked: Sequence[Entrant], baseline: Entrant, left: int, total: int) -> list[int]:
    """The sizes of the race with the most leaders, and then the most rounds, that ``left`` runs allow for certain."""
    rounds = max(wanted_rounds(total), len(baseline.fresh))
    found: list[int] = []
    for leaders in range(1, len(ranked) + 1):
        sizes = sizes_of(leaders, rounds)
        if _cost(sizes, ranked, baseline) > left:
            break
        found = sizes
    if not found and ranked:
        found = [1]
        if _cost(found, ranked, baseline) > left:
            return []
    while found and _cost([*found, 1], ranked, baseline) <= left:
        found = [*found, 1]
        if len(found) > total + len(baseline.fresh):
            break
    return found


def _cost(sizes: Sequence[int], ranked: Sequence[Entrant], baseline: Entrant) -> int:
    """The most runs that a race can need: those leaders stay longest that have run the fewest rounds."""
    have = sorted(len(entrant.fresh) + len(entrant.lost) for entrant in ranked[: sizes[0]])
    last = [sum(size > place for size in sizes) for place in range(len(have))]
    needed = sum(max(0, rounds - done) for rounds, done in zip(last, have, strict=True))
    return needed + max(0, len(sizes) - len(baseline.fresh) - len(baseline.lost))
