"""Does a GPU compute what a CPU computes, and does it compute the same again? Checks of benchmarks/gpu.py."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from gpu_cases import NO_DROPOUT, deterministic, graph_words, space_config, splits, without_graph
from gpu_report import Found

from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import Splits
from regstudy.records import EpochRecord
from regstudy.training.checkpoint import Checkpoint
from regstudy.training.loop import train_epoch
from regstudy.training.run import run
from regstudy.training.train_state import start

CPU = torch.device("cpu")
STEPS, BATCH, SIDE = 20, 32, 32
TINY_SIDE = 12
FLOOR, TIMES, MOST = 1e-4, 30, 0.05  # the tolerance: see `agree`
STILL = {**NO_DROPOUT, "augmentation.strength": 0.0, "training.precision": "fp32", "training.batch_size": BATCH}
ADAMW = {"name": "adamw", "lr": 1e-4}
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "svhn_resnet, rmsprop, L2, label smoothing": (
        "svhn_resnet",
        {"optimizer.lr": 1e-4, "regularization.l2": 1e-3, "regularization.label_smoothing": 0.1},
    ),
    "dropout_cnn, adam, L1": ("cifar10_dropout", {"optimizer.lr": 3e-4, "regularization.l1": 1e-5}),
    "small_cnn, adamw, decoupled L2": ("binary_cnn", {"optimizer": ADAMW, "regularization.l2": 1e-2}),
    "svhn_vgg, sgd with momentum": ("svhn_vgg", {"optimizer": {"name": "sgd", "lr": 1e-3}}),
    "resnet18_dropout, sgd, EMA": (
        "smear_resnet18",
        {"optimizer": {"name": "sgd", "lr": 1e-3}, "regularization.ema": 0.9, "training.balance": "none"},
    ),
}
TINY = ["small_cnn, adamw, decoupled L2"]
EVERYTHING: dict[str, Any] = {
    "model.dropout": 0.3,
    "augmentation": {"strength": 0.7, "ops": ["crop", "rotate", "color"]},
    "regularization": {"l1": 1e-6, "l2": 1e-4, "label_smoothing": 0.1, "mixup": 0.5, "cutout": 6, "ema": 0.9},
    "schedule": {"name": "cosine", "warmup_epochs": 1},
    "training.epochs": 5,
    "training.batch_size": 64,
}


def agree(found: Found, device: torch.device, tiny: bool) -> None:
    """The losses of 20 steps in fp32, on the CPU and on the device, from the same weights and images.

    Every step takes all 32 images, so neither the order nor the generator that draws it matters; nothing else is
    random. Steps that a CUDA graph replays must be those that are taken one by one, too.
    Rounding differs, and an optimizer that divides by the gradient's size turns rounding into whole steps of weights
    whose gradient is almost zero. How much that is, the CPU itself shows with the images in another order: the
    tolerance is 30 times that difference, at least 1e-4 and at most 5 %. The first loss depends on no optimizer: 1e-5.
    """
    names = TINY if tiny else list(NETWORKS)
    found.say(
        f"{'':<42}{'first loss':>12}{'largest of 20':>15}{'CPU, other order':>18}{'tolerance':>11}{'last loss':>11}"
    )
    wrong = []
    for name in names:
        space, changes = NETWORKS[name]
        config = space_config(space, {**STILL, **changes, "preprocessing.crop": None})
        mine = splits(BATCH, BATCH, TINY_SIDE if tiny else SIDE)
        with exact_products():
            here, again, there = (
                losses(config, mine, CPU),
                losses(config, reordered(mine), CPU),
                losses(config, reordered(mine) if device.type == "cpu" else mine, device),
            )
        first, most, own = differences(here[:1], there[:1]), differences(here, there), differences(here, again)
        allowed = min(max(FLOOR, TIMES * own), MOST)
        good = first <= 1e-5 and most <= allowed and math.isfinite(most)
        wrong += [] if good else [name]
        row = f"{name:<42}{first:>12.1e}{most:>15.1e}{own:>18.1e}{allowed:>11.1e}{there[-1]:>11.4f}"
        found.say(row + ("" if good else "  <- too far"))
        found.numbers[name] = {"cpu": here, "cpu, other order": again, "device": there}
        with exact_products():
            single = one_by_one(config, mine, device)
        if single:
            apart = differences(there, single)
            found.say(f"{'':<42}steps taken one by one differ by {apart:.1e}")
            wrong += [name] if good and apart > allowed else []
    found.verdict(not wrong, f"{len(names) - len(wrong)} of {len(names)} networks agree for {STEPS} steps in fp32")


def bf16(found: Found, device: torch.device, tiny: bool) -> None:
    """The same steps in bf16 next to fp32, both on the device; the difference is shown, not judged."""
    names = TINY if tiny else list(NETWORKS)
    worst = 0.0
    found.say(f"{'':<42}{'first loss':>12}{'largest of 20':>15}{'last, fp32':>12}{'last, bf16':>12}")
    finite = True
    for name in names:
        space, changes = NETWORKS[name]
        config = space_config(space, {**STILL, **changes, "preprocessing.crop": None})
        mine = splits(BATCH, BATCH, TINY_SIDE if tiny else SIDE)
        exact = losses(config, mine, device)
        half = losses(config.replaced({"training.precision": "bf16"}), mine, device)
        first, most = differences(exact[:1], half[:1]), differences(exact, half)
        worst, finite = max(worst, most), finite and all(map(math.isfinite, half))
        found.say(f"{name:<42}{first:>12.1e}{most:>15.1e}{exact[-1]:>12.4f}{half[-1]:>12.4f}")
        found.numbers[name] = {"fp32": exact, "bf16": half}
    found.verdict(finite, f"losses in bf16 differ from fp32 by at most {worst:.1%} in {STEPS} steps")


def losses(config: RunConfig, images: Splits, device: torch.device) -> list[float]:
    """The loss of each of the first steps; an epoch is one step on all images."""
    state = start(config, images, device)
    return [train_epoch(state, state.records).loss for _ in range(STEPS)]


def one_by_one(config: RunConfig, images: Splits, device: torch.device) -> list[float]:
    """The same without a CUDA graph; empty where there is none anyway."""
    state = start(config, images, device)
    return [train_epoch(state, state.records).loss for _ in range(STEPS)] if without_graph(state) else []


def differences(one: Sequence[float], other: Sequence[float]) -> float:
    """The largest relative difference."""
    return max(abs(a - b) / max(abs(a), 1e-12) for a, b in zip(one, other, strict=True))


def reordered(images: Splits) -> Splits:
    """The same training images from the last to the first."""
    return Splits(
        images.train.subset(torch.arange(len(images.train)).flip(0)),
        images.clean_train, images.validation, images.name, images.split_seed,
    )  # fmt: skip


@contextmanager
def exact_products() -> Iterator[None]:
    """No TF32, neither in matrix products nor in convolutions; torch allows only one of its two ways to say so."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    try:
        before, name, exact = [products.allow_tf32, convolutions.allow_tf32], "allow_tf32", False
        places = [products, convolutions]
    except RuntimeError:  # the other way is in use
        places, name, exact = [products, convolutions.conv], "fp32_precision", "ieee"
        before = [place.fp32_precision for place in places]
    for place in places:
        setattr(place, name, exact)
    try:
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            setattr(place, name, value)


