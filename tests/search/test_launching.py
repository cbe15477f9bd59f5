"""How many workers a cluster gets if nobody says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType

import pytest

from regstudy.search.events import Event
from regstudy.search.launcher import Ray
from regstudy.search.launching import launched
from regstudy.search.search_options import SearchOptions

ASKED = SearchOptions(8, "cpu", 1, measure_workers=True, launcher=Ray())


@pytest.mark.parametrize(
    ("room", "most", "workers", "why"),
    [(3, 8, 3, "3 workers, as many as fit now."), (9, 8, 8, "8 workers, one for each trial."), (400, None, 256, "")],
)
def test_as_many_workers_as_fit_and_no_more_than_trials(
    monkeypatch: pytest.MonkeyPatch, room: int, most: int | None, workers: int, why: str
) -> None:
    heard: list[Event] = []
    monkeypatch.setitem(sys.modules, "regstudy.search.ray_cluster", cluster_with(room))
    with launched(ASKED, "postgresql://x/y", most, heard.append) as options:
        assert (options.workers, options.measure_workers) == (workers, False)
    assert why in str(heard[0])


def test_a_number_that_is_given_holds_and_without_a_launcher_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Event] = []
    with launched(replace(ASKED, launcher=None), "x", 8, heard.append) as options:
        assert options.measure_workers and not heard
    monkeypatch.setitem(sys.modules, "regstudy.search.ray_cluster", cluster_with(3))
    with launched(replace(ASKED, workers=5, measure_workers=False), "postgresql://x/y", 8, heard.append) as options:
        assert options.workers == 5
    assert [str(event) for event in heard] == ["Ray: 5 workers, 3 of which fit now. Unused."]


def cluster_with(room: int) -> ModuleType:
    """A connection to a cluster that has room for so many workers."""

    @contextmanager
    def connected(asked: Ray, *, one_machine: bool) -> Iterator[None]:
        assert asked == Ray() and not one_machine
        yield None

    module = ModuleType("ray_cluster")
    vars(module).update(
        connected=connected,
        room_now=lambda _: room,
        where_words=lambda *_: "Ray",
        unused_gpus=lambda _: " Unused.",
    )
    return module
