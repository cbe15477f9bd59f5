"""What the metrics cost: their share of an epoch, for 10 classes and 10,000 images in training and in validation.

    python benchmarks/metric_cost.py [--images 10000] [--classes 10] [--epochs 3] [--device cpu]

Random grayscale images of 32×32 pixels and the network of `digits_cnn`, the smallest that we ship: a larger one only
lowers the share. An epoch includes both evaluations. The metrics, all of them, are timed alone on the scores of as many
images as the two evaluations have.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch

from regstudy.data import ImageSet, Splits
from regstudy.metrics import METRICS
from regstudy.space.loader import find_space, load_space
from regstudy.training.loop import run_epoch
from regstudy.training.scores import confusion, extra_scores
from regstudy.training.train_state import start

REPEATS = 20


def main() -> None:
    """Time epochs without further metrics, then the metrics."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    device = torch.device(given.device)
    names = [name for name, of in METRICS.items() if name not in ("accuracy", "loss")]
    if given.classes != 2:
        names = [name for name in names if not METRICS[name].binary]
    config = load_space(find_space("digits_cnn"), []).defaults()
    train, validation = (made_up(given.images, given.classes, seed) for seed in (0, 1))
    state = start(config, Splits(train, train, validation, "random images", 0), device)
    run_epoch(state)  # warm up
    epoch = median(seconds(lambda: run_epoch(state), device) for _ in range(given.epochs))
    logits = torch.randn(given.images, given.classes, device=device)
    labels = validation.labels.to(device)

    def measure() -> None:
        counts = confusion(logits.argmax(1), labels, given.classes)
        extra_scores(names, counts, logits, labels, 1).tolist()

    measure()
    both = 2 * median(seconds(measure, device) for _ in range(REPEATS))
    print(f"{given.images:,} images, {given.classes} classes, {device}, {torch.get_num_threads()} threads")
    print(f"epoch (training, two evaluations): {epoch:.3f} s")
    print(f"metrics ({', '.join(names)}), for both evaluations: {1000 * both:.1f} ms = {both / epoch:.2%} of the epoch")


def made_up(images: int, classes: int, seed: int) -> ImageSet:
    """Noise with random labels."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (images, 1, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, classes, (images,), generator=generator)
    return ImageSet(pixels, labels, tuple(map(str, range(classes))))


def seconds(function: Callable[[], object], device: torch.device) -> float:
    """The time that a call takes, its work on the device included."""
    began = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
