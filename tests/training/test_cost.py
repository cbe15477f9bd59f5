"""The time of a step by number of threads, after which torch has as many as before."""

from __future__ import annotations

import pytest
import torch
from tiny import make_config, make_splits

from regstudy.training.cost import seconds_per_step


def test_every_number_of_threads_is_timed_and_none_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regstudy.training.cost.TURN_SECONDS", 0.001)
    before, used = torch.get_num_threads(), set()

    def set_threads(number: int, real=torch.set_num_threads) -> None:  # type: ignore[no-untyped-def]
        used.add(number)
        real(number)

    monkeypatch.setattr(torch, "set_num_threads", set_threads)
    found = seconds_per_step(make_config(), make_splits(), torch.device("cpu"), [before + 1, before + 2])
    assert found.keys() == {before + 1, before + 2} and all(seconds > 0 for seconds in found.values())
    assert used >= found.keys() and torch.get_num_threads() == before
