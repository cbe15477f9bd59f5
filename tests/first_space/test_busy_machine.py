"""Other programs: how much of a measured time is theirs."""

from __future__ import annotations

import os

import pytest
import torch

from regstudy.first_space.busy_machine import Machine, slowdown
from regstudy.training.cost import ImageCost


@pytest.mark.parametrize(
    ("load", "cores", "wall", "cpu", "threads", "factor"),
    [
        (0.5, 2, 4.0, 2.0, 2, 1.0),  # no load: time that is not computed in was our own waiting
        (8.0, 2, 8.0, 4.0, 2, 4.0),  # 16 seconds of two threads, of which we got 4
        (2.0, 2, 8.0, 1.0, 2, 2.0),  # the load explains no more
        (8.0, 2, 4.0, 8.0, 2, 1.0),  # we got all we wanted: the others have ended
        (8.0, 2, 4.0, 9.0, 2, 1.0),
    ],
)
def test_what_load_and_cpu_time_explain(
    load: float, cores: int, wall: float, cpu: float, threads: int, factor: float
) -> None:
    assert slowdown(load, cores, wall, cpu, threads) == pytest.approx(factor)


def test_a_busy_machine_is_corrected_and_told_and_a_free_one_or_a_gpu_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr("regstudy.first_space.busy_machine.slowdown", lambda load, *_: 4.0 if load > 1 else 1.0)
    said = {}
    for name, load, device in (("busy", 8.0, "cpu"), ("free", 0.1, "cpu"), ("gpu", 8.0, "cuda")):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, load, load))
        machine = Machine(torch.device(device))
        said[name] = machine.alone(lambda: ImageCost(4.0, 2.0)), machine.remark()
    cost, words = said["busy"]
    assert cost == ImageCost(1.0, 0.5)
    assert "load 8.0 on 2 cores" in words and "4.0 times as long" in words
    assert said["free"] == said["gpu"] == (ImageCost(4.0, 2.0), "")
