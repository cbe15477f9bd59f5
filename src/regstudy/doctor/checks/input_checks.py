"""Inputs: are they normalized, in the same way in both parts, and in the same way for every image?"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from regstudy.doctor.findings import Finding, Pixels, Result, Severity
from regstudy.text import counted

INPUT_SIZE_DISTORTS, INPUT_SIZE_BLOCKS = (
    6.0,
    25.0,
)  # standard deviation or mean of the inputs
MIN_INPUT_STD = 0.02  # inputs with a smaller standard deviation are nearly constant
NORMALIZATION_DISTORTS, NORMALIZATION_BLOCKS = (
    0.05,
    0.5,
)  # difference between the parts, in standard deviations of the inputs
MIN_STRETCHED_SHARE = 0.5  # of the images that are divided by their own maximum
MAX_STRETCHED_FROM = 250  # highest original maximum for which stretching to 0..255 is detected
MAX_STRETCH_IMAGES = 200
MIN_DISTINCT_VALUES = 16  # an image with fewer different values is not judged


def scale(train: Tensor, normalized: bool = True) -> Result:
    """Whether inputs (float N×C×H×W, as the network gets them) are finite and about of unit size.

    ``normalized`` says that a `preprocessing` section can fix it.
    """
    if not bool(train.isfinite().all()):
        return Result(
            "Some inputs are NaN or infinite.",
            (
                Finding(
                    "inputs-not-finite",
                    "inputs",
                    "blocks",
                    "Some inputs are NaN or infinite.",
                    (f"{int((~train.isfinite()).sum()):,} of {train.numel():,} values are NaN or infinite.",),
                    "Look for a division by zero in the normalization (a constant channel, a black image).",
                ),
            ),
        )
    mean, std = float(train.mean()), float(train.std())
    low, high = float(train.min()), float(train.max())
    looked = f"Inputs have mean {mean:.2f} and standard deviation {std:.2f}; they range from {low:.2f} to {high:.2f}."
    changes = {"preprocessing.normalize": "train"} if normalized else {}
    if std > INPUT_SIZE_DISTORTS or abs(mean) > INPUT_SIZE_DISTORTS:
        severity: Severity = "blocks" if max(std, abs(mean)) > INPUT_SIZE_BLOCKS else "distorts"
        sentence = "Inputs are not normalized: their values are too large for the model."
        if low >= 0 and 100 < high <= 255:
            sentence = "Inputs are not normalized: the model gets raw pixel values from 0 to 255."
        return Result(looked, (_scale_finding(severity, sentence, looked, changes),))
    if std < MIN_INPUT_STD:
        sentence = "Inputs are nearly constant: the model gets almost the same value everywhere."
        return Result(
            looked, (_scale_finding("blocks" if std < MIN_INPUT_STD / 10 else "distorts", sentence, looked, changes),)
        )
    return Result(looked)


def _scale_finding(severity: Severity, sentence: str, looked: str, changes: dict[str, str]) -> Finding:
    return Finding(
        "inputs-unscaled",
        "inputs",
        severity,
        sentence,
        (
            looked,
            "Default weight initialization and learning rates assume inputs with mean 0 and standard deviation 1.",
        ),
        "Normalize with the training mean and standard deviation: `preprocessing.normalize: train`.",
        "certain",
        changes,
    )


def alike(
    train: Tensor, validation: Tensor, train_levels: Tensor | None, levels: Tensor | None, pixels_differ: bool = False
) -> Result:
    """Whether both parts are normalized in the same way: inputs float N×C×H×W, and per part the inputs of the pixel
    values 0 and 255 (C×2) where they are known.

    With levels the normalization itself is compared. Without them, means and standard deviations are compared,
    which also differ where the pixels do: ``pixels_differ`` says that the pixels are known to differ.
    """
    spread = train.std((0, 2, 3)).clamp(min=1e-6)
    if train_levels is not None and levels is not None:
        apart = ((train_levels - levels).abs() / spread[:, None]).amax(1)
        # of a part without black or white pixels the levels are known up to a shift, which the parts' means would show
        what = "the inputs that black and white pixels map to"
        values = "; ".join(
            f"channel {c + 1}: {a[0]:.2f} to {a[1]:.2f} in training, {b[0]:.2f} to {b[1]:.2f} in validation"
            for c, (a, b) in enumerate(zip(train_levels.tolist(), levels.tolist(), strict=True))
        )
        worst = float(apart.max())
    else:
        if pixels_differ:
            return Result("Normalization could not be compared because the pixels of the two parts differ.")
        center = (train.mean((0, 2, 3)) - validation.mean((0, 2, 3))).abs() / spread
        ratio = (validation.std((0, 2, 3)) / spread).log().abs()
        count = min(len(train), len(validation))
        chance = 4 / count**0.5  # images differ in brightness by about the spread of their pixels
        worst = float(torch.maximum(center, ratio).max())
        worst = worst if worst > chance else 0.0
        what, values = (
            "means and standard deviations of the inputs",
            (
                f"means {_numbers(train.mean((0, 2, 3)))} and {_numbers(validation.mean((0, 2, 3)))},"
                f" standard deviations {_numbers(spread)} and {_numbers(validation.std((0, 2, 3)))}"
            ),
        )
    looked = f"Compared {what}: {values}."
    if worst < NORMALIZATION_DISTORTS:
        return Result(looked)
    return Result(
        looked,
        (
            Finding(
                "normalization-differs",
                "inputs",
                "blocks" if worst >= NORMALIZATION_BLOCKS else "distorts",
                "Training and validation images are normalized differently.",
                (f"Comparing {what}, the parts differ by {worst:.2f} standard deviations: {values}.",),
                "Use the same preprocessing for both parts, with the mean and standard deviation of the training part"
                " (`preprocessing.normalize: train`).",
                "certain" if train_levels is not None and levels is not None else "likely",
            ),
        ),
    )


def _numbers(values: Tensor) -> str:
    return ", ".join(f"{value:.2f}" for value in values.tolist())


def stretched(images: Tensor, inputs: Tensor) -> Result:
    """Whether each image was divided by its own maximum: uint8 N×C×H×W, and inputs float N×C×h×w of the same images.

    The values of an 8-bit image that ended at m and was stretched to 255 leave gaps: they lie on m + 1 evenly spaced
    levels. Inputs that were divided as floats have a spacing of their own in each image.
    """
    chosen = images[:MAX_STRETCH_IMAGES].flatten(1).numpy()
    ends = [end for pixels in chosen if (end := _stretched_from(pixels)) is not None]
    judged = sum(len(np.unique(pixels)) >= MIN_DISTINCT_VALUES for pixels in chosen)
    spacings = [spacing for image in inputs[:MAX_STRETCH_IMAGES] if (spacing := _spacing(image)) is not None]
    looked = f"Checked the pixel values of {counted(judged, 'image')}: {len(ends)} seem to be rescaled individually to"
    looked += " the full range."
    uneven = len(spacings) >= 10 and np.std(spacings) / np.mean(spacings) > 0.02
    share = max(len(ends) / judged if judged else 0.0, float(uneven))
    if share < MIN_STRETCHED_SHARE or (len(set(ends)) < 3 and not uneven):
        return Result(looked)
    evidence = [looked]
    if ends:
        evidence.append(f"Their original maxima were {min(ends)} to {max(ends)}; now they are 255.")
    if uneven:
        evidence.append(
            f"Depending on the image, one gray level is {min(spacings):.4f} to {max(spacings):.4f} in the inputs."
        )
    return Result(
        looked,
        (
            Finding(
                "stretched-each",
                "inputs",
                "distorts",
                "Each image is divided by its own maximum, so brightness is not comparable between images.",
                tuple(evidence),
                "Divide all images by the same number (255), then normalize with the training mean and standard"
                " deviation (`preprocessing.normalize: train`).",
                "very likely",
                {},
            ),
        ),
    )


def _stretched_from(pixels: Pixels) -> int | None:
    """The maximum m that an image's pixels had before they were stretched to 255, if they were."""
    values = np.unique(pixels)
    if values[-1] != 255 or len(values) < MIN_DISTINCT_VALUES:
        return None
    fitting = np.flatnonzero(_levels()[:, :, values].all(2).any(0)) + MIN_DISTINCT_VALUES
    fitting = fitting[(fitting + 1 >= len(values)) & (255 % fitting != 0)]
    return int(fitting[0]) if len(fitting) else None


@cache
def _levels() -> npt.NDArray[np.bool_]:
    """Values 0..255 that occur if pixels 0..m are stretched to 0..255: by rounding or truncation, by m, by value."""
    allowed = np.zeros((2, MAX_STRETCHED_FROM + 1 - MIN_DISTINCT_VALUES, 256), np.bool_)
    for place, end in enumerate(range(MIN_DISTINCT_VALUES, MAX_STRETCHED_FROM + 1)):
        whole = np.arange(end + 1) * 255 / end
        allowed[0, place, np.round(whole).astype(int)] = True
        allowed[1, place, np.floor(whole + 1e-9).astype(int)] = True
    return allowed


def _spacing(image: Tensor) -> float | None:
    """The distance between adjacent levels of one image's inputs C×H×W, if they lie on a grid from 0 to 1."""
    values = torch.unique(image.flatten().double())
    if len(values) < MIN_DISTINCT_VALUES or abs(float(values[-1]) - 1) > 1e-4 or float(values[0]) < 0:
        return None
    steps = values.diff()
    spacing = float(steps[steps > 1e-5].min())
    count = round(1 / spacing)
    if not 8 <= count <= 255 or float((values * count - (values * count).round()).abs().max()) > 0.02:
        return None
    return 1 / count
