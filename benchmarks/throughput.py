"""Training speed of regstudy compared with a typical hand-written loop, in interleaved rounds of one run.

    python benchmarks/throughput.py [--rounds 5] [--cases …] [--json FILE] [--images FOLDER]

FOLDER holds `cifar10_images.zip` (default: REGSTUDY_TEST_DATA); without it the images are noise, which takes as long.
Each contestant is a separate process, which also reports its peak memory. Per case: images per second with
augmentation, the ratio to the plain loop round by round, and the share of the measured peak. Only training steps are
timed, not evaluation. regstudy runs with the settings of its command line (freed memory is kept, threads spin-wait),
the plain loop as an ordinary Python script.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import plain_loop
import psutil
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from regstudy import data, models
from regstudy.cli.app import SPIN_COUNT
from regstudy.config.run_config import RunConfig, parse_config
from regstudy.data.image_set import ImageSet, Splits
from regstudy.training.devices import keep_freed_memory
from regstudy.training.evaluation import evaluate
from regstudy.training.loop import run_epoch, shuffled_batches, train_step
from regstudy.training.train_state import start

SIDE = 32
CASES: dict[str, dict[str, Any]] = {
    "svhn_resnet, batch 256": {
        "preprocessing": {"crop": 28, "normalize": "half"},
        "model": {"name": "svhn_resnet"},
        "optimizer": {"name": "rmsprop"},
        "augmentation": {"strength": 1.0, "ops": ["crop", "rotate"]},
        "training": {"batch_size": 256},
    },
    **{
        f"dropout_cnn, batch {batch}": {
            "preprocessing": {"normalize": "half"},
            "model": {"name": "dropout_cnn", "dropout": 0.25},
            "optimizer": {"name": "adam"},
            "augmentation": {"strength": 1.0, "ops": ["crop", "flip"]},
            "training": {"batch_size": batch},
        }
        for batch in (32, 128)
    },
}
IMAGES = {"svhn_resnet, batch 256": 1024}  # in an epoch; of the small network:
MANY_IMAGES = 4096
CONTESTANTS = ("plain loop", "fp32", "bf16")
EXTRAS = {
    "L1": {"regularization.l1": 1e-5},
    "label smoothing": {"regularization.label_smoothing": 0.1},
    "mix-up": {"regularization.mixup": 1.0},
}
MEGABYTE = 2**20


@dataclass(frozen=True)
class Order:
    """What a contestant's process is to do."""

    case: str
    contestant: str  # or the name of an extra
    threads: int
    folder: Path  # data directory with the images, if there are any


