"""Calibration of the arms of a comparison at their best epochs: spreads over the seeds, and paired differences.

The differences are those of `regstudy.analysis.arm_statistics`, tested together on their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from regstudy.analysis.arm_statistics import Comparison, Difference, Spread, compare_arms, spread
from regstudy.analysis.calibration import Calibration, calibration
from regstudy.records import Reliability, pool_reliabilities

CALIBRATION_OUTCOMES = ("ece_best", "brier_best")


@dataclass(frozen=True)
class ArmCalibration:
    """ECE, its noise floor and the Brier score over the seeds of an arm, and all of its images ``together``.

    ``off`` of its ``runs`` have an ECE larger than chance explains; ``overconfidence`` is the mean.
    """

    name: str
    runs: int
    off: int
    spreads: Mapping[str, Spread]  # `ece_best`, `noise_floor_best` and `brier_best`
    overconfidence: float
    together: Reliability


@dataclass(frozen=True)
class CalibrationComparison:
    """The arms that have a usable run, and every other arm's differences from the first."""

    arms: list[ArmCalibration]
    differences: list[Difference]

    @property
    def moved(self) -> list[Difference]:
        """The differences that are significant."""
        return [difference for difference in self.differences if difference.verdict in ("higher", "lower")]


def compare_calibration(found: Comparison) -> CalibrationComparison | None:
    """The calibration of every arm; None if no run has stored what it takes, as before version 0.2."""
    known = [number for number in found.runs["number"] if number in found.reliabilities]
    if not known:
        return None
    measured = {number: calibration(found.reliabilities[number]) for number in known}
    rows = found.runs[found.runs["number"].isin(known)].assign(
        ece_best=[measured[number].ece for number in known],
        noise_floor_best=[measured[number].noise_floor for number in known],
        brier_best=[measured[number].brier for number in known],
    )
    arms = [
        _arm(str(name), mine, measured, found.reliabilities)
        for name in found.plan.arms
        if len(mine := rows[rows["arm"] == name])
    ]
    differences = compare_arms(rows, list(found.plan.arms), found.margin, outcomes=CALIBRATION_OUTCOMES)
    return CalibrationComparison(arms, differences)


def _arm(
    name: str, rows: pd.DataFrame, measured: Mapping[int, Calibration], stored: Mapping[int, Reliability]
) -> ArmCalibration:
    mine = [measured[number] for number in rows["number"]]
    return ArmCalibration(
        name=name,
        runs=len(mine),
        off=sum(one.off for one in mine),
        spreads={name: spread(rows[name]) for name in ("ece_best", "noise_floor_best", "brier_best")},
        overconfidence=sum(one.overconfidence for one in mine) / len(mine),
        together=pool_reliabilities([stored[number] for number in rows["number"]]),
    )
