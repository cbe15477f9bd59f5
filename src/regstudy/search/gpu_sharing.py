"""Several trainings on one GPU: whether its memory is enough for them, and how much of it each may take.

Every worker is a process of its own, with its own copy of the images and its own CUDA context. A worker that wants more
than its share fails alone, instead of taking the memory that the others count on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

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
    have all that is free, nor for those of a cluster, whose GPUs are elsewhere.
    """
    if not options.device.startswith("cuda") or options.workers == 1 or options.launcher is not None:
        return
    devices = devices_of(options.device, options.workers)
    first = torch.device(devices[0])
    measured = [(peak_memory(config, splits, first), config) for config in heaviest(plan)]
    need, config = max(measured, key=lambda found: found[0])
    memory = {one: memory_of(torch.device(one)) for one in devices}
    fits, words = judge(devices, need, memory)
    if not words:
        return
    most = max((n for n in range(1, options.workers) if judge(devices[:n], need, memory)[0]), default=0)
    size = max(_sizes(config))
    text = (
        f"{words} Each needs {format_bytes(need)} for the largest training, which was measured just now"
        f" ('{config.model.name}' with batch_size {size}, and its images), and {format_bytes(CONTEXT_BYTES)} for its"
        " process."
    )
    others = "a smaller upper end of training.batch_size, or end other programs on the GPU (nvidia-smi lists them)."
    if fits:
        listen(Notice(f"{text} That is tight: a trial may run out of memory. Then use fewer workers, or {others}"))
        return
    raise StudyError(f"{text} {f'Use --workers {most}, or' if most else 'Not even one worker fits. Use'} {others}")


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


def judge(devices: Sequence[str], need: float, memory: Mapping[str, DeviceMemory]) -> tuple[bool, str]:
    """Whether workers on these devices fit, and a sentence for each GPU that is too small or nearly so.

    ``need`` are the bytes of one training. What this very process holds does not count as free.
    """
    fits, sentences = True, []
    for device, workers in Counter(devices).items():
        here, needed = memory[device], workers * (need + CONTEXT_BYTES)
        fits = fits and needed <= here.free
        if needed > TIGHT * here.free:
            verb = "needs" if workers == 1 else "need"
            sentences.append(
                f"{counted(workers, 'worker')} on {device} {verb} about {format_bytes(needed)} of its memory;"
                f" {format_bytes(here.free)} of {format_bytes(here.total)} are free."
            )
    return fits, " ".join(sentences)