def main() -> None:
    """Measure every case and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--images", type=Path, default=os.environ.get("REGSTUDY_TEST_DATA"), help="folder of archives")
    parser.add_argument("--work", type=Path, default=Path("results/throughput"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    link_images(given.images, given.work)
    torch.set_num_threads(given.threads)
    peaks = {name: matrix_peak(dtype) for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))}
    print(f"{platform.machine()}, {given.threads} threads, torch {torch.__version__}, {given.rounds} rounds")
    print(
        "peak of matrix products and convolutions: "
        + ", ".join(f"{name} {peak / 1e9:.0f} GFLOP/s" for name, peak in peaks.items())
    )
    found = {case: measure(case, given, peaks) for case in given.cases}
    if given.json:
        given.json.write_text(json.dumps({"peaks": peaks, "cases": found}, indent=1), encoding="utf-8")


def measure(case: str, given: argparse.Namespace, peaks: dict[str, float]) -> dict[str, Any]:
    """The contestants, then what regularizers and evaluation cost; prints as it goes."""
    flops = flops_per_image(case)
    rates, memory = rounds(case, CONTESTANTS, given)
    plain = rates["plain loop"]
    print(f"\n{case}\n{'':<16}{'images/s':>10}{'ratio (min to max)':>24}{'of the peak':>13}{'memory':>10}")
    for name in CONTESTANTS:
        ratios = [mine / theirs for mine, theirs in zip(rates[name], plain, strict=True)]
        share = median(rates[name]) * flops / peaks["bf16" if name == "bf16" else "fp32"]
        ratio = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{name:<16}{median(rates[name]):>10,.0f}{ratio:>24}{share:>12.0%} {memory[name]:>6.0f} MB", flush=True)
    costs, _ = rounds(case, ("extras",), given)
    for name in EXTRAS:
        ratios = [figure[name] for figure in costs["extras"]]
        print(f"{name:<16} takes {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}) of the time without")
    shares, _ = rounds(case, ("evaluation",), given)
    evaluation = shares["evaluation"]
    print(f"{'evaluation':<16} takes {median(evaluation):.3f} ({min(evaluation):.3f} to {max(evaluation):.3f})"
          " of its bare forward passes")  # fmt: skip
    return {"rates": rates, "memory": memory, "extras": costs["extras"], "evaluation": evaluation}


def rounds(
    case: str, names: tuple[str, ...], given: argparse.Namespace
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """A figure per round and contestant, one after the other in turn, and the memory each came to need (MB)."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name in names:
        if name == "plain loop":  # the command line sets it for regstudy
            os.environ.pop("GOMP_SPINCOUNT", None)
        else:
            os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT
        pipes[name], there = context.Pipe()
        processes.append(context.Process(target=contestant, args=(Order(case, name, given.threads, given.work), there)))
        processes[-1].start()
        pipes[name].recv()  # ready: has trained an epoch
    found: dict[str, list[float]] = {name: [] for name in names}
    memory = dict.fromkeys(names, 0.0)
    for _ in range(given.rounds):
        for name in names:
            pipes[name].send("go")
            figure, memory[name] = pipes[name].recv()
            found[name].append(figure)
    for name in names:
        pipes[name].send(None)
    for process in processes:
        process.join()
    return found, memory


def contestant(order: Order, pipe: Connection) -> None:
    """A process that does one epoch, or one evaluation, whenever it is told to."""
    if order.contestant != "plain loop":
        keep_freed_memory()
    torch.set_num_threads(order.threads)
    config, splits = prepared(order)
    before = psutil.Process().memory_full_info().uss
    if order.contestant == "plain loop":
        act = plain_contestant(config, splits)
    else:
        others = {"extras": extras, "evaluation": evaluation}
        act = others.get(order.contestant, partial(ours, order.contestant))(config, splits)
    act()
    pipe.send("ready")
    while pipe.recv():
        figure = act()
        family = [psutil.Process(), *psutil.Process().children(recursive=True)]
        pipe.send((figure, (sum(p.memory_full_info().uss for p in family) - before) / MEGABYTE))