class Killed(BaseException):
    """Stands for the end of the process."""


class Always(Checkpoint):
    """A checkpoint that is due after every epoch."""

    due = True  # type: ignore[assignment]


def resume(found: Found, device: torch.device, tiny: bool) -> None:
    """A training that is killed twice and resumed has the curve and the weights of one that was left alone.

    Without `training.deterministic` a GPU may choose other kernels the next time, so the check asks for it if this
    version has it, and else asks torch itself.
    """
    changes = deterministic()
    config = space_config("street_digits_resnet", {**EVERYTHING, "preprocessing.crop": None, **changes})
    config = config.replaced({"model.name": "small_cnn", "training.epochs": 3}) if tiny else config
    mine = splits(128, 32, TINY_SIDE) if tiny else splits(1024, 256, SIDE)
    found.say(f"asked by {'training.deterministic: true' if changes else 'torch.use_deterministic_algorithms'}")
    with torch_deterministic(not changes):
        whole, repeated = run(config, mine, device), run(config, mine, device)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "checkpoint.pt"
            for last in (2, 4)[: 1 if tiny else 2]:
                try:
                    run(config, mine, device, killing_in(last), checkpoint=Always(path))
                except Killed:
                    found.say(f"killed in epoch {last}")
            resumed = run(config, mine, device, checkpoint=Always(path))
    found.say(graph_words(whole.state) or "steps are taken one by one")
    same = curve(whole.result.records) == curve(repeated.result.records)
    found.say(f"twice from the start: {'equal' if same else 'DIFFERENT'}")
    equal = curve(whole.result.records) == curve(resumed.result.records)
    weights = all(torch.equal(whole.weights[name], resumed.weights[name]) for name in whole.weights)
    found.say(f"resumed: curve {'equal' if equal else 'DIFFERENT'}, weights {'equal' if weights else 'DIFFERENT'}")
    for a, b in zip(whole.result.records, resumed.result.records, strict=False):
        found.say(
            f"epoch {a.epoch}: train loss {a.train_loss!r} and {b.train_loss!r}, val {a.val_loss!r}, {b.val_loss!r}"
        )
    found.verdict(same and equal and weights, f"{len(whole.result.records)} epochs, to the bit")


def killing_in(epoch: int) -> Any:
    """An `on_epoch` that ends the run in that epoch, before its checkpoint is written."""

    def on_epoch(records: Sequence[EpochRecord], _: object) -> None:
        if len(records) == epoch:
            raise Killed

    return on_epoch


def curve(records: Sequence[EpochRecord]) -> list[str]:
    """Everything but the times, to the bit."""
    return [repr({name: value for name, value in vars(one).items() if name != "seconds"}) for one in records]


@contextmanager
def torch_deterministic(wanted: bool) -> Iterator[None]:
    """Within this context torch uses only algorithms that give the same result each time, and warns of others."""
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    if wanted:
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        yield
    finally:
        if wanted:
            torch.use_deterministic_algorithms(False)
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before
