"""One simulated study: a search, the race of `regstudy.analysis.race` and its claim, and what is true of the winner.

The rules are the real ones; a variant changes their constants or functions for the time of its studies.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from unittest.mock import patch

import numpy as np
from confirm_world import Drawn, World, draw, values_of
from curve_bank import read_bank
from repeat_bank import FIRST, REPEATS, SEARCHED
from scipy import stats

from regstudy.analysis import race as rules
from regstudy.analysis.claim import Claim, Estimate, claim_of, deficits, interval, status_of, t_quantile
from regstudy.analysis.gap import MARGIN
from regstudy.analysis.race import BASELINE, Entrant, Race, Run
from regstudy.space.search_space import is_baseline

SHARE = 0.3  # of the trainings, for confirmation
PRUNED = 0.45  # epochs of a search trial with pruning, as a share of an unpruned one (docs/pruning.md: 0.4 to 0.55)
FURTHER = 10  # runs that are asked for when a study is not confirmed
POINTS = 100 * MARGIN  # the margin in points
Row = Mapping[str, float]


@dataclass(frozen=True)
class Variant:
    """A way to run the race: changed constants or functions of `regstudy.analysis.race`, or fixed sizes of rounds."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[int, tuple[int, ...]] = field(default_factory=dict)  # by number of trials
    share: float = SHARE


def fresh_only(entrant: Entrant, center: float, without: int | None = None) -> float:
    """A belief that forgets the value of the search as soon as there are others."""
    values = [value for number, value in entrant.fresh.items() if number != without] or [entrant.searched]
    return (sum(values) + rules.PRIOR_RUNS * center) / (len(values) + rules.PRIOR_RUNS)


