"""The split: are all classes on both sides, in similar proportions, large enough, and from the same source?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy  # scipy.stats is loaded where it is first used: it takes a third of a second
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from regstudy.analysis.constant_answer import constant_value
from regstudy.data.near_duplicates import digests
from regstudy.doctor.findings import Chart, Finding, Result, Severity
from regstudy.text import counted

PER_CLASS_DISTORTS, PER_CLASS_BLOCKS = 15, 6  # training images per class
MIN_VALIDATION_IMAGES = 50  # fewer distort results
IMBALANCE_NOTED, IMBALANCE_DISTORTS = 1.5, 4.0  # ratio of the largest to the smallest class
MIN_SHARE_DIFFERENCE = 0.15  # total variation distance between the class proportions of the parts
PART_AUC_DISTORTS, PART_AUC_BLOCKS = 0.60, 0.95  # ROC AUC of a classifier that separates the parts
MAX_IMAGES_PER_PART = 2_000  # whose statistics are compared
PART_FOLDS, PART_RIDGE = 5, 0.02
Balance = Literal["none", "set", "searched"]  # whether training balances the classes
PIXEL_BINS = np.linspace(0, 255, 52)


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


def parts_apart(train: Tensor, validation: Tensor, train_labels: Tensor, labels: Tensor) -> Result:
    """Whether a classifier can tell the two parts (uint8 N×C×H×W) apart by color, contrast and sharpness.

    Both parts are first sampled to the same number of images per class. The classifier is a ridge regression on image
    statistics, evaluated by its cross-validated ROC AUC: 0.5 if the parts have the same source.
    """
    left, right = _same_classes(train_labels, labels)
    if len(left) < 30:
        return Result("Skipped: too few images of the same classes to compare the parts.")
    own, other = train[left], validation[right]
    described = [statistics(part) for part in (own, other)]
    area = separation_auc(*described)
    error = (1 / (6 * len(left))) ** 0.5  # of the AUC between equal parts (Mann-Whitney)
    worst, difference, values = _most_different(*described)
    chart = _brightness(own, other, area)
    looked = (
        f"A classifier separates the parts by color, contrast and sharpness with ROC AUC {area:.2f} (0.5 is chance)."
    )
    if area - 3 * error < 0.5 or area < PART_AUC_DISTORTS:
        return Result(looked, (), (chart,))
    severity: Severity = "blocks" if area >= PART_AUC_BLOCKS else "distorts"
    finding = Finding(
        "parts-differ",
        "split",
        severity,
        "Training and validation images look different: they have different sources or were processed differently.",
        (
            f"A classifier on simple image statistics separates the parts with ROC AUC {area:.2f}"
            f" (0.5 is chance; standard error {error:.2f}).",
            f"Largest difference: {worst} is {values[0]:.1f} in training, {values[1]:.1f} in validation"
            f" ({difference:+.2f} standard deviations).",
        ),
        "Find out what differs (camera, stain, compression, resizing, channel order). If both parts come from one"
        " collection, make a new split (`data.validation`). If the difference is real, validate on data like that of"
        " deployment, and report it.",
        "very likely",
    )
    return Result(looked, (finding,), (chart,))


def _same_classes(train: Tensor, validation: Tensor) -> tuple[Tensor, Tensor]:
    """Positions in both parts, with the same number of images of each class."""
    generator = torch.Generator().manual_seed(0)
    left, right = [], []
    for label in torch.unique(train).tolist():
        ours, theirs = (train == label).nonzero()[:, 0], (validation == label).nonzero()[:, 0]
        count = min(len(ours), len(theirs))
        left.append(ours[torch.randperm(len(ours), generator=generator)[:count]])
        right.append(theirs[torch.randperm(len(theirs), generator=generator)[:count]])
    pairs = torch.cat(left), torch.cat(right)
    chosen = torch.randperm(len(pairs[0]), generator=generator)[:MAX_IMAGES_PER_PART]
    return pairs[0][chosen], pairs[1][chosen]


COLOR_CHANNELS = ("red", "green", "blue")


def statistics(images: Tensor) -> dict[str, np.ndarray]:
    """Statistics of each of N uint8 images, by name: mean, standard deviation and quantiles of channels, sharpness."""
    pixels = images.float()
    names = COLOR_CHANNELS if images.shape[1] == 3 else tuple(f"channel {c + 1}" for c in range(images.shape[1]))
    found = {}
    for channel, name in enumerate(names):
        flat = pixels[:, channel].flatten(1)
        found[f"mean {name}"], found[f"{name} standard deviation"] = flat.mean(1), flat.std(1)
        low, high = flat.quantile(torch.tensor([0.02, 0.98]), dim=1)
        found[f"{name} 2nd percentile"], found[f"{name} 98th percentile"] = low, high
    gray = pixels.mean(1, keepdim=True)
    steps = (gray[..., 1:] - gray[..., :-1]).abs().flatten(1)
    found["sharpness"] = steps.mean(1)
    coarse = avg_pool2d(gray, 2) if min(gray.shape[-2:]) >= 4 else gray
    found["fine detail"] = (steps.mean(1) + 0.1) / ((coarse[..., 1:] - coarse[..., :-1]).abs().flatten(1).mean(1) + 0.1)
    if len(names) == 3:
        found["colorfulness"] = (pixels.amax(1) - pixels.amin(1)).flatten(1).mean(1)
    return {name: values.double().numpy() for name, values in found.items()}


def separation_auc(own: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """Cross-validated ROC AUC of a ridge regression that separates two sets of images."""
    table = np.concatenate([np.stack(list(part.values()), 1) for part in (own, other)])
    table = (table - table.mean(0)) / (table.std(0) + 1e-9)
    table = np.concatenate([table, table**2 - 1], 1)
    first = len(next(iter(own.values())))
    target = np.where(np.arange(len(table)) < first, -1.0, 1.0)
    fold = np.random.default_rng(0).permutation(len(table)) % PART_FOLDS
    scores = np.zeros(len(table))
    for number in range(PART_FOLDS):
        known = fold != number
        gram = table[known].T @ table[known] + PART_RIDGE * known.sum() * np.eye(table.shape[1])
        scores[~known] = table[~known] @ np.linalg.solve(gram, table[known].T @ target[known])
    areas = []
    for number in range(PART_FOLDS):  # scores of different folds are not comparable
        ranks, theirs = scipy.stats.rankdata(scores[fold == number]), target[fold == number] > 0
        count, rest = int(theirs.sum()), int((~theirs).sum())
        if count and rest:
            areas.append((ranks[theirs].sum() - count * (count + 1) / 2) / (count * rest))
    return float(np.mean(areas)) if areas else 0.5


def _most_different(own: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> tuple[str, float, tuple[float, float]]:
    differences = {
        name: (other[name].mean() - values.mean()) / (np.concatenate([values, other[name]]).std() + 1e-9)
        for name, values in own.items()
    }
    worst = max(differences, key=lambda name: abs(differences[name]))
    return worst, float(differences[worst]), (float(own[worst].mean()), float(other[worst].mean()))


def _brightness(own: Tensor, other: Tensor, area: float) -> Chart:
    """The distributions of the pixels of both parts, by channel."""
    series = {}
    names = (
        COLOR_CHANNELS if own.shape[1] == 3 else ("",) if own.shape[1] == 1 else tuple(map(str, range(own.shape[1])))
    )
    middles = tuple((PIXEL_BINS[:-1] + PIXEL_BINS[1:]) / 2)
    for part, images in (("training", own), ("validation", other)):
        for channel, name in enumerate(names):
            counts = np.histogram(images[:500, channel].numpy(), PIXEL_BINS)[0]
            series[f"{part} {name}".strip()] = (middles, tuple((counts / counts.sum()).tolist()))
    title = f"Pixel values; a classifier separates the parts with ROC AUC {area:.2f} (0.5 is chance)"
    return Chart("parts-differ", title, "pixel value", "share of pixels", series)


def validation_is_test(validation: Tensor, test: Tensor) -> Result:
    """Whether validation and test part (uint8 N×C×H×W) share pixel-identical images; labels are not read."""
    known = set(digests(test))
    shared = sum(digest in known for digest in digests(validation))
    share = shared / max(len(validation), 1)
    looked = (
        f"{len(validation)} validation and {len(test)} test images: {shared} validation images are also test images."
    )
    if not shared or share < 0.01:
        return Result(looked)
    return Result(
        looked,
        (
            Finding(
                "validation-is-test",
                "split",
                "blocks" if share >= 0.05 else "distorts",
                f"{share:.0%} of the validation images are also test images, so the test result would be biased.",
                (looked,),
                "Take validation images from the training part (`data.validation`), and keep the test part for last.",
            ),
        ),
    )
