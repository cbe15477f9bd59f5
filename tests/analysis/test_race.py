"""The race among the leaders of a search: its sizes, who runs what, and that it never asks for more than it may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regstudy.analysis import race as rules
from regstudy.analysis.race import (
    BASELINE,
    MIN_ROUNDS,
    Entrant,
    Race,
    Run,
    advance,
    belief,
    by_belief,
    most_runs,
    sizes_of,
    start,
    wanted_rounds,
)

NOBODY = Entrant(BASELINE, 0.0)
Value = Callable[[Run], float | None]  # of a run; None if its training is given up


def field(*searched: float) -> list[Entrant]:
    return [Entrant(number, value) for number, value in enumerate(searched)]


def ended(entrants: Sequence[Entrant], runs: Sequence[Run], value: Value) -> list[Entrant]:
    """The entrants after the runs."""
    of = {entrant.number: entrant for entrant in entrants}
    for run in runs:
        one, result = of[run.number], value(run)
        changed = {"lost": one.lost | {run.round}} if result is None else {"fresh": {**one.fresh, run.round: result}}
        of[run.number] = replace(one, **changed)
    return list(of.values())


def raced(
    entrants: Sequence[Entrant], baseline: Entrant, left: int, value: Value
) -> tuple[Race, list[Entrant], Entrant, list[Run]]:
    """A whole race: its end, everyone after it, and the runs in their order."""
    race, made = start(entrants, baseline, left), list[Run]()
    while True:
        race, runs = advance(race, entrants, baseline)
        if not runs:
            return race, list(entrants), baseline, made
        made += runs
        *entrants, baseline = ended([*entrants, baseline], runs, value)


@pytest.mark.parametrize(
    ("leaders", "rounds", "sizes"),
    [
        (1, 1, [1]),
        (1, 4, [1, 1, 1, 1]),
        (2, 4, [2, 1, 1, 1]),
        (4, 5, [4, 2, 1, 1, 1]),
        (8, 7, [8, 5, 3, 2, 1, 1, 1]),
        (16, 4, [16, 10, 6, 4, 2, 1]),  # it needs these rounds to come down to one
    ],
)
def test_sizes(leaders: int, rounds: int, sizes: list[int]) -> None:
    assert sizes_of(leaders, rounds) == sizes


@pytest.mark.parametrize("keep", [0.5, 0.6, 0.75, 0.9])
@pytest.mark.parametrize("leaders", range(1, 30))
def test_sizes_come_down_to_one(monkeypatch: pytest.MonkeyPatch, keep: float, leaders: int) -> None:
    monkeypatch.setattr(rules, "KEEP", keep)
    sizes = sizes_of(leaders, 4)
    assert sizes[0] == leaders and sizes[-1] == 1 and len(sizes) >= 4
    assert all(later < size or size == later == 1 for size, later in pairwise(sizes))


@pytest.mark.parametrize(
    ("runs", "sizes"),
    [
        (0, ()),
        (1, ()),
        (2, (1,)),
        (3, (1,)),
        (6, (1, 1, 1)),
        (8, (1, 1, 1, 1)),
        (9, (2, 1, 1, 1)),
        (15, (4, 2, 1, 1, 1)),
        (30, (8, 5, 3, 2, 1, 1, 1, 1)),
        (60, (15, 9, 5, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)),
    ],
)
def test_a_new_race(runs: int, sizes: tuple[int, ...]) -> None:
    race = start(field(*range(100)), NOBODY, runs)
    assert (race.sizes, race.round, race.leaders) == (sizes, 0, ())
    assert most_runs(runs) == sum(sizes) + len(sizes)


@pytest.mark.parametrize("runs", range(2, 61))
def test_at_most_one_run_is_left_over(runs: int) -> None:
    assert runs - 1 <= most_runs(runs) <= runs
    _, entrants, baseline, made = raced(field(*range(100)), NOBODY, runs, lambda _: 1.0)
    assert len(made) == most_runs(runs)
    assert len(baseline.fresh) == max(len(one.fresh) for one in entrants)


@pytest.mark.parametrize("runs", [*range(8, 61)])
def test_from_eight_runs_winner_and_baseline_share_enough_rounds(runs: int) -> None:
    race = start(field(*range(100)), NOBODY, runs)
    assert len(race.sizes) >= max(MIN_ROUNDS, min(wanted_rounds(runs), runs // 2))


@pytest.mark.parametrize(
    ("searched", "fresh", "without", "expected"),
    [
        (0.9, {}, None, (0.9 + 0.5) / 2),
        (0.9, {1: 0.7, 2: 0.8}, None, (0.9 + 0.7 + 0.8 + 0.5) / 4),
        (0.9, {1: 0.7, 2: 0.8}, 1, (0.9 + 0.8 + 0.5) / 3),
        (0.9, {1: 0.7}, 1, (0.9 + 0.5) / 2),
    ],
)
def test_belief(searched: float, fresh: dict[int, float], without: int | None, expected: float) -> None:
    assert belief(Entrant(0, searched, fresh), 0.5, without) == pytest.approx(expected)


def test_of_equals_the_earlier_trial_comes_first() -> None:
    assert [one.number for one in by_belief([Entrant(7, 0.5), Entrant(3, 0.5), Entrant(5, 0.6)], 0.0)] == [5, 3, 7]


def test_a_race_round_by_round() -> None:
    """Trial 0 leads the search, and fresh seeds show that trial 2 is better."""
    truth = {0: 0.1, 1: 0.2, 2: 0.9, 3: 0.3, BASELINE: 0.5}
    _, entrants, baseline, made = raced(
        field(0.95, 0.9, 0.85, 0.8, 0.1), NOBODY, 15, lambda run: truth[run.number] + 0.01 * run.round
    )
    rounds = [(number, {run.number for run in made if run.round == number}) for number in range(1, 6)]
    assert rounds == [
        (1, {BASELINE, 0, 1, 2, 3}),
        (2, {BASELINE, 2, 1}),
        (3, {BASELINE, 2}),
        (4, {BASELINE, 2}),
        (5, {BASELINE, 2}),
    ]
    assert made[0] == Run(BASELINE, 1)
    assert sorted(baseline.fresh) == [1, 2, 3, 4, 5] == sorted(entrants[2].fresh)


def test_a_race_ends_and_stays_ended() -> None:
    race, entrants, baseline, _ = raced(field(3, 2, 1), NOBODY, 10, lambda _: 0.0)
    assert advance(race, entrants, baseline) == (race, [])
    assert advance(Race(()), [], NOBODY) == (Race(()), [])


def test_whoever_enters_later_runs_the_missing_rounds() -> None:
    _, entrants, baseline, _ = raced(field(0.9, 0.8, 0.7, 0.6), NOBODY, 15, lambda _: 0.5)
    newcomer = Entrant(20, 2.0)
    race, _, _, made = raced([*entrants, newcomer], baseline, 15, lambda run: 0.9 if run.number == 20 else 0.5)
    assert {run.round for run in made if run.number == 20} == set(range(1, len(race.sizes) + 1))
    old = {(one.number, number) for one in (*entrants, baseline) for number in one.fresh}
    assert not old & {(run.number, run.round) for run in made}


def test_a_race_that_was_interrupted_makes_only_what_is_missing() -> None:
    entrants, baseline = field(0.9, 0.8, 0.7, 0.6), NOBODY
    race, runs = advance(start(entrants, baseline, 15), entrants, baseline)
    *entrants, baseline = ended([*entrants, baseline], runs[:2], lambda _: 0.5)
    again, left = advance(replace(race, round=race.round - 1), entrants, baseline)
    assert (again.round, set(left)) == (1, set(runs[2:]))


def test_a_lost_run_is_not_made_again_and_its_configuration_stays() -> None:
    """Trial 0 is the best by far; its second training in the race was given up."""

    def value(run: Run) -> float | None:
        return None if run == Run(0, 2) else 1.0 - 0.1 * run.number

    _, entrants, baseline, made = raced(field(9.0, 0.5, 0.4, 0.3), NOBODY, 15, value)
    assert made.count(Run(0, 2)) == 1
    assert sorted(entrants[0].fresh) == [1, 3, 4, 5]
    _, entrants, _, made = raced(entrants, baseline, 10, value)
    assert Run(0, 2) not in made
    assert max(entrants[0].fresh) > 5  # and a later race does not drop it for that, either


entrant_lists = st.lists(st.sampled_from([0.1, 0.5, 0.5, 0.7, 0.9]), min_size=0, max_size=25)
budgets = st.lists(st.integers(0, 40), min_size=1, max_size=3)


@settings(max_examples=80)
@given(entrant_lists, budgets, st.lists(st.integers(0, 8), max_size=3), st.randoms(use_true_random=False))
def test_no_race_makes_more_runs_than_it_may(searched, extra, newcomers, random) -> None:  # type: ignore[no-untyped-def]
    """Also one that goes on two or three times, with new trials, ties, and runs that are given up."""
    entrants, baseline, made = field(*searched), NOBODY, list[Run]()

    def value(_: Run) -> float | None:
        return random.choice([None, 0.1, 0.5, 0.5, 0.8, 0.9, 1.0])

    for step, left in enumerate(extra):
        race, entrants, baseline, runs = raced(entrants, baseline, left, value)
        assert len(runs) <= left
        made += runs
        assert all(one.number == BASELINE or one.round <= len(race.sizes) for one in runs)
        ran = {one.number: set(one.fresh) | one.lost for one in (*entrants, baseline)}
        rounds = [set(range(1, max(done, default=0) + 1)) for done in ran.values()]
        assert all(done == prefix for done, prefix in zip(ran.values(), rounds, strict=True))  # nobody skips a round
        assert all(done <= ran[BASELINE] for done in ran.values())  # so that everyone has a pair
        new = newcomers[step] if step < len(newcomers) else 0
        entrants += [Entrant(len(entrants) + i, random.choice([0.4, 0.95, 0.95])) for i in range(new)]
    assert not [run for run, times in Counter(made).items() if times > 1]


def test_a_configuration_that_never_succeeds_drops_out_however_good_its_search_value() -> None:
    def value(run: Run) -> float | None:
        return None if run.number == 0 else 0.5

    _, entrants, _, made = raced(field(9.0, 0.5, 0.4, 0.3), NOBODY, 15, value)
    assert [run for run in made if run.number == 0] == [Run(0, 1)]
    assert max(len(one.fresh) for one in entrants) == 5


def test_the_baseline_does_not_run_on_alone() -> None:
    _, _, baseline, made = raced(field(1.0), NOBODY, 15, lambda run: None if run.number == 0 else 0.5)
    assert (len(baseline.fresh), len(made)) == (1, 2)


@settings(max_examples=30)
@given(entrant_lists, st.integers(0, 40), st.randoms(use_true_random=False))
def test_the_order_of_trials_and_of_calls_does_not_matter(searched, left, random) -> None:  # type: ignore[no-untyped-def]
    entrants = field(*searched)
    shuffled = random.sample(entrants, len(entrants))
    first, second = (raced(each, NOBODY, left, lambda run: (run.number * 7 % 5) / 5) for each in (entrants, shuffled))
    assert (first[0], first[3]) == (second[0], second[3])
