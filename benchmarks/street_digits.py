"""How hard the synthetic house numbers are, and how many real ones a network classifies that was trained only on them.

    python benchmarks/street_digits.py [--train 5000] [--epochs 12] [--real svhn_real_crops.npz]

Trains a plain ResNet (2.6M parameters, no regularization, no augmentation) on synthetic pictures and prints a table.
Without --real, the crops are read from the folder REGSTUDY_TEST_DATA; without either, that row is left out.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from regstudy.data.street_digits import draw_many
from regstudy.house_numbers.picture import draw

BATCH = 128
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    folder = os.environ.get("REGSTUDY_TEST_DATA")
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--train", type=int, default=5000, help="drawn pictures to train on")
    parser.add_argument("--validation", type=int, default=2000, help="other drawn pictures, for validation")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fp32", action="store_true", help="train without bf16 autocast")
    parser.add_argument("--real", type=Path, default=Path(folder) / "svhn_real_crops.npz" if folder else None)
    return parser.parse_args()


def resnet() -> nn.Sequential:
    """A stem at full resolution and two stages of a ResNet-18: N x 3 x 28 x 28 to N x 10."""
    body = torchvision.models.resnet18()
    stem = (nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
    return nn.Sequential(*stem, body.layer2, body.layer3, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))


def prepare(images: np.ndarray) -> Tensor:
    """uint8 N x 3 x 32 x 32 to the normalized centre crop N x 3 x 28 x 28."""
    crop = torch.from_numpy(images[:, :, 2:30, 2:30].copy()).float() / 255
    return ((crop - MEAN[:, None, None]) / STD[:, None, None]).contiguous(memory_format=torch.channels_last)


def train(model: nn.Module, images: Tensor, labels: Tensor, args: argparse.Namespace) -> None:
    """AdamW without weight decay, one cycle of cosine."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.0)
    batches = math.ceil(len(labels) / BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs * batches)
    for epoch in range(args.epochs):
        began, total = time.perf_counter(), 0.0
        model.train()
        for rows in torch.randperm(len(labels)).split(BATCH):
            with torch.autocast("cpu", torch.bfloat16, enabled=not args.fp32):
                loss = functional.cross_entropy(model(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        print(f"epoch {epoch + 1}: loss {total / len(labels):.4f}, {time.perf_counter() - began:.0f} s", flush=True)


def predict(model: nn.Module, images: Tensor) -> Tensor:
    """Digits read, in fp32, without augmentation."""
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(part).argmax(1) for part in images.split(500)])


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    z, p = 1.96, hits / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def read_real(model: nn.Module, path: Path) -> list[tuple[str, str]]:
    """How many real crops the network reads, as rows of the table."""
    with np.load(path, allow_pickle=False) as file:
        images, labels = (np.concatenate([file[f"{part}_{k}"] for part in ("test", "format1")]) for k in "xy")
    right = predict(model, prepare(images.transpose(0, 3, 1, 2))) == torch.from_numpy(labels.astype(np.int64))
    hits, (low, high) = int(right.sum()), wilson(int(right.sum()), len(labels))
    missed = " ".join(str(i) for i in np.flatnonzero(~right.numpy()))
    return [("real crops read", f"{hits} of {len(labels)} (95 % {low:.2f} to {high:.2f})"), ("missed crops", missed)]


def seconds_per_thousand(seed: int) -> float:
    """Drawing time in one process."""
    began = time.perf_counter()
    for index in range(500):
        draw(seed, index)
    return 2 * (time.perf_counter() - began)


def main() -> None:
    """Draw, train, print the table."""
    args = arguments()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    rows = {"seconds per 1,000 drawn (one process)": f"{seconds_per_thousand(args.seed):.2f}"}
    images, labels = draw_many(args.seed, 0, args.train + args.validation)
    inputs, targets = prepare(images), torch.from_numpy(labels)
    model = resnet().to(memory_format=torch.channels_last)
    train(model, inputs[: args.train], targets[: args.train], args)
    accuracies = (predict(model, inputs) == targets).double()
    fit, new = (float(part.mean()) * 100 for part in (accuracies[: args.train], accuracies[args.train :]))
    rows["train accuracy"], rows["validation accuracy"] = f"{fit:.1f} %", f"{new:.1f} %"
    rows["gap"] = f"{fit - new:.1f} points"
    if args.real is not None:
        rows.update(read_real(model, args.real))
    parameters = sum(p.numel() for p in model.parameters())
    print(f"\n{args.train} drawn pictures, {args.epochs} epochs, seed {args.seed}, {parameters:,} parameters")
    for name, value in rows.items():
        print(f"{name:40}{value}")


if __name__ == "__main__":
    main()