def prepared(order: Order) -> tuple[RunConfig, Splits]:
    """The case's configuration and its images."""
    count = IMAGES.get(order.case, MANY_IMAGES)
    tree = {"data": {"name": "cifar10", "train_limit": count, "validation": count // 8}, **CASES[order.case]}
    config = parse_config(tree, order.case)
    if (order.folder / "cifar10").exists():
        return config, data.prepare(config.data, order.folder)
    sets = [noise(n) for n in (count, count // 8, count // 8)]
    return config, Splits(*sets, "noise", 0)


def noise(count: int) -> ImageSet:
    """Random images of ten classes."""
    pixels = torch.randint(0, 256, (count, 3, SIDE, SIDE), dtype=torch.uint8)
    return ImageSet(pixels, torch.arange(count) % 10, tuple("0123456789"))


def ours(precision: str, config: RunConfig, splits: Splits) -> Any:
    """Images per second of an epoch's training steps in regstudy."""
    epoch = epoch_of(config.replaced({"training.precision": precision}), splits)
    return lambda: len(splits.train) / epoch()


def extras(config: RunConfig, splits: Splits) -> Any:
    """Time of an epoch's steps with each regularizer, as a ratio to that without; in turn, in one process."""
    bare = config.replaced({"training.precision": "bf16"})
    epochs = {name: epoch_of(bare.replaced(changes), splits) for name, changes in {"": {}, **EXTRAS}.items()}

    def ratios() -> dict[str, float]:
        times: dict[str, list[float]] = {name: [] for name in epochs}
        for _ in range(3):
            for name, epoch in epochs.items():
                times[name].append(epoch())
        return {name: median(times[name]) / median(times[""]) for name in EXTRAS}

    return ratios


def epoch_of(config: RunConfig, splits: Splits) -> Callable[[], float]:
    """A function that takes an epoch's training steps and returns their seconds."""
    state = start(config, splits, torch.device("cpu"))

    def epoch() -> float:
        state.model.train()
        began, total = time.perf_counter(), torch.zeros(2, dtype=torch.float64)
        for indices in shuffled_batches(state):
            total += train_step(state, indices, 1e-3)[0]
        total.tolist()
        return time.perf_counter() - began

    return epoch


def evaluation(config: RunConfig, splits: Splits) -> Any:
    """What an epoch's measurements take, as a ratio to the same forward passes alone on prepared batches."""
    state = start(config, splits, torch.device("cpu"))
    run_epoch(state)
    parts = (splits.clean_train, splits.validation)
    batches = [state.preprocessing(part.images[i : i + 512]) for part in parts for i in range(0, len(part), 512)]

    @torch.inference_mode()
    def bare() -> float:
        state.model.eval()
        began = time.perf_counter()
        for images in batches:
            state.model(images)
        return time.perf_counter() - began

    def whole() -> float:
        began = time.perf_counter()
        for part in parts:
            evaluate(state.model, part, state.preprocessing)
        return time.perf_counter() - began

    return lambda: median([whole() / bare() for _ in range(5)])


def plain_contestant(config: RunConfig, splits: Splits) -> Any:
    """Images per second of an epoch of the plain loop with its best number of loading processes."""
    crop = config.preprocessing.crop or SIDE
    moves: dict[str, Any] = {"rotate": 30.0} if "rotate" in config.augmentation.ops else {"flip": 0.5}
    transform = plain_loop.training_transform(SIDE, crop, **moves)
    model = models.build(config.model, 3, crop, 10)
    kind = {"rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam}[config.optimizer.name]
    optimizer = kind(model.parameters(), lr=1e-3)

    def make(workers: int) -> Any:
        train = splits.train
        return plain_loop.loader(train.images, train.labels, transform, config.training.batch_size, True, workers)

    def train(batches: Any) -> object:
        return plain_loop.train_epoch(model, batches, optimizer)

    batches = make(plain_loop.fastest_workers(make, train))
    train(batches)

    def epoch() -> float:
        began = time.perf_counter()
        train(batches)
        return len(splits.train) / (time.perf_counter() - began)

    return epoch


def flops_per_image(case: str) -> float:
    """Operations (multiply and add) of a forward and a backward pass of one image."""
    config = parse_config({"data": {"name": "cifar10"}, **CASES[case]}, case)
    crop = config.preprocessing.crop or SIDE
    model = models.build(config.model, 3, crop, 10)
    with FlopCounterMode(display=False) as counter:
        nn.functional.cross_entropy(model(torch.rand(8, 3, crop, crop)), torch.arange(8)).backward()
    return counter.get_total_flops() / 8


def matrix_peak(dtype: torch.dtype) -> float:
    """Operations per second of a large matrix product or a wide 3×3 convolution, whichever is faster."""
    a, b = (torch.rand(2048, 2048).to(dtype) for _ in range(2))
    images = torch.rand(64, 256, 14, 14).to(dtype, memory_format=torch.channels_last)
    kernel = torch.rand(256, 256, 3, 3).to(dtype, memory_format=torch.channels_last)
    product = 2 * 2048**3 / fastest(lambda: a @ b)
    convolution = 2 * images.numel() * 256 * 9 / fastest(lambda: nn.functional.conv2d(images, kernel, padding=1))
    return max(product, convolution)


def fastest(action: Callable[[], object]) -> float:
    """Seconds of the fastest of twenty times."""
    times = []
    for _ in range(20):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return min(times)


def link_images(archives: Path | None, work: Path) -> None:
    """Put the archive where the data set looks for it."""
    if archives is None:
        print("Images are noise: no --images and no REGSTUDY_TEST_DATA.")
        return
    link = work / "cifar10" / "cifar10_images.zip"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.symlink_to((archives / link.name).absolute())


if __name__ == "__main__":
    main()
