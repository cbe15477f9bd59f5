"""Winner's curse: by how much the best of many noisy trials overstates its own accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from regstudy.analysis.gap import MIN_TRIALS
from regstudy.analysis.share_error import validation_error
from regstudy.study.tables import Tables, best

MONTE_CARLO_DRAWS = 2_000


@dataclass(frozen=True)
class WinnersCurse:
    """By how much the best observed accuracy is expected to overstate that configuration's own; fractions in 0..1."""

    overstatement: float
    standard_error: float  # of one accuracy measured on the validation images, or on their groups
    trials: int


def winners_curse(tables: Tables) -> WinnersCurse | None:
    """The expected overstatement of the best trial; None without a count of images or `MIN_TRIALS` trials.

    None, too, if another metric than accuracy decides: only an accuracy is a count of images with binomial noise. A
    mean over classes, a rank statistic and a loss have other noise, which the stored numbers do not tell.

    Monte Carlo, fixed seed: true values are normal with the observed mean and the observed variance less that of the
    noise, each is measured with noise, and the measured winner's noise is averaged. The noise is that of
    `validation_error` (groups are independent where they are known, else images) but at most the observed spread: all
    trials share their validation images, and what these do to all alike shows in no difference. Being an estimate, it
    leaves out the noise of the training seed and the choice of the best epoch (the truth is larger), and takes the
    images' noise as independent between trials (it is smaller).
    """
    top, images, competing = best(tables), tables.data.get("validation"), tables.eligible()
    countable = isinstance(images, int | float) and images > 0
    if top is None or tables.metric != "val_accuracy" or not tables.maximize or not countable:
        return None
    values = tables.trials.loc[competing, "value"].to_numpy(dtype=float)
    accuracy = float(top["value"])
    if len(values) < MIN_TRIALS or not 0 <= accuracy <= 1:
        return None
    found = validation_error(tables, int(top["number"]))
    error = found.standard_error if found else math.sqrt(accuracy * (1 - accuracy) / float(images or 1))
    spread = float(values.std(ddof=1))
    noise = min(error, spread)
    rng = np.random.default_rng(0)
    true = rng.normal(0, math.sqrt(spread**2 - noise**2), (MONTE_CARLO_DRAWS, len(values)))
    noises = rng.normal(0, noise, true.shape)
    won = (true + noises).argmax(axis=1)
    return WinnersCurse(float(noises[np.arange(MONTE_CARLO_DRAWS), won].mean()), error, len(values))
