"""Within an epoch, and in an evaluation up to its end, the host never waits for a GPU: on a GPU that does not exist."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fake_gpu import GPU, NoWaiting, Waits, fake_gpu
from tiny import make_config, make_splits
from torch import Tensor

from regstudy.training import evaluation, loop
from regstudy.training.evaluation import measure
from regstudy.training.loop import train_epoch
from regstudy.training.train_state import TrainState, start

OPS = ("crop", "shift", "rotate", "scale", "shear", "flip", "color", "erase")
IMAGES = 23  # in batches of 8: two full ones and a smaller one


def section(name: str, **values: Any) -> dict[str, Any]:
    return {f"{name}.{key}": value for key, value in values.items()}


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    **{op: {"augmentation": {"strength": 0.7, "ops": [op]}, "preprocessing.crop": 10} for op in OPS},
    "all operations": {"augmentation": {"strength": 1.0, "ops": list(OPS)}},
    "cutout": section("regularization", cutout=4),
    "random erasing": section("regularization", random_erasing=0.5),
    "mixup": section("regularization", mixup=1.0),
    "cutmix": section("regularization", cutmix=1.0),
    "average": section("regularization", ema=0.9),
    "l1": section("regularization", l1=1e-3),
    "coupled l2": section("regularization", l2=1e-3, l2_mode="coupled"),
    "decoupled l2": section("regularization", l2=1e-3, l2_mode="decoupled"),
    "label smoothing": section("regularization", label_smoothing=0.1),
    "class weights": section("training", balance="weights"),
    "oversampling": section("training", balance="oversample"),
    "rate of each step": {"schedule": {"name": "cosine", "interval": "step"}},
    "sgd": {"optimizer": {"name": "sgd"}},
    "plain sgd": {"optimizer": {"name": "sgd", "momentum": 0.0}},
    "adam": {"optimizer": {"name": "adam"}},
    "rmsprop": {"optimizer": {"name": "rmsprop", "momentum": 0.5}},
    "all scores": section("training", also=["balanced_accuracy", "macro_f1", "worst_class_recall", "auroc"]),
    "frozen": {"model": {"name": "resnet18_transfer", "trainable": "head", "dropout": 0.2}},
    "svhn_resnet": {"model": {"name": "svhn_resnet", "dropout": 0.2, "block_dropout": 0.1, "stochastic_depth": 0.2}},
    "svhn_vgg": {"model": {"name": "svhn_vgg", "dropout": 0.2}},
    "small_cnn": {"model": {"name": "small_cnn", "dropout": 0.2, "block_dropout": 0.1}},
    "resnet18_dropout": {"model": {"name": "resnet18_dropout", "dropout": 0.2, "options": {"head_size": 20}}},
    "torchvision": {"model": {"name": "torchvision:resnet18"}},
}


SPLITS = make_splits(IMAGES)


def started(changes: dict[str, Any]) -> TrainState:
    """A state on the GPU that does not exist."""
    state = start(make_config(changes), SPLITS, GPU)
    if state.labels is not None:
        state.labels = SPLITS.train.labels  # with values
    return state


@pytest.mark.parametrize("case", CASES)
def test_an_epoch_waits_only_at_its_end(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    with fake_gpu(monkeypatch):
        state = started(CASES[case])
        with NoWaiting(), pytest.raises(Waits):
            train_epoch(state, [], lambda seen, _: done.append(seen))
    assert done == [8, 16, 23]


@pytest.mark.parametrize("case", ["plain", "all scores", "svhn_resnet", "resnet18_dropout"])
def test_an_evaluation_waits_only_for_its_results(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class AllMeasured(Exception):
        pass

    def read(_: list[Tensor]) -> list[Tensor]:
        raise AllMeasured

    monkeypatch.setattr(evaluation, "_read", read)
    with fake_gpu(monkeypatch):
        state = started(CASES[case])
        with NoWaiting(), pytest.raises(AllMeasured):
            measure(state.model, state.splits.validation, state.preprocessing, state.extra_metrics)


WAITING = {
    "item": lambda images: images.sum().item(),
    "float": lambda images: float(images.mean()),
    "branch": lambda images: 1 if images.max() > 0 else 0,
    "mask": lambda images: images[images > 0],
    "nonzero": lambda images: images.nonzero(),
    "to the host": lambda images: images.cpu(),
    "numbers from the host": lambda images: images.new_tensor([1.0]) if images.is_cpu else torch.ones(3).to(GPU),
    "positions as a list": lambda images: images[[0, 1]],
    "two devices": lambda images: images + torch.ones(3, 1, 1),
}


@pytest.mark.parametrize("fault", WAITING)
def test_this_check_finds(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever adds one of these to the step sees the table above fail."""
    before = loop._batch

    def with_fault(*given: Any) -> Any:
        images, labels = before(*given)
        WAITING[fault](images)
        return images, labels

    monkeypatch.setattr(loop, "_batch", with_fault)
    done: list[int] = []
    with fake_gpu(monkeypatch):
        state = started({})
        with NoWaiting(), pytest.raises((RuntimeError, TypeError)):
            train_epoch(state, [], lambda seen, _: done.append(seen))
    assert not done


def test_images_reach_the_network_channels_last(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    everything = {**CASES["all operations"], **CASES["cutout"], **CASES["random erasing"], **CASES["cutmix"]}
    for changes in ({}, CASES["crop"], everything, {**everything, **CASES["mixup"], "regularization.cutmix": 0.0}):
        with fake_gpu(monkeypatch):
            state = started(changes)
            state.model.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
            with NoWaiting():
                loop.train_step(state, torch.arange(8, device=GPU), 0.1)
    assert len(seen) == 4
    assert all(one.is_cuda and one.is_contiguous(memory_format=torch.channels_last) for one in seen)
