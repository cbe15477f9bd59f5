"""Does the loop wait for the GPU, and what happens when its memory is too small? Checks of benchmarks/gpu.py."""

from __future__ import annotations

import gc
import warnings
from collections import Counter
from collections.abc import Callable

import torch
from gpu_cases import graph_words, space_config, splits
from gpu_report import Found, Skipped

from regstudy.training.evaluation import measure
from regstudy.training.loop import train_epoch
from regstudy.training.run import run
from regstudy.training.train_state import start

SYNCHRONIZES = "called a synchronizing CUDA operation"
EVERYTHING = {
    "model.dropout": 0.3,
    "augmentation": {"strength": 0.7, "ops": ["crop", "rotate", "color"]},
    "regularization": {"l1": 1e-6, "l2": 1e-4, "label_smoothing": 0.1, "mixup": 0.5, "cutout": 6, "ema": 0.9},
    "training.batch_size": 128,
}
CASES = {
    "svhn_resnet as shipped, augmented": {"augmentation.strength": 0.5, "training.batch_size": 128},
    "with every regularizer": EVERYTHING,
    "in shuffled classes, oversampled": {"training.balance": "oversample", "training.batch_size": 128},
}


def no_waiting(found: Found, device: torch.device) -> None:
    """No step of an epoch waits for the GPU: torch raises an error where one would.

    The mode ends with the last step, because the sums of the epoch are read after it.
    """
    if device.type != "cuda":
        raise Skipped("only a GPU can be waited for")
    bad = []
    for name, changes in CASES.items():
        config = space_config("street_digits_resnet", changes)
        state = start(config, splits(128 * 12, 256, 32), device)
        for _ in range(2):  # the first epoch allocates, chooses kernels and may record a graph
            train_epoch(state, state.records)
        try:
            watched_epoch(state, "error")
            found.say(f"{name}: no step waits {graph_words(state)}")
        except RuntimeError as error:
            bad.append(name)
            places = synchronizations(lambda state=state: watched_epoch(state, "warn"))
            found.say(f"{name}: {sum(places.values())} waits in an epoch of 12 steps; the first: {error}")
            for place, count in places.most_common(8):
                found.say(f"    {count:>4} × {place}")
    images = state.splits.validation
    measure(state.model, images, state.preprocessing)
    places = synchronizations(lambda: warn_of_waits(lambda: measure(state.model, images, state.preprocessing)))
    found.say(f"for comparison, one evaluation waits {sum(places.values())} times")
    found.verdict(not bad, f"{len(CASES) - len(bad)} of {len(CASES)} cases train an epoch without waiting for the GPU")


def watched_epoch(state: object, mode: str) -> None:
    """An epoch in a synchronization mode that holds from its start to its last step."""

    def on_step(done: int, total: int) -> None:
        if done >= total:
            torch.cuda.set_sync_debug_mode("default")

    torch.cuda.synchronize()
    try:
        torch.cuda.set_sync_debug_mode(mode)
        train_epoch(state, state.records, on_step)  # type: ignore[attr-defined, arg-type]
    finally:
        torch.cuda.set_sync_debug_mode("default")


def warn_of_waits(action: Callable[[], object]) -> None:
    """Do something while torch warns of everything that waits."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        action()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def synchronizations(action: Callable[[], object]) -> Counter[str]:
    """Where an action waits for the GPU, and how often."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action()
    return Counter(f"{one.filename}:{one.lineno}" for one in caught if SYNCHRONIZES in str(one.message))


def out_of_memory(found: Found, device: torch.device) -> None:
    """A batch that does not fit is one clear error, and the next training runs as if nothing had been.

    The script may use 2 GiB here, so that the batch is too large on any GPU and nothing else suffers.
    """
    if device.type != "cuda":
        raise Skipped("only a GPU's memory is limited")
    total = torch.cuda.get_device_properties(device).total_memory
    gc.collect()
    torch.cuda.empty_cache()
    number = torch.cuda.current_device()  # a device without a number is refused here
    allowed = torch.cuda.memory_reserved(number) + 2 * 2**30
    torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total), number)
    huge = space_config("street_digits_resnet", {"training.batch_size": 16_384, "training.epochs": 1})
    try:
        small = splits(16_384, 256, 32)
        text, kind = "", ""
        try:
            run(huge, small, device)
        except Exception as error:  # a translated error may be of any kind
            kind, text = type(error).__name__, str(error)
        clear = "memory" in text.lower()
        found.say(f"{kind or 'no error'}: {' '.join(text.split())[:400]}")
        held = torch.cuda.memory_reserved(device) / 2**30
        after = run(huge.replaced({"training.batch_size": 128}), splits(1024, 256, 32), device)
        finished = after.result.outcome == "finished"
        found.say(f"{held:.2f} GiB were held after it; the next training {after.result.outcome}")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, number)
        torch.cuda.empty_cache()
    found.verdict(clear and finished, f"{kind or 'no error'}, and the next training {after.result.outcome}")
