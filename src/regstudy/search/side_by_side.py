"""How many trials to run side by side, by a measurement at the start of a study.

A small network cannot use many cores at once, so several trials with fewer threads each finish sooner than one after
the other with all threads. Each further worker costs memory and a start, and its trials begin with fewer results to
learn from. So there must be enough trials for each worker, and the gain must be clear.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import optuna
import psutil
import torch

from regstudy.data.image_set import Splits
from regstudy.search.events import Listener, Notice
from regstudy.search.search_options import SearchOptions
from regstudy.space.plan import Plan
from regstudy.study import attributes
from regstudy.study.stored_facts import fact
from regstudy.training.cost import seconds_per_step

TRIALS_EACH = 12  # trials per worker, at least
MOST_SIDE_BY_SIDE = 8
WORKER_BYTES = 1.5e9  # of memory that a worker may need
SHORT_STUDY = 120.0  # seconds, below which a measurement and further processes do not pay
CLEAR_GAIN = 1.15  # times as fast; a measurement of a few batches is noisy, and processes share caches and memory
AS_GOOD = 0.9  # of the best gain: then fewer workers are better


def numbers_to_try(threads: int, trials: int, memory: float) -> list[int]:
    """Numbers of workers among which to choose: powers of two from 1 on; ``memory`` is what is free, in bytes."""
    most = min(threads, trials // TRIALS_EACH, int(memory / WORKER_BYTES), MOST_SIDE_BY_SIDE)
    return [1, *(2**power for power in range(1, 10) if 2**power <= most)]


def best_number(seconds: Mapping[int, float]) -> tuple[int, float]:
    """The number of workers to take, and how many times as fast they are together as one with all threads.

    ``seconds`` of a worker's step by number of workers, which share the threads.

    >>> best_number({1: 1.0, 2: 1.25, 4: 2.4})
    (2, 1.6)
    """
    gains = {number: number * seconds[1] / each for number, each in seconds.items()}
    best = max(gains.values())
    if best < CLEAR_GAIN:
        return 1, 1.0
    number = min(workers for workers, gain in gains.items() if gain >= max(AS_GOOD * best, CLEAR_GAIN))
    return number, gains[number]


def measured_workers(
    plan: Plan, splits: Splits, options: SearchOptions, seconds: float, trials: int
) -> tuple[int, float]:
    """How many workers make a study fastest here, and how many times as fast; see `best_number`.

    ``seconds``: the estimate for one worker; ``trials``: of the search.
    """
    numbers = numbers_to_try(options.threads, trials, float(psutil.virtual_memory().available))
    if options.device != "cpu" or len(numbers) == 1 or seconds < SHORT_STUDY:
        return 1, 1.0
    config = next(iter(plan.representatives().values()))
    threads = {number: options.threads // number for number in numbers}
    found = seconds_per_step(config, splits, torch.device(options.device), sorted(set(threads.values())))
    return best_number({number: found[each] for number, each in threads.items()})


def with_workers(
    options: SearchOptions,
    study: optuna.Study | None,
    plan: Plan,
    splits: Splits,
    seconds: float,
    trials: int,
    listen: Listener,
) -> SearchOptions:
    """The options with as many workers as a measurement finds best, if that was asked for; more than one are announced.

    A study that is resumed keeps the number that it stores. The other arguments are those of `measured_workers`.
    """
    if not options.measure_workers:
        return options
    stored = None if study is None else fact(study, attributes.WORKERS)
    if stored is not None:
        number, why = min(stored, options.threads), "as before"
    else:
        number, gain = measured_workers(plan, splits, options, seconds, trials)
        why = f"a short measurement found that {gain:.1f} times as fast"
        if gain > number:  # threads of one training that wait for each other suffer most from other programs
            why = "with fewer threads each, they lose less time to other programs on these cores"
    if number > 1:
        listen(Notice(f"{number} trials run side by side: {why}. --workers 1 turns it off."))
    return replace(options, workers=number, measure_workers=False)
