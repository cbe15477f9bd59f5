"""How many images per second every shipped network trains, next to a plain DataLoader loop. For benchmarks/gpu.py."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import plain_loop
import torch
from gpu_cases import graph_words, space_config, splits, without_graph
from gpu_report import Found, Report, synchronize
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from regstudy import models
from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import Splits
from regstudy.training.loop import train_epoch
from regstudy.training.train_state import start

COLUMNS = ("regstudy", "plain loop", "ratio", "TFLOP/s", "of peak", "step, ms")


@dataclass(frozen=True)
class SpeedCase:
    """A network as a space ships it: its space, images per epoch, their side, channels and classes."""

    space: str
    count: int
    side: int
    channels: int = 3
    classes: int = 10
    network: str | None = None  # instead of the space's
    seconds: float = 1.5  # to measure each loop


CASES = [
    SpeedCase("svhn_resnet", 16_384, 32),
    SpeedCase("cifar10_dropout", 16_384, 32),
    SpeedCase("digits_cnn", 16_384, 32, 1),
    SpeedCase("svhn_resnet_deep", 16_384, 32),
    SpeedCase("svhn_vgg", 16_384, 32),
    SpeedCase("street_digits_resnet", 16_384, 32),
    SpeedCase("smear_resnet18", 2_048, 224, classes=2),
    SpeedCase("binary_cnn", 1_024, 200, classes=2),
    SpeedCase("binary_resnet50", 1_024, 200, classes=2),
    SpeedCase("binary_resnet50", 2_048, 200, classes=2, network="resnet18_transfer"),
]
TINY = [SpeedCase("digits_cnn", 128, 32, 1, seconds=0.1)]
SMALL = ("dropout_cnn",)  # whose ratio to the plain loop has a goal
GOAL = 20.0


def speed(found: Found, report: Report, tiny: bool, keep: float) -> None:
    """The table, network by network until ``keep`` seconds are left; what raises is a row."""
    device = report.device
    peak = bf16_peak(device, 256 if tiny else 8192)
    found.say(f"bf16 peak of a large matrix product: {peak / 1e12:.3g} TFLOP/s")
    found.say(
        f"plain loop: {workers(tiny)} loading processes, pinned memory, bf16, channels_last, no .item() per batch"
    )
    found.say(f"{'network, batch, images':<44}" + "".join(f"{name:>12}" for name in COLUMNS))
    found.numbers["peak"], met = peak, []
    for case in TINY if tiny else CASES:
        config = case_config(case)
        name = (
            f"{config.model.name}, {config.training.batch_size}, {case.channels}×{case.side}×{case.side} ({case.space})"
        )
        if report.left < keep + 8 * case.seconds and not tiny:
            found.say(f"{name:<44} not measured: {report.left:.0f} s are left")
            continue
        try:
            row = measured(case, config, device, tiny)
        except Exception as error:
            found.say(f"{name:<44} {type(error).__name__}: {' '.join(str(error).split())[:160]}")
            found.numbers[name] = {"error": str(error)}
            continue
        ratio = row["regstudy"] / row["plain"]
        rate = row["regstudy"] * row["flop per image"]
        step = 1000 * config.training.batch_size / row["regstudy"]
        shown = f"{row['regstudy']:>12,.0f}{row['plain']:>12,.0f}{ratio:>12.1f}{rate / 1e12:>12.3g}{rate / peak:>12.1%}"
        found.say(f"{name:<44}{shown}{step:>12.3f}")
        found.numbers[name] = row | {"ratio": ratio, "flop per second": rate}
        met += [ratio] if config.model.name in SMALL else []
        if row["graph"]:
            alone = f", one by one {row['one by one']:,.0f} images/s" if row["one by one"] else ""
            found.say(f"{'':<44}{row['graph']}{alone}")
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    if met:
        line = f"small networks {min(met):.1f} to {max(met):.1f} × the plain loop (goal: at least {GOAL:.0f})"
        if device.type == "cuda":
            found.verdict(min(met) >= GOAL, line)
        else:
            found.line = line
    else:
        found.line = "no small network was measured"


def case_config(case: SpeedCase) -> RunConfig:
    """The space's default with its augmentation at half strength, in its own batch size."""
    changes: dict[str, Any] = {"augmentation.strength": 0.5, **({"model.name": case.network} if case.network else {})}
    if case.network:
        changes["model.options"] = {}
    return space_config(case.space, changes)


