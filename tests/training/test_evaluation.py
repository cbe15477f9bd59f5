"""Evaluation: batches, and outputs beyond the classes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import CPU, make_config, make_splits

from regstudy.training.evaluation import EVALUATION_BATCH_SIZE, images_at_once, measure
from regstudy.training.train_state import start


@pytest.mark.parametrize(
    ("gigabytes", "share", "side", "expected"),
    [
        (80, 1.0, 28, 8192),
        (80, 1.0, 64, 1953),
        (80, 1.0, 224, 512),
        (8, 1.0, 28, 1020),
        (2, 1.0, 28, 512),
        (140, 1.0, 28, 8192),
        (80, 0.25, 64, 512),
        (80, 0.5, 64, 976),
    ],
)
def test_a_gpu_evaluates_as_many_images_at_once_as_it_certainly_holds(
    gigabytes: int, share: float, side: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda _: share)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=gigabytes * 10**9), raising=False
    )
    images: Any = SimpleNamespace(is_cuda=True, device="cuda:0", shape=(9, 3, side, side))
    assert images_at_once(images) == expected


def test_a_deterministic_evaluation_does_not_depend_on_what_else_uses_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    images: Any = SimpleNamespace(is_cuda=True, device="cuda:0", shape=(9, 3, 32, 32))
    assert images_at_once(images) == EVALUATION_BATCH_SIZE


def test_a_cpu_evaluates_as_many_as_ever() -> None:
    """Larger batches would change the last digits of old curves."""
    assert images_at_once(torch.zeros(4, 3, 8, 8)) == EVALUATION_BATCH_SIZE == 512


def test_outputs_beyond_the_classes_are_never_correct_and_break_nothing() -> None:
    model = {"name": "resnet18_dropout", "options": {"head_size": 50}}
    state = start(make_config({"model": model}), make_splits(), CPU)
    state.model.get_submodule("fc").bias.data[40] = 99.0  # type: ignore[union-attr, index, operator]
    found = measure(state.model, state.splits.validation, state.preprocessing, ("balanced_accuracy",))
    assert found.accuracy == 0
    assert found.confusion.shape == (3, 3)
    assert found.confusion.sum(1).tolist() == state.splits.validation.per_class
