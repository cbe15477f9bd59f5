"""benchmarks/stacked.py: repeats that are trained together have the statistics of those that are trained alone."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

CPU = torch.device("cpu")


@pytest.fixture
def stacked(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import stacked as module

    return module


@pytest.mark.parametrize("name", ["digits_cnn", "cifar10_dropout"])
def test_every_repeat_has_the_losses_that_it_has_alone(stacked: ModuleType, name: str) -> None:
    assert stacked.largest_difference(name, CPU, together=2, steps=3) < stacked.CLOSE


def test_every_repeat_has_its_own_statistics_of_batch_normalization(
    stacked: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = stacked.configured
    small = {"training.batch_size": 4, "preprocessing.crop": None}
    monkeypatch.setattr(stacked, "configured", lambda *given: genuine(*given).replaced(small))
    monkeypatch.setitem(stacked.SHAPES, "svhn_resnet", (3, 8))
    assert stacked.largest_difference("svhn_resnet", CPU, together=2, steps=2) < stacked.CLOSE


def test_the_benchmark_runs(
    stacked: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    monkeypatch.setattr(sys, "argv", ["stacked.py", "--tiny", "--threads", str(threads)])
    stacked.main()
    lines = capsys.readouterr().out.splitlines()
    assert "as rounding explains" in lines[1] and lines[-1].startswith("digits_cnn")