def measured(case: SpeedCase, config: RunConfig, device: torch.device, tiny: bool) -> dict[str, Any]:
    """Images per second of both loops, and floating-point operations per image."""
    images = splits(case.count, 256 if case.side < 100 else 64, case.side, case.classes, case.channels)
    row: dict[str, Any] = {"flop per image": flop_per_image(config, images, device)}
    row |= ours(config, images, device, case.seconds)
    row["plain"] = plain(config, images, device, case.seconds, workers(tiny))
    return row


def ours(config: RunConfig, images: Splits, device: torch.device, seconds: float) -> dict[str, Any]:
    """Images per second of regstudy's training epochs, after two that allocate, choose kernels and may record a graph.

    For small networks also without the graph.
    """
    state = start(config, images, device)
    found: dict[str, Any] = {"one by one": 0.0}
    found["regstudy"] = rate(lambda: train_epoch(state, state.records), len(images.train), device, seconds, warm_up=2)
    found["graph"] = graph_words(state)
    if config.model.name in SMALL and without_graph(state):
        found["one by one"] = rate(lambda: train_epoch(state, state.records), len(images.train), device, seconds / 2, 1)
    return found


def rate(epoch: Callable[[], object], count: int, device: torch.device, seconds: float, warm_up: int) -> float:
    """Images per second of whole epochs that take so many seconds together."""
    for _ in range(warm_up):
        epoch()
    synchronize(device)
    began, epochs = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        epoch()
        synchronize(device)
        epochs += 1
    return epochs * count / (time.perf_counter() - began)


def plain(config: RunConfig, images: Splits, device: torch.device, seconds: float, processes: int) -> float:
    """Images per second of the loop that a competent user writes around a DataLoader."""
    full = images.train.shape[-1]
    crop = config.preprocessing.crop or full
    ops = config.augmentation.ops
    moves = {"rotate": 15.0 if "rotate" in ops else 0.0, "flip": 0.5 if "flip" in ops else 0.0, "shift": full // 16}
    transform = plain_loop.training_transform(full, crop, **moves)
    model = models.build(config.model, 3, crop, len(images.train.classes))
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    kinds = {"rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    optimizer = kinds.get(config.optimizer.name, torch.optim.SGD)(model.parameters(), lr=1e-4)
    pixels = images.train.images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous().numpy()
    batches: DataLoader[Any] = DataLoader(
        plain_loop.Pictures(pixels, images.train.labels.numpy(), transform),
        config.training.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=processes,
        pin_memory=device.type == "cuda",
        persistent_workers=processes > 0,
        prefetch_factor=4 if processes else None,
    )
    return rate(lambda: plain_epoch(model, batches, optimizer, device), len(images.train), device, seconds, warm_up=1)


def plain_epoch(model: nn.Module, batches: Any, optimizer: torch.optim.Optimizer, device: torch.device) -> float:
    """An epoch in bf16 that reads loss and accuracy from the device once."""
    criterion = nn.CrossEntropyLoss()
    model.train()
    sums = torch.zeros(2, device=device)
    for images, labels in batches:
        images = images.to(device, non_blocking=True, memory_format=torch.channels_last)
        labels = labels.to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16):
            outputs = model(images)
            loss = criterion(outputs, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        sums += torch.stack([loss.detach() * len(labels), (outputs.argmax(1) == labels).sum()])
    return float(sums[0])


def workers(tiny: bool) -> int:
    """Loading processes: one per core but one, at most 12."""
    return 0 if tiny else max(1, min((os.cpu_count() or 2) - 1, 12))


def flop_per_image(config: RunConfig, images: Splits, device: torch.device) -> float:
    """Operations (multiply and add) of a forward and a backward pass of one image."""
    state = start(config, images, device)
    batch = state.preprocessing(state.splits.train.images[:8])
    state.model.train()
    with FlopCounterMode(display=False) as counter:
        nn.functional.cross_entropy(state.model(batch).float(), state.splits.train.labels[:8]).backward()
    return counter.get_total_flops() / 8


def bf16_peak(device: torch.device, side: int) -> float:
    """Operations per second of a square matrix product in bf16, the fastest of three times ten."""
    a, b = (torch.randn(side, side, device=device).to(torch.bfloat16) for _ in range(2))
    best = 0.0
    for turn in range(4):
        synchronize(device)
        began = time.perf_counter()
        for _ in range(10):
            a @ b
        synchronize(device)
        best = max(best, 10 * 2 * side**3 / (time.perf_counter() - began)) if turn else best
    return best
