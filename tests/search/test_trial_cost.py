"""What a trial of each arm costs, measured before a study."""

from __future__ import annotations

import pytest
from tiny import make_splits

from regstudy.search import trial_cost
from regstudy.space.parsing import parse_space


@pytest.mark.parametrize("compiled", [False, True])
def test_the_cost_knows_whether_networks_are_compiled(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_cost, "seconds_per_epoch", lambda *_: 0.5)
    raw = {"data": {"name": "digits"}, "model": {"name": "small_cnn"}, "training": {"compile": compiled, "epochs": 4}}
    (cost,) = trial_cost.costs_of(parse_space(raw, "space", "space"), make_splits(), "cpu").values()
    assert (cost.compiled, cost.per_trial) == (compiled, 2.0)
