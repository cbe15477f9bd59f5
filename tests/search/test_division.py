"""How trials are divided: as many in all as were asked for, whatever has been run before."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regstudy.search.division import FEWEST_RUNS, MOST_RUNS, Division, divide


@pytest.mark.parametrize(
    ("trials", "share", "searched", "planned", "expected"),
    [
        (30, 0.3, 0, 0, (21, 9)),
        (50, 0.3, 0, 0, (36, 14)),  # 15 would leave one run over that is too few for a round
        (100, 0.3, 0, 0, (70, 30)),
        (14, 0.6, 0, 0, (6, 8)),
        (50, 0.0, 0, 0, (50, 0)),
        (26, 0.3, 0, 0, (18, 8)),
        (25, 0.3, 0, 0, (17, 8)),
        (24, 0.3, 0, 0, (24, 0)),  # 7 runs confirm nothing
        (1, 0.3, 0, 0, (1, 0)),
        (10, 0.9, 0, 0, (1, 9)),
        (50, 0.3, 20, 0, (36, 14)),  # killed in the search
        (50, 0.3, 36, 0, (36, 14)),  # its confirmation was deleted, or had not begun
        (50, 0.3, 36, 5, (36, 14)),  # killed in the confirmation
        (50, 0.3, 36, 14, (36, 14)),
        (51, 0.3, 36, 14, (36, 15)),
        (60, 0.3, 36, 14, (42, 18)),
        (100, 0.3, 36, 14, (70, 30)),
        (40, 0.3, 36, 14, (36, 14)),  # fewer than there are: nothing is taken back
        (10, 0.3, 36, 14, (36, 14)),
        (50, 0.0, 36, 14, (36, 14)),
        (60, 0.0, 36, 14, (46, 14)),
        (50, 0.3, 50, 0, (50, 0)),  # a study of an earlier version that was searched to its end
        (60, 0.3, 50, 0, (51, 9)),
        (55, 0.3, 50, 0, (55, 0)),
        (50, 0.3, 50, 30, (50, 30)),  # confirmed by `regstudy confirm`
        (80, 0.3, 50, 21, (56, 24)),
        (1_000_000, 0.3, 0, 0, (1_000_000 - MOST_RUNS, MOST_RUNS)),
    ],
)
def test_trials_are_divided(trials: int, share: float, searched: int, planned: int, expected: tuple[int, int]) -> None:
    found = divide(trials, share, searched, planned)
    assert (found.search, found.confirm) == expected


@given(st.integers(1, 500), st.floats(0, 0.9), st.integers(0, 500), st.integers(0, 150))
def test_as_many_in_all_as_asked_for_and_nothing_is_taken_back(
    trials: int, share: float, searched: int, planned: int
) -> None:
    found = divide(trials, share, searched, planned)
    assert found.total == (max(trials, searched + planned) if planned else trials)
    assert found.confirm >= planned
    assert found.confirm == 0 or found.search >= searched or not planned
    assert found.confirm <= max(planned, share * trials + 0.5)
    assert not 0 < found.confirm < FEWEST_RUNS or planned
    assert bool(found.why_none) == (found.confirm == 0 and share > 0)


@given(st.integers(1, 300), st.floats(0, 0.9), st.data())
def test_it_stays_the_same_while_the_study_runs_and_resumes(trials: int, share: float, data: st.DataObject) -> None:
    first = divide(trials, share, 0, 0)
    searched = data.draw(st.integers(0, first.search))
    again = divide(trials, share, searched, 0)
    assert (again.search, again.confirm) == (first.search, first.confirm)
    if first.confirm:
        planned = data.draw(st.integers(1, first.confirm))
        later = divide(trials, share, first.search, planned)
        assert (later.search, later.confirm) == (first.search, first.confirm)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (divide(20, 0.3, 0, 0), "20 trials are too few to confirm the winner with a share of 0.3 of them: at least 8"),
        (divide(20, 0.3, 0, 0), "Use 25 trials or more, or `regstudy confirm` afterwards."),
        (divide(50, 0.3, 48, 0), "48 of 50 trials are search trials already. Increase trials (--trials)"),
        (divide(50, 0.0, 0, 0), ""),
        (divide(50, 0.3, 0, 0), ""),
    ],
)
def test_it_says_why_nothing_is_confirmed(found: Division, words: str) -> None:
    assert words in found.why_none and bool(words) == bool(found.why_none)


def test_ten_million_trials_are_divided_at_once() -> None:
    began = time.process_time()
    assert divide(10_000_000, 0.9, 0, 0).confirm <= MOST_RUNS
    assert time.process_time() - began < 2
