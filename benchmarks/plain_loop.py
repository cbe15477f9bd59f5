"""A typical hand-written training loop: PIL transforms for every image, a DataLoader, fp32, an unfused optimizer.

This is the baseline for regstudy's speed, so it is written as well as such loops usually are: images are in memory, the
number of loading processes is the one that is fastest here, and nothing is computed twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

HALF = (0.5, 0.5, 0.5)


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images H×W×C in memory with their labels, transformed one by one."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, transform: Callable[[Image.Image], Tensor]) -> None:
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def training_transform(side: int, crop: int, rotate: float = 0.0, flip: float = 0.0, shift: int = 4) -> Any:
    """Rotation by up to some degrees, a random window of the image or of its reflected surroundings, a mirror."""
    steps: list[Any] = [transforms.RandomRotation(rotate)] if rotate else []
    padding = 0 if crop < side else shift
    steps += [transforms.RandomCrop(crop, padding=padding, padding_mode="reflect")] if crop < side or padding else []
    steps += [transforms.RandomHorizontalFlip(flip)] if flip else []
    return transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(HALF, HALF)])


def evaluation_transform(crop: int) -> Any:
    """The centre of the image."""
    return transforms.Compose([transforms.CenterCrop(crop), transforms.ToTensor(), transforms.Normalize(HALF, HALF)])


def loader(images: Tensor, labels: Tensor, transform: Any, batch: int, shuffle: bool, workers: int) -> DataLoader[Any]:
    """Batches of uint8 images N×C×H×W."""
    pictures = Pictures(images.permute(0, 2, 3, 1).contiguous().numpy(), labels.numpy(), transform)
    return DataLoader(pictures, batch, shuffle=shuffle, num_workers=workers, persistent_workers=workers > 0)


def train_epoch(
    model: nn.Module, batches: DataLoader[Any], optimizer: torch.optim.Optimizer, l1: float = 0.0
) -> tuple[float, float]:
    """Mean loss and accuracy while training, with an L1 penalty added to the loss as people do."""
    criterion = nn.CrossEntropyLoss()
    model.train()
    loss_sum, correct, seen = 0.0, 0, 0
    for images, labels in batches:
        optimizer.zero_grad()
        outputs = model(images)
        loss = criterion(outputs, labels)
        if l1:
            loss = loss + l1 * sum(weight.abs().sum() for weight in model.parameters())
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(labels)
        correct += (outputs.argmax(1) == labels).sum().item()
        seen += len(labels)
    return loss_sum / seen, correct / seen


@torch.no_grad()
def validate(model: nn.Module, batches: DataLoader[Any]) -> tuple[float, float]:
    """Mean loss and accuracy in evaluation mode."""
    criterion = nn.CrossEntropyLoss(reduction="sum")
    model.eval()
    loss_sum, correct, seen = 0.0, 0, 0
    for images, labels in batches:
        outputs = model(images)
        loss_sum += criterion(outputs, labels).item()
        correct += (outputs.argmax(1) == labels).sum().item()
        seen += len(labels)
    return loss_sum / seen, correct / seen


def fastest_workers(make: Callable[[int], DataLoader[Any]], train: Callable[[DataLoader[Any]], object]) -> int:
    """Which of 0, 1 or 2 loading processes trains an epoch fastest here, the start of the processes left out."""

    def seconds(workers: int) -> float:
        batches = make(workers)
        train(batches)
        began = time.perf_counter()
        train(batches)
        return time.perf_counter() - began

    return min((0, 1, 2), key=seconds)
