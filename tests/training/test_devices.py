"""Which devices there are, and what is said about those that there are not."""

from __future__ import annotations

import pytest
import torch

from regstudy.errors import ArgumentError
from regstudy.training.devices import choose_device


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("name", "used"), [(None, "cuda"), ("cuda", "cuda"), ("cuda:0", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")]
)
def test_a_device_that_is_there_is_used(name: str | None, used: str) -> None:
    assert choose_device(name) == used


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("name", ["cuda:2", "cuda:", "cuda:x", "cuda:-1", "cuda:1:1", "cpu:1", "mps", "mps:0", "gpu"])
def test_any_other_is_refused_with_those_that_are_there(name: str) -> None:
    with pytest.raises(ArgumentError, match=r"Available: cuda, cpu, cuda:0, cuda:1\.|Allowed: cpu, cuda, mps\."):
        choose_device(name)
