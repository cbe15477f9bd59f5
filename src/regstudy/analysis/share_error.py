"""The error of a share of right answers, such as an accuracy, where the images come in independent groups.

Images of one patient or one slide are right or wrong together, so they count for less than as many independent ones.
The variance is that of a ratio estimator with the groups as its units (Cochran, Sampling Techniques, 1977), the
design effect is that variance relative to the binomial one (Kish, Survey Sampling, 1965), and quantiles are those of
Student's t with groups − 1 degrees of freedom. Limits are on the logit scale, since Wilson's fall below 93 % coverage
at 20 groups of 15, accuracy 0.9 and ICC 0.3; tests/analysis/test_share_error.py simulates them. Without groups the
limits are Wilson's (JASA 22, 1927).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import scipy  # scipy.stats is loaded where it is first used: it takes a third of a second
from numpy.typing import NDArray
from scipy.special import expit

from regstudy.records import GroupCounts, Tally
from regstudy.study.tables import Tables

CONFIDENCE = 0.95
MIN_GROUPS = 2  # a single group says nothing about others


@dataclass(frozen=True)
class ShareError:
    """A share of right answers (0..1), its standard error and 95 % limits.

    ``design_effect`` is the variance relative to as many independent images; at least 1, and 1 without ``groups``.
    """

    value: float
    standard_error: float
    low: float
    high: float
    images: int
    groups: int | None = None
    design_effect: float = 1.0


def share_error(right: float, images: int, design_effect: float = 1.0) -> ShareError:
    """Of images that are independent, or whose design effect is known: Wilson's limits. NaN without images."""
    if not images:
        return ShareError(math.nan, math.nan, math.nan, math.nan, 0)
    value, effective = right / images, images / design_effect
    z = float(scipy.stats.norm.ppf((1 + CONFIDENCE) / 2))
    center = (value + z * z / (2 * effective)) / (1 + z * z / effective)
    half = z / (1 + z * z / effective) * math.sqrt(value * (1 - value) / effective + (z / effective) ** 2 / 4)
    error = math.sqrt(value * (1 - value) / effective)
    return ShareError(value, error, max(center - half, 0), min(center + half, 1), images, None, design_effect)


def grouped_error(counts: Tally) -> ShareError | None:
    """Of images in groups; None with fewer than two groups.

    The variance is taken as no smaller than that of independent images: with few groups, a smaller one is chance. If
    all answers are right or all are wrong, nothing shows how alike a group's images are, so each group counts once, and
    the limits are Wilson's.
    """
    sizes, right, times = (np.array(column, dtype=float) for column in (counts.images, counts.right, counts.times))
    groups, images = int(times.sum()), float((times * sizes).sum())
    if groups < MIN_GROUPS or not images:
        return None
    value = float((times * right).sum()) / images
    binomial = value * (1 - value) / images
    alike = float((times * sizes**2).sum()) / images  # the design effect if a group's answers are all the same
    variance = groups / (groups - 1) * float((times * (right - value * sizes) ** 2).sum()) / images**2
    effect = max(1.0, variance / binomial if binomial else alike)
    if not binomial:
        return replace(share_error(value * images, round(images), effect), groups=groups)
    t = float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, groups - 1))
    logit, spread = math.log(value / (1 - value)), t * math.sqrt(effect / (images * value * (1 - value)))
    low, high = (float(expit(end)) for end in (logit - spread, logit + spread))
    return ShareError(value, math.sqrt(binomial * effect), low, high, round(images), groups, effect)


def validation_error(tables: Tables, number: int) -> ShareError | None:
    """The error of a trial's validation accuracy at its best epoch; None without counts."""
    return part_error(tables.confusion(number).get("validation"), tables.group_counts(number).get("validation"))


def part_error(
    matrix: NDArray[np.int64] | None, counts: GroupCounts | Tally | None, label: int | None = None
) -> ShareError | None:
    """The error of the accuracy in one part, or of the recall of one class: by groups if they are known.

    The images of a single group count as one image. None without counts.
    """
    if counts is not None and (label is None or isinstance(counts, GroupCounts)):
        tally = counts.tally(label) if isinstance(counts, GroupCounts) else counts
        if found := grouped_error(tally):
            return found
        if sum(tally.times) == 1 and tally.images[0]:
            return replace(share_error(tally.right[0], tally.images[0], tally.images[0]), groups=1)
    if matrix is None:
        return None
    if label is None:
        return share_error(float(matrix.trace()), int(matrix.sum())) if matrix.sum() else None
    whole = part_error(matrix, counts)  # of very many groups, classes are not known
    effect = whole.design_effect if whole else 1.0
    return share_error(float(matrix[label, label]), int(matrix[label].sum()), effect)
