"""Statistics of ranks that the gap analysis needs: pure functions of numbers."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import scipy  # scipy.stats is loaded where it is first used: it takes a third of a second
from numpy.typing import NDArray

SIGNIFICANCE_LEVEL = 0.05  # of every test, after correction for the number of tests


def rank(values: pd.Series) -> NDArray[np.float64] | None:
    """Ranks of a setting; None if it is not numeric everywhere or does not vary."""
    numbers = pd.to_numeric(values, errors="coerce")
    return None if numbers.isna().any() or numbers.nunique() < 2 else np.asarray(scipy.stats.rankdata(numbers))


def partial_spearman(
    strength: NDArray[np.float64] | None,
    gaps: NDArray[np.float64] | None,
    others: list[NDArray[np.float64]],
    min_trials: int,
) -> tuple[float, float, int]:
    """Rank correlation adjusted for ``others``, its p-value (t with n - 2 - k degrees), and the trials needed.

    ``strength``, ``gaps`` and each of ``others`` hold ranks, one per trial; ``min_trials``: trials needed without
    adjustment. Each adjustment variable needs one more.
    """
    needed = min_trials + len(others)
    if strength is None or gaps is None or len(gaps) < needed:
        return math.nan, math.nan, needed
    design = np.column_stack([np.ones(len(gaps)), *others])
    left, right = (y - design @ np.linalg.lstsq(design, y, rcond=None)[0] for y in (strength, gaps))
    scale = math.sqrt(float(left @ left) * float(right @ right))
    degrees = len(gaps) - 1 - int(np.linalg.matrix_rank(design))
    if scale < 1e-9 * len(gaps) or degrees < 1:  # the strength is a mixture of the others
        return math.nan, math.nan, needed
    rho = float(np.clip(left @ right / scale, -1, 1))
    if abs(rho) > 1 - 1e-12:
        return rho, 0.0, needed
    return rho, float(2 * scipy.stats.t.sf(abs(rho) * math.sqrt(degrees / (1 - rho * rho)), degrees)), needed


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down adjustment; NaN stays NaN and does not count as a test."""
    order = sorted((p, i) for i, p in enumerate(p_values) if math.isfinite(p))
    adjusted = [math.nan] * len(p_values)
    running = 0.0
    for rank, (p, i) in enumerate(order):
        running = max(running, min(1.0, p * (len(order) - rank)))
        adjusted[i] = running
    return adjusted


def expected_best(values: NDArray[np.float64], draws: int, *, maximize: bool) -> float:
    """Mean of the best of ``draws`` values drawn without replacement: what more attempts gain by luck alone.

    Exact, from order statistics: the i-th smallest of n is the maximum with probability C(i-1, k-1) / C(n, k).
    """
    usable = np.sort(values[np.isfinite(values)] * (1 if maximize else -1))
    n = len(usable)
    if not 0 < draws <= n:
        return math.nan
    i = np.arange(n - 1, draws - 1, -1)  # each weight from the one above: w(i - 1) = w(i) (i - k + 1) / i
    weights = draws / n * np.cumprod(np.concatenate([[1.0], (i - draws + 1) / i]))[::-1]
    return float(np.dot(weights, usable[draws - 1 :])) * (1 if maximize else -1)
