"""The label checks, most specific explanation first, from one fit of the simple classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from regstudy.doctor.checks import label_checks
from regstudy.doctor.checks.simple_model import features, kernel, out_of_fold, predicted
from regstudy.doctor.findings import Result
from regstudy.doctor.parts import Part


def judge_labels(train: Part, validation: Part, names: Sequence[str], count: int) -> Result:
    """The first that applies: misaligned, unrelated, numbered differently, wrong. Each would also cause the later ones.

    At most ``count`` training images are judged.
    """
    positions, asked = train.sample(count), validation.sample(max(count // 4, 200))
    images = torch.cat([train.images[positions], validation.images[asked]])
    labels, classes = train.labels[positions], len(names)
    neighbors = {shift: train.labels[(positions + shift) % len(train)] for shift in label_checks.FILE_SHIFTS}
    similar = kernel(features(images))
    own = similar[: len(positions), : len(positions)]
    groups = _group_numbers(train, positions)
    scores = out_of_fold(own, labels, classes, groups)
    known, others = torch.arange(len(positions)), torch.arange(len(positions), len(images))
    accuracy = float((scores.argmax(1) == labels).float().mean())
    paths = tuple(train.paths[int(at)] for at in positions) if train.paths else ()

    def unrelated() -> Result:
        result = label_checks.unrelated(scores, labels, classes)
        moved = label_checks.shifted(own, neighbors, classes, groups) if result.findings else result
        return moved if moved.findings else result

    def exchanged() -> Result:
        held = validation.labels[asked]
        trained = torch.isin(held, torch.unique(labels))  # classes without training images cannot be predicted
        asked_scores = predicted(similar, torch.cat([labels, held]), classes, known, others[trained])
        return label_checks.exchanged(asked_scores, held[trained], accuracy, names)

    steps: list[Callable[[], Result]] = [
        lambda: label_checks.misaligned(scores, labels, neighbors),
        unrelated,
        exchanged,
        lambda: label_checks.partly_unrelated(scores, labels),
        lambda: label_checks.wrong(scores, labels, train.images[positions], names, paths),
    ]
    seen = []
    for step in steps:
        result = step()
        if result.findings:
            return result
        seen.append(result.examined)
    return Result(" ".join(seen))


def _group_numbers(train: Part, positions: Tensor) -> Tensor | None:
    """The number of the group of each image at some positions, where groups are known."""
    if not train.groups:
        return None
    numbers = {key: number for number, key in enumerate(dict.fromkeys(train.groups))}
    return torch.tensor([numbers[train.groups[int(at)]] for at in positions])
