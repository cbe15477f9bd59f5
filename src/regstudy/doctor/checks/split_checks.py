"""The split: are all classes on both sides, in like shares and numbers, and do both sides come from one source?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import chi2_contingency, rankdata
from torch import Tensor
from torch.nn.functional import avg_pool2d

from regstudy.data.near_duplicates import digests
from regstudy.doctor.findings import Chart, Finding, Result, Severity

PER_CLASS_DISTORTS, PER_CLASS_BLOCKS = 15, 6  # training images per class
MIN_VALIDATION_IMAGES = 50  # validation images
IMBALANCE_NOTED, IMBALANCE_DISTORTS = 1.5, 4.0  # largest class against the smallest
MIN_SHARE_DIFFERENCE = 0.15  # total variation between the class shares of the parts
PART_AUC_DISTORTS, PART_AUC_BLOCKS = 0.60, 0.95  # area under the curve with which the parts can be told apart
MAX_IMAGES_PER_PART = 2_000  # images of each part whose statistics are compared
PART_FOLDS, PART_RIDGE = 5, 0.02
PIXEL_BINS = np.linspace(0, 255, 52)


def class_counts(train: Tensor, validation: Tensor, names: Sequence[str], balanced: bool = False) -> Result:
    """Classes that are missing on one side, in other shares, unequal or too few; labels N of both parts.

    ``balanced`` tells that training evens out classes, as `training.balance` does.
    """
    counts = [torch.bincount(part, minlength=len(names)).numpy() for part in (train, validation)]
    chart = Chart(
        "class-counts",
        f"Images per class: {int(counts[0].min())} to {int(counts[0].max())} in training",
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
        *_unequal(counts, names, balanced),
        *_few(counts, names),
    ]
    looked = (
        f"{len(names)} classes: {int(counts[0].min())} to"
        f" {int(counts[0].max())} training and {int(counts[1].min())} to {int(counts[1].max())} validation images each."
    )
    return Result(looked, tuple(found), (chart,))


def _missing(counts: Sequence[np.ndarray], names: Sequence[str]) -> list[Finding]:
    lacking = [
        (part, [names[int(at)] for at in np.flatnonzero((own == 0) & (other > 0))])
        for part, own, other in (("training", counts[0], counts[1]), ("validation", counts[1], counts[0]))
    ]
    lacking = [(part, missing) for part, missing in lacking if missing]
    if not lacking:
        return []
    evidence = [
        f"Not in the {part} part: {', '.join(missing[:8])} ({len(missing)} of {len(names)})."
        for part, missing in lacking
    ]
    return [
        Finding(
            "class-missing",
            "split",
            "blocks",
            "Classes are missing from one side of the split, as when data are cut in two without shuffling.",
            tuple(evidence),
            "Shuffle before splitting, class by class: leave the split to `data.validation`, which does.",
        )
    ]


def _shares(counts: Sequence[np.ndarray], names: Sequence[str]) -> list[Finding]:
    """Classes whose shares differ between the parts by more than chance."""
    both = np.stack(counts)[:, np.sum(counts, axis=0) > 0]
    shares = both / both.sum(1, keepdims=True)
    apart = float(np.abs(shares[0] - shares[1]).sum() / 2)
    if apart < MIN_SHARE_DIFFERENCE or both.shape[1] < 2 or chi2_contingency(both).pvalue > 1e-3:
        return []
    worst = int(np.abs(shares[0] - shares[1]).argmax())
    kept = [name for name, total in zip(names, np.sum(counts, axis=0), strict=True) if total]
    return [
        Finding(
            "class-shares",
            "split",
            "distorts",
            "The classes have other shares in the validation part than in the training part.",
            (
                f"{apart:.0%} of the images would have to change class; most of all {kept[worst]}:"
                f" {shares[0][worst]:.1%} in training, {shares[1][worst]:.1%} in validation.",
            ),
            "Split class by class: leave the split to `data.validation`, or bring the parts to like shares.",
        )
    ]


def _unequal(counts: Sequence[np.ndarray], names: Sequence[str], balanced: bool) -> list[Finding]:
    own = counts[0]
    if own.min() == 0:
        return []
    ratio = float(own.max() / own.min())
    chance = 3 * (2 / own.mean()) ** 0.5  # of a ratio between equal classes, three standard deviations
    if balanced or ratio < max(IMBALANCE_NOTED, 1 + chance):
        return []
    severity: Severity = "distorts" if ratio >= IMBALANCE_DISTORTS else "note"
    most, least = names[int(own.argmax())], names[int(own.argmin())]
    guess = own.max() / own.sum()
    return [
        Finding(
            "imbalance",
            "split",
            severity,
            f"Classes are unequal: {ratio:.1f} times as many of {most} as of {least}.",
            (
                f"{int(own.max())} and {int(own.min())} training images; answering always {most} is right for"
                f" {guess:.0%} of them.",
            ),
            f"Balance in training only: `training.balance: weights`; compare accuracies with the {guess:.0%} of a"
            " constant answer.",
            "certain",
            {"training.balance": "weights"},
        )
    ]


def _few(counts: Sequence[np.ndarray], names: Sequence[str]) -> list[Finding]:
    own, held = counts
    found = []
    if own.sum() and own.mean() < PER_CLASS_DISTORTS:
        severity: Severity = "blocks" if own.mean() < PER_CLASS_BLOCKS else "distorts"
        found.append(
            Finding(
                "few-per-class",
                "split",
                severity,
                f"There are only {own.mean():.0f} training images per class, too few to learn {len(names)} classes.",
                (f"{int(own.sum())} training images in {len(names)} classes; the smallest has {int(own.min())}.",),
                "More images, fewer classes, or weights from a larger data set (`model.weights`); regularization cannot"
                " replace examples.",
            )
        )
    total = int(held.sum())
    error = 100 * (0.25 / max(total, 1)) ** 0.5
    if total < MIN_VALIDATION_IMAGES:
        found.append(
            Finding(
                "few-to-validate",
                "split",
                "distorts",
                f"With {total} validation images no difference between two settings can be seen.",
                (f"One accuracy has a standard error of up to {error:.1f} points.",),
                "Validate on more (`data.validation`), or compare with repeats on fresh splits (`regstudy compare`).",
            )
        )
    return found


def parts_apart(train: Tensor, validation: Tensor, train_labels: Tensor, labels: Tensor) -> Result:
    """Whether the two parts (uint8 N×C×H×W) can be told apart by colours, contrast and sharpness.

    Both parts are first brought to the same number of images of each class. The classifier is a ridge regression on the
    statistics of each image, judged out of fold by the area under its curve: 0.5 if the parts have one source.
    """
    left, right = _same_classes(train_labels, labels)
    if len(left) < 30:
        return Result("Too few images of like classes to compare the parts.")
    own, other = train[left], validation[right]
    described = [statistics(part) for part in (own, other)]
    area = told_apart(*described)
    error = (1 / (6 * len(left))) ** 0.5  # of the area between equal parts (Mann-Whitney)
    worst, difference, values = _most_different(*described)
    chart = _brightness(own, other, area)
    looked = f"The parts can be told apart by colour, contrast and sharpness: area under the curve {area:.2f}."
    if area - 3 * error < 0.5 or area < PART_AUC_DISTORTS:
        return Result(looked, (), (chart,))
    severity: Severity = "blocks" if area >= PART_AUC_BLOCKS else "distorts"
    finding = Finding(
        "parts-differ",
        "split",
        severity,
        "Training and validation images look different: they come from other sources or were processed otherwise.",
        (
            f"By a few statistics of an image one can tell its part with an area under the curve of {area:.2f}"
            f" (0.5: not at all; standard error {error:.2f}).",
            f"The largest difference is in {worst}: {values[0]:.1f} in training, {values[1]:.1f} in validation"
            f" ({difference:+.2f} standard deviations).",
        ),
        "Find out what differs (camera, stain, compression, resizing, order of colours). If both come from one"
        " collection, split it anew (`data.validation`); if the difference is real, validate on what will be met in"
        " use and say so.",
        "very likely",
    )
    return Result(looked, (finding,), (chart,))


def _same_classes(train: Tensor, validation: Tensor) -> tuple[Tensor, Tensor]:
    """Positions in both parts, as many of each class in one as in the other."""
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
    """What is told of each of N uint8 images, by name: means and spreads of channels, quantiles, and sharpness."""
    pixels = images.float()
    names = COLOR_CHANNELS if images.shape[1] == 3 else tuple(f"channel {c + 1}" for c in range(images.shape[1]))
    found = {}
    for channel, name in enumerate(names):
        flat = pixels[:, channel].flatten(1)
        found[f"mean {name}"], found[f"spread of {name}"] = flat.mean(1), flat.std(1)
        low, high = flat.quantile(torch.tensor([0.02, 0.98]), dim=1)
        found[f"darkest {name}"], found[f"brightest {name}"] = low, high
    grey = pixels.mean(1, keepdim=True)
    steps = (grey[..., 1:] - grey[..., :-1]).abs().flatten(1)
    found["sharpness"] = steps.mean(1)
    coarse = avg_pool2d(grey, 2) if min(grey.shape[-2:]) >= 4 else grey
    found["fine detail"] = (steps.mean(1) + 0.1) / ((coarse[..., 1:] - coarse[..., :-1]).abs().flatten(1).mean(1) + 0.1)
    if len(names) == 3:
        found["colourfulness"] = (pixels.amax(1) - pixels.amin(1)).flatten(1).mean(1)
    return {name: values.double().numpy() for name, values in found.items()}


def told_apart(own: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """Area under the curve with which a ridge regression tells two sets of images apart, out of fold."""
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
        ranks, theirs = rankdata(scores[fold == number]), target[fold == number] > 0
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
    title = f"Brightness of the pixels: parts can be told apart with an area of {area:.2f} (0.5: not at all)"
    return Chart("parts-differ", title, "pixel value", "share of pixels", series)


def validation_is_test(validation: Tensor, test: Tensor) -> Result:
    """Whether validation and test part (uint8 N×C×H×W) share images, to the pixel; labels are not looked at."""
    known = set(digests(test))
    shared = sum(digest in known for digest in digests(validation))
    share = shared / max(len(validation), 1)
    looked = f"{len(validation)} validation and {len(test)} test images: {shared} in both."
    if not shared or share < 0.01:
        return Result(looked)
    return Result(
        looked,
        (
            Finding(
                "validation-is-test",
                "split",
                "blocks" if share >= 0.05 else "distorts",
                f"{share:.0%} of the validation images are test images: the test figure would be chosen, not measured.",
                (looked,),
                "Take validation images from the training part (`data.validation`), and keep the test part closed.",
            ),
        ),
    )
