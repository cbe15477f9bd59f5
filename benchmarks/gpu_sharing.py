"""Several processes that train a small network on one GPU: images per second together. For benchmarks/gpu.py."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import torch
from gpu_cases import space_config, splits
from gpu_report import Found, Report

from regstudy.training.loop import train_epoch
from regstudy.training.train_state import start

READY_SECONDS = 90.0  # that a process may take to be ready


def sharing(found: Found, report: Report, tiny: bool) -> None:
    """One, two and four processes train `dropout_cnn` at once, each with its share of the CPU's threads."""
    numbers = (1,) if tiny else (1, 2, 4)
    seconds = 0.2 if tiny else 2.0
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    processes: list[Any] = []
    try:
        for _ in range(max(numbers)):
            here, there = context.Pipe()
            processes.append(context.Process(target=trainer, args=(str(report.device), tiny, there), daemon=True))
            processes[-1].start()
            there.close()
            pipes.append(here)
        for number, pipe in enumerate(pipes):
            answer = hear(pipe, min(READY_SECONDS, max(report.left, 5)))
            if answer != "ready":
                raise RuntimeError(f"process {number}: {answer}")
        found.say(f"{'processes':>10}{'images/s together':>20}{'of one':>10}")
        for number in numbers:
            together = sum(rates(pipes[:number], seconds))
            found.numbers[str(number)] = together
            found.say(f"{number:>10}{together:>20,.0f}{together / found.numbers['1']:>10.2f}")
        best = max(numbers, key=lambda number: found.numbers[str(number)])
        found.line = f"{best} processes are fastest: {found.numbers[str(best)] / found.numbers['1']:.2f} × one"
    finally:
        for process in processes:
            process.terminate()
            process.join(5)


def rates(pipes: Sequence[Connection], seconds: float) -> list[float]:
    """Images per second of each process while all of these train."""
    begins = time.time() + 0.2
    for pipe in pipes:
        pipe.send((begins, seconds))
    answers = [hear(pipe, seconds + 30) for pipe in pipes]
    if wrong := [answer for answer in answers if not isinstance(answer, float)]:
        raise RuntimeError(str(wrong[0]))
    return answers


def hear(pipe: Connection, seconds: float) -> Any:
    """What the process says within that time."""
    try:
        return pipe.recv() if pipe.poll(seconds) else f"said nothing for {seconds:.0f} s"
    except (EOFError, OSError):
        return "died"


def trainer(device: str, tiny: bool, pipe: Connection) -> None:
    """A process that trains for a time whenever it is told to, and says how many images per second it trained."""
    try:
        torch.set_num_threads(1)
        config = space_config("cifar10_dropout", {"augmentation.strength": 0.5})
        images = splits(64 if tiny else 8_192, 64, 32)
        state = start(config, images, torch.device(device))
        for _ in range(2):
            train_epoch(state, state.records)
        pipe.send("ready")
        while True:
            begins, seconds = pipe.recv()
            while time.time() < begins:
                time.sleep(0.001)
            began, done = time.perf_counter(), 0
            while time.perf_counter() - began < seconds:
                train_epoch(state, state.records)
                done += len(images.train)
            pipe.send(done / (time.perf_counter() - began))
    except EOFError:
        return
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