USUAL = Variant("as it is")
VARIANTS = [
    USUAL,
    Variant("KEEP 0.5", {"KEEP": 0.5}),
    Variant("KEEP 0.75", {"KEEP": 0.75}),
    Variant("PRIOR_RUNS 0", {"PRIOR_RUNS": 0.0}),
    Variant("PRIOR_RUNS 0.5", {"PRIOR_RUNS": 0.5}),
    Variant("PRIOR_RUNS 2", {"PRIOR_RUNS": 2.0}),
    Variant("belief without the search value", {"belief": fresh_only}),
    Variant("fewer rounds, more leaders: max(4, 2 + runs // 8)", {"wanted_rounds": lambda runs: max(4, 2 + runs // 8)}),
    Variant("more rounds, fewer leaders: max(5, 3 + runs // 4)", {"wanted_rounds": lambda runs: max(5, 3 + runs // 4)}),
    Variant("4 → 3 → 2 → 2; 8 → 6 → 4 → 3 → 2", sizes={50: (4, 3, 2, 2), 100: (8, 6, 4, 3, 2)}),
    Variant("8 → 3 at once; 16 → 6 → 2", sizes={50: (8, 1, 1, 1), 100: (16, 4, 1, 1, 1, 1)}),
    Variant("share 0.2", share=0.2),
    Variant("share 0.4", share=0.4),
]


def applied(variant: Variant) -> ExitStack:
    """The rules of the race with a variant's changes, for the time of a `with`."""
    stack = ExitStack()
    for name, value in variant.changes.items():
        stack.enter_context(patch.object(rules, name, value))
    return stack


def budget(trials: int, variant: Variant) -> int:
    """The runs of confirmation in a study of so many trainings."""
    return (
        sum(s + 1 for s in variant.sizes[trials]) if variant.sizes else rules.most_runs(round(variant.share * trials))
    )


def epochs(searched: int, runs: int = 0) -> float:
    """Cost in unpruned trainings: baseline trials and confirmation runs are never pruned."""
    baselines = sum(map(is_baseline, range(searched)))
    return baselines + PRUNED * (searched - baselines) + runs


def same_cost(searched: int, runs: int) -> int:
    """How many trials a pruned search without confirmation has for the same epochs."""
    trials = searched
    while epochs(trials + 1) <= epochs(searched, runs):
        trials += 1
    return trials


def study(world: World, trials: int, variant: Variant, seed: int, again: bool = False) -> Row:
    """One study both ways, from the same draws; ``again``: also with further runs, asked for twice."""
    runs = budget(trials, variant)
    more = same_cost(trials - runs, runs)
    drawn = draw(world, max(trials, more), np.random.default_rng([seed, trials]))
    contest = Contest.after(drawn, trials - runs)
    found, baseline = contest.race(runs, variant.sizes.get(trials)), contest.base
    row = {"leaders": len(found.entrants)}
    for name, count in (("same number", trials), ("same epochs", more)):
        slots = np.flatnonzero(~drawn.baseline[:count])
        taken, best = slots[np.argmax(drawn.values[slots])], drawn.truth[slots].max()
        row |= {f"{name}: taken": best - drawn.truth[taken], f"{name}: raced": best - drawn.truth[found.winner.number]}
        row |= {f"{name}: taken, of all": world.truth[: world.searched].max() - drawn.truth[taken]}
        row |= {f"{name}: raced, of all": world.truth[: world.searched].max() - drawn.truth[found.winner.number]}
        row |= {f"{name}: overstated": drawn.values[taken] - drawn.truth[taken]}
    level, gain = drawn.truth[found.winner.number], drawn.truth[found.winner.number] - drawn.truth[baseline]
    baselines = np.flatnonzero(drawn.baseline[: trials - runs])
    row |= {"baseline: behind": drawn.truth[baselines].max() - drawn.truth[baseline]}
    row |= {"status " + status_of(found.gain, POINTS): 1.0, "status 0 " + status_of(found.gain, 0.0): 1.0}
    row |= judged("level", found.level, level) | judged("gain", found.gain, gain)
    for name, estimate in readings(found, drawn.fresh[baseline]).items():
        row |= judged(name, estimate, gain) | {f"{name}: confirmed": float(status_of(estimate, POINTS) == "confirmed")}
    row |= equality(found, drawn, baseline)
    if again:
        looks = [found.gain, *(contest.race(FURTHER).gain for _ in range(2))]
        row |= {"looks: confirmed": float("confirmed" in {status_of(gain, POINTS) for gain in looks})}
    return row


@dataclass(frozen=True)
class Contest:
    """The search trials that may race, by slot, and the best baseline trial with its slot."""

    drawn: Drawn
    entrants: Mapping[int, Entrant]
    baseline: Entrant
    base: int

    @staticmethod
    def after(drawn: Drawn, searched: int) -> Contest:
        """After a search of so many trials."""
        slots, values = np.arange(searched), drawn.values
        entrants = {int(slot): Entrant(int(slot), values[slot], {}) for slot in slots[~drawn.baseline[:searched]]}
        base = int(max(slots[drawn.baseline[:searched]], key=lambda slot: values[slot]))
        return Contest(drawn, entrants, Entrant(BASELINE, values[base], {}), base)

    def race(self, runs: int, sizes: tuple[int, ...] | None = None) -> Claim:
        """The claim after a race with so many runs, or after so many more."""
        leaders, made = list(self.entrants.values()), 0
        race = rules.start(leaders, self.baseline, runs)
        race = race if sizes is None else Race(sizes, race.center)
        while True:
            race, wanted = rules.advance(race, leaders, self.baseline)
            if not wanted:
                break
            made += len(wanted)
            for run in wanted:
                self.record(run)
        assert made <= runs, f"{made} runs instead of {runs}"
        found = claim_of(leaders, self.baseline, race.center)
        assert found is not None
        return found

    def record(self, run: Run) -> None:
        """Make a run."""
        of, slot = (self.baseline, self.base) if run.number == BASELINE else (self.entrants[run.number], run.number)
        assert isinstance(of.fresh, dict)
        of.fresh[run.round] = self.drawn.fresh[slot, run.round - 1]


def readings(found: Claim, baseline: np.ndarray) -> dict[str, Estimate]:
    """Other ways to read the gain from the same runs."""
    of = {one.number: one.fresh for one in found.entrants}
    blind = interval([of[found.chosen[n]][n] - baseline[n - 1] for n in found.rounds])
    plain = interval(found.differences)
    wider, degrees = plain, max(1, plain.n - 1)
    if plain.n > 1:
        reach = plain.half * quantile(0.05 / len(found.entrants), degrees) / t_quantile(degrees)
        wider = Estimate(plain.mean, plain.mean - reach, plain.mean + reach, plain.n)
    return {"plain": plain, "blind": blind, "Bonferroni": wider}


@cache
def quantile(level: float, degrees: int) -> float:
    """Student's t for an interval at a level."""
    return float(stats.t.isf(level / 2, degrees))


def judged(name: str, found: Estimate, truth: float) -> Row:
    """How an estimate compares with the truth."""
    row = {f"{name}: error": found.mean - truth}
    if found.n > 1:
        row |= {f"{name}: covered": float(found.low <= truth <= found.high), f"{name}: half": found.half}
    return row


def equality(found: Claim, drawn: Drawn, base: int) -> Row:
    """Whether the best of the leaders is the winner or among its equals, and how much worse the equals are."""
    behind = deficits(found, Entrant(BASELINE, 0.0, dict(enumerate(drawn.fresh[base][: max(found.rounds)], start=1))))
    own = drawn.truth[found.winner.number]
    best = max(found.entrants, key=lambda one: drawn.truth[one.number]).number
    equals = [number for number, one in behind.items() if one.low <= 0]
    row = {"equals": len(equals), "best among equals": float(drawn.truth[best] <= own or best in equals)}
    return row | ({"equals behind": float(np.mean(own - drawn.truth[equals]))} if equals else {})


def direct(bank: str, studies: int) -> list[Row]:
    """The same contest on the configurations that were repeated most, with no model: each repeat is used once.

    One repeat is the search, others are the rounds of the race, and the mean of those left is the truth. A row is the
    mean over the studies with the same repeat as their search.
    """
    table, numbers = values_of(read_bank(REPEATS / f"{bank}.jsonl"))
    fresh = table[:, FIRST:]  # the first repeats chose these configurations
    whole = np.isfinite(fresh).all(axis=1) & (fresh.shape[1] >= 8)
    of_search = np.array(numbers) < SEARCHED
    search, base = np.flatnonzero(whole & of_search), np.flatnonzero(whole & ~of_search)
    if len(search) < 10 or not len(base):
        return []
    found: dict[int, list[Row]] = {}
    for seed in range(studies):
        rng = np.random.default_rng(seed)
        repeats = rng.permutation(fresh.shape[1])
        found.setdefault(int(repeats[0]), []).append(
            _direct_study(fresh[:, repeats], rng.permutation(search), rng.permutation(base))
        )
    return [{name: float(np.mean([row[name] for row in rows])) for name in rows[0]} for rows in found.values()]


def _direct_study(values: np.ndarray, search: np.ndarray, base: np.ndarray) -> Row:
    """The first column of ``values`` is the search; all configurations against those that leave runs for the race."""
    runs = rules.most_runs(round(SHARE * len(search)))
    slots = np.r_[search[: len(search) - runs], base]
    baseline = np.arange(len(slots)) >= len(search) - runs
    contest = Contest.after(Drawn(np.zeros(len(slots)), values[slots, 0], values[slots, 1:], baseline), len(slots))
    claim = contest.race(runs)
    truth = values[:, 1 + max(claim.rounds) :].mean(axis=1)
    taken, won, beaten = search[np.argmax(values[search, 0])], slots[claim.winner.number], slots[contest.base]
    return {
        "trials": len(search),
        "runs": runs,
        "better": truth[won] - truth[taken],
        "overstated": values[taken, 0] - truth[taken],
        "level": claim.level.mean - truth[won],
        "gain": claim.gain.mean - (truth[won] - truth[beaten]),
    }
