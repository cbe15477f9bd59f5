"""Several trainings on one GPU: whether its memory is enough for them, and how much of it each may take.

Every worker is a process of its own, with its own copy of the images and its own CUDA context. A worker that wants more
than its share fails alone, instead of taking the memory that the others count on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import torch

from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import Splits
from regstudy.errors import StudyError
from regstudy.search.events import Listener, Notice
from regstudy.search.search_options import SearchOptions
from regstudy.space.plan import Plan
from regstudy.text import counted, format_bytes
from regstudy.training.cost import peak_memory
from regstudy.training.memory import DeviceMemory, memory_of

CONTEXT_BYTES = 0.7e9  # that CUDA and its libraries take in every process besides tensors: 0.4 to 0.8 GB
TIGHT = 0.85  # of the free memory; pieces that do not fit together leave gaps


def devices_of(device: str, workers: int) -> list[str]:
    """The device of each worker: GPUs are taken in turn, unless one of them was asked for."""
    gpus = torch.cuda.device_count() if device == "cuda" else 0
    return [f"cuda:{index % gpus}" if gpus else device for index in range(workers)]


def shares_of(devices: Sequence[str]) -> list[float | None]:
    """The part of its GPU's memory that each worker's tensors may take; None where it has the device for itself."""
    workers = Counter(devices)
    memory = {one: memory_of(torch.device(one)) for one in workers if one.startswith("cuda") and workers[one] > 1}
    return [share(memory[one], workers[one]) if one in memory else None for one in devices]


def share(memory: DeviceMemory, workers: int) -> float:
    """The part of all memory that each of several workers may take, so that their contexts fit, too.

    >>> share(DeviceMemory(total=10e9, free=8.8e9), 4)
    0.15
    """
    return round(max((memory.free / workers - CONTEXT_BYTES) / memory.total, 0.01), 4)


def limit_share(device: torch.device, part: float | None) -> None:
    """Let this process take only so much of a GPU's memory; None sets no limit."""
    if part is not None:
        torch.cuda.set_per_process_memory_fraction(part, device)


def check_memory(plan: Plan, splits: Splits, options: SearchOptions, listen: Listener) -> None:
    """Measure what the largest training of a plan needs, and whether every GPU has that for each of its workers.

    Raises StudyError if it does not; says so where it is tight. Nothing is measured for a single worker, whose trials
    have all that is free.
    """
    if not options.device.startswith("cuda") or options.workers == 1:
        return
    workers = Counter(devices_of(options.device, options.workers))
    first = torch.device(next(iter(workers)))
    needs = {config: peak_memory(config, splits, first) for config in heaviest(plan)}
    config = max(needs, key=lambda one: needs[one])
    verdicts = [
        judge(one, number, needs[config], memory_of(torch.device(one)), config) for one, number in workers.items()
    ]
    refused = [words for fits, words in verdicts if not fits]
    if refused:
        raise StudyError(" ".join(refused))
    for _, words in verdicts:
        if words:
            listen(Notice(words))


def heaviest(plan: Plan) -> list[RunConfig]:
    """Of each network and optimizer that a plan may train, one configuration with the plan's largest batch size."""
    found = [*plan.representatives().values(), *plan.extremes()]
    largest = max(max(_sizes(config)) for config in found)
    distinct = {repr(list(_what_needs_memory(config))): config for config in found}
    return [
        config if config.phases else config.replaced({"training.batch_size": largest}) for config in distinct.values()
    ]


def _sizes(config: RunConfig) -> Iterator[int]:
    yield from (phase.training.batch_size for phase in config.in_phases())


def _what_needs_memory(config: RunConfig) -> Iterator[object]:
    extras = config.regularization
    yield from (config.model.name, config.model.options, config.model.trainable, config.preprocessing.crop)
    yield from (config.optimizer.name, config.training.precision, extras.ema > 0, config.phases)


def judge(
    device: str, workers: int, need: float, memory: DeviceMemory, config: RunConfig | None = None
) -> tuple[bool, str]:
    """Whether so many workers fit on a GPU, and what to say about it; nothing if there is room.

    ``need`` are the bytes of one training; what this very process holds is not counted as free.
    """
    each = need + CONTEXT_BYTES
    fitting = int(memory.free // each)
    if workers * each <= TIGHT * memory.free:
        return True, ""
    model = f" of '{config.model.name}' with batch_size {max(_sizes(config))}" if config else ""
    measured = (
        f"{counted(workers, 'worker')} on {device} need about {format_bytes(workers * each)} of its memory: each"
        f" {format_bytes(need)} for the largest training{model} and its images, measured just now, and"
        f" {format_bytes(CONTEXT_BYTES)} for its process. {format_bytes(memory.free)} of {format_bytes(memory.total)}"
        " are free."
    )
    lower = f"Use --workers {fitting}" if fitting > 1 else "Use --workers 1"
    fit = f"{fitting or 'Not even one'} of them fit{'s' if fitting <= 1 else ''}."
    remedy = (
        f"{lower}, or a smaller upper end of training.batch_size, or end other programs on the GPU (nvidia-smi lists"
        " them)."
    )
    if workers * each <= memory.free:
        return True, f"{measured} That is tight: a trial may run out of memory. {remedy}"
    return False, f"{measured} {fit} {remedy}"
