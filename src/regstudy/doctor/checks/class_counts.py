"""The classes of a split: on both sides, in similar proportions, balanced, and enough of each?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy  # scipy.stats is loaded where it is first used: it takes a third of a second
import torch
from torch import Tensor

from regstudy.analysis.constant_answer import constant_value
from regstudy.doctor.findings import Chart, Finding, Result, Severity
from regstudy.text import counted

PER_CLASS_DISTORTS, PER_CLASS_BLOCKS = 15, 6  # training images per class
MIN_VALIDATION_IMAGES = 50  # fewer distort results
IMBALANCE_NOTED, IMBALANCE_DISTORTS = 1.5, 4.0  # ratio of the largest to the smallest class
MIN_SHARE_DIFFERENCE = 0.15  # total variation distance between the class proportions of the parts
Balance = Literal["none", "set", "searched"]  # whether training balances the classes


def class_counts(
    train: Tensor,
    validation: Tensor,
    names: Sequence[str],
    balance: Balance = "none",
    decides: str = "val_accuracy",
    folds: int = 0,
) -> Result:
    """Classes that are missing on one side, in different proportions, imbalanced or too few; labels N of both parts.

    ``balance`` says whether `training.balance` is set or searched, ``decides`` by which metric a study decides.
    With ``folds``, the parts are those of the first.
    """
    counts = [torch.bincount(part, minlength=len(names)).numpy() for part in (train, validation)]
    chart = Chart(
        "class-counts",
        f"Training images per class: {_between(counts[0])}",
        "class",
        "images",
        {
            part: (tuple(names), tuple(float(count) for count in column))
            for part, column in zip(("training", "validation"), counts, strict=True)
        },
        kind="bars",
    )
    found = [
        *_missing(counts, names),
        *_shares(counts, names),
        *_unequal(counts, names, balance, decides),
        *_few(counts, names, folds),
    ]
    looked = (
        f"{len(names)} classes with {int(counts[0].min())} to {int(counts[0].max())} training and"
        f" {int(counts[1].min())} to {int(counts[1].max())} validation images each."
    )
    return Result(looked, tuple(found), (chart,))


def _between(counts: np.ndarray) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _missing(counts: Sequence[np.ndarray], names: Sequence[str]) -> list[Finding]:
    lacking = [
        (part, [names[int(at)] for at in np.flatnonzero((own == 0) & (other > 0))])
        for part, own, other in (("training", counts[0], counts[1]), ("validation", counts[1], counts[0]))
    ]
    lacking = [(part, missing) for part, missing in lacking if missing]
    if not lacking:
        return []
    evidence = [
        f"Missing from the {part} part: {', '.join(missing[:8])} ({len(missing)} of {len(names)} classes)."
        for part, missing in lacking
    ]
    return [
        Finding(
            "class-missing",
            "split",
            "blocks",
            "Classes are missing from one side of the split, as happens when sorted data is split without shuffling.",
            tuple(evidence),
            "Use a stratified, shuffled split; `data.validation` makes one.",
        )
    ]


def _shares(counts: Sequence[np.ndarray], names: Sequence[str]) -> list[Finding]:
    """Classes whose proportions differ between the parts by more than chance."""
    both = np.stack(counts)[:, np.sum(counts, axis=0) > 0]
    shares = both / both.sum(1, keepdims=True)
    apart = float(np.abs(shares[0] - shares[1]).sum() / 2)
    if apart < MIN_SHARE_DIFFERENCE or both.shape[1] < 2 or scipy.stats.chi2_contingency(both).pvalue > 1e-3:
        return []
    worst = int(np.abs(shares[0] - shares[1]).argmax())
    kept = [name for name, total in zip(names, np.sum(counts, axis=0), strict=True) if total]
    return [
        Finding(
            "class-shares",
            "split",
            "distorts",
            "Class proportions differ between the training and validation parts.",
            (
                f"Total variation distance {apart:.0%}; the largest difference is in {kept[worst]}:"
                f" {shares[0][worst]:.1%} of training, {shares[1][worst]:.1%} of validation.",
            ),
            "Use a stratified split (`data.validation` makes one), or resample the parts to equal class proportions.",
        )
    ]


def _unequal(counts: Sequence[np.ndarray], names: Sequence[str], balance: Balance, decides: str) -> list[Finding]:
    own, held = counts
    if own.min() == 0:
        return []
    ratio = float(own.max() / own.min())
    chance = 3 * (2 / own.mean()) ** 0.5  # of a ratio between equal classes, three standard deviations
    if ratio < max(IMBALANCE_NOTED, 1 + chance):
        return []
    severity: Severity = "distorts" if ratio >= IMBALANCE_DISTORTS and balance == "none" else "note"
    most, least = names[int(own.argmax())], names[int(own.argmin())]
    guess = constant_value("val_accuracy", held.tolist() if held.sum() else own.tolist())
    compare = f"Compare every validation accuracy with {guess:.1%}: that is what always giving one answer scores"
    advice = {
        "none": f"Balance classes in training only (`training.balance: weights`). {compare}.",
        "searched": f"`training.balance` is searched, which answers whether balancing helps. {compare}, and balancing"
        " may cost accuracy.",
        "set": f"`training.balance` is set. {compare}, and balancing may cost accuracy.",
    }[balance]
    if decides == "val_accuracy":
        advice += " Balanced accuracy counts every class equally (`study.metric: balanced_accuracy`)."
    return [
        Finding(
            "imbalance",
            "split",
            severity,
            f"Classes are imbalanced: {most} has {ratio:.1f} times as many training images as {least}.",
            (
                f"{int(own.max())} against {int(own.min())} training images. Always predicting"
                f" {names[int(held.argmax())] if held.sum() else most} gives {guess:.1%} validation accuracy.",
            ),
            advice,
            "certain",
            {"training.balance": "weights"} if balance == "none" else {},
        )
    ]


def _few(counts: Sequence[np.ndarray], names: Sequence[str], folds: int) -> list[Finding]:
    own, held = counts
    found = []
    if own.sum() and own.mean() < PER_CLASS_DISTORTS:
        severity: Severity = "blocks" if own.mean() < PER_CLASS_BLOCKS else "distorts"
        found.append(
            Finding(
                "few-per-class",
                "split",
                severity,
                f"There are only {counted(round(float(own.mean())), 'training image')} per class: too few to learn"
                f" {len(names)} classes.",
                (f"{int(own.sum())} training images in {len(names)} classes; the smallest has {int(own.min())}.",),
                "Use more images, fewer classes, or pretrained weights (`model.weights`). Regularization cannot replace"
                " data.",
            )
        )
    total = int(held.sum() + (own.sum() if folds else 0))  # with folds, every image is validated on once
    error = 100 * (0.25 / max(total, 1)) ** 0.5
    if total < MIN_VALIDATION_IMAGES:
        found.append(
            Finding(
                "few-to-validate",
                "split",
                "distorts",
                f"{counted(total, 'validation image')}: too few to detect a difference between two settings.",
                (f"The standard error of an accuracy is up to {error:.1f} points.",),
                "Use more validation images (`data.validation`), or run the study again with other splits"
                " (`data.split_seed`).",
            )
        )
    return found
