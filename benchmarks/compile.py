"""Does `torch.compile` pay on this machine? Time to compile, and step time compared with the plain network.

    python benchmarks/compile.py [--rounds 5] [--spaces digits_cnn cifar10_dropout svhn_resnet]

Random images with the shapes, networks and batch sizes of the spaces' default configurations; one step is forward,
backward and optimizer. CPU seconds of this process (and of compilers that it starts), so that other programs disturb
less; steps of both networks alternate.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch.nn.functional import cross_entropy

from regstudy import models
from regstudy.space.loader import load_space
from regstudy.training.devices import keep_freed_memory
from regstudy.training.optimizers import make_optimizer

SHAPES = {"digits_cnn": (1, 32), "cifar10_dropout": (3, 32), "svhn_resnet": (3, 32)}
STEPS = 10  # per round


def main() -> None:
    """Print one line per space."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--spaces", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    print(f"torch {torch.__version__}, {given.threads} threads, {given.rounds} rounds of {STEPS} steps")
    for name in given.spaces:
        plain, compiled = (_step(name, compile_it) for compile_it in (False, True))
        plain()
        began, wall = _cpu(), time.perf_counter()
        compiled()
        seconds, waited = _cpu() - began, time.perf_counter() - wall
        times = [[_seconds(step) for step in (plain, compiled)] for _ in range(given.rounds)]
        one, other = (median(row) for row in zip(*times, strict=True))
        ratios = [b / a for a, b in times]
        saved = one - other
        pays = f"pays after {seconds / saved:,.0f} steps" if saved > 0 else "never pays"
        print(
            f"{name}: compiling {seconds:.1f} CPU s ({waited:.1f} s of time), step {1000 * one:.1f} → "
            f"{1000 * other:.1f} ms, ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), {pays}",
            flush=True,
        )


def _step(name: str, compile_it: bool) -> Callable[[], None]:
    config = load_space(Path("search_spaces") / f"{name}.yaml", []).defaults()
    channels, side = SHAPES[name]
    torch.manual_seed(0)
    network = models.build(config.model, channels, side, 10).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(config, network)
    images = torch.randn(config.training.batch_size, channels, side, side).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (len(images),))
    forward = torch.compile(network) if compile_it else network

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(forward(images), labels).backward()
        optimizer.step()

    return step


def _seconds(step: Callable[[], None]) -> float:
    began = time.process_time()
    for _ in range(STEPS):
        step()
    return (time.process_time() - began) / STEPS


def _cpu() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


if __name__ == "__main__":
    main()
