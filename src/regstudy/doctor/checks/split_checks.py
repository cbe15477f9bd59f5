"""The parts of a split: do they come from the same source, and is the test part apart from them?"""

from __future__ import annotations

import numpy as np
import scipy  # scipy.stats is loaded where it is first used: it takes a third of a second
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from regstudy.data.near_duplicates import digests
from regstudy.doctor.findings import Chart, Finding, Result, Severity

PART_AUC_DISTORTS, PART_AUC_BLOCKS = 0.60, 0.95  # ROC AUC of a classifier that separates the parts
MAX_IMAGES_PER_PART = 2_000  # whose statistics are compared
PART_FOLDS, PART_RIDGE = 5, 0.02
PIXEL_BINS = np.linspace(0, 255, 52)
COLOR_CHANNELS = ("red", "green", "blue")


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
