"""Texts about calibration: the error with its noise floor, its direction, and what is known to soften confidence."""

from __future__ import annotations

from regstudy.analysis.calibration import Calibration
from regstudy.config.run_config import RunConfig
from regstudy.report.phrasing import listing

SOFTENERS = {  # settings that train a network to be less sure, with their names in texts
    "label_smoothing": "label smoothing",
    "mixup": "mixup",
    "cutmix": "CutMix",
}


def calibration_words(found: Calibration) -> str:
    """``ECE 3.1% (noise floor 1.9%), Brier score 0.213``."""
    return f"ECE {found.ece:.1%} (noise floor {found.noise_floor:.1%}), Brier score {found.brier:.3f}"


def direction_words(found: Calibration, config: RunConfig) -> str:
    """Whether the model is too sure or not sure enough, and which of its settings explain the latter."""
    if not found.off:
        return "Chance alone can explain this calibration error."
    points = f"{100 * abs(found.overconfidence):.1f} points"
    if found.overconfidence >= 0:
        return f"The mean confidence is {points} above the accuracy: the model is too sure of its answers."
    soft = softened_by(config)
    why = f" {listing(soft)[0].upper()}{listing(soft)[1:]} can cause this." if soft else ""
    return f"The mean confidence is {points} below the accuracy: the model is not sure enough of its answers.{why}"


def softened_by(config: RunConfig) -> list[str]:
    """The settings of a run that make a network less sure, with their values, such as `label smoothing 0.1`."""
    found = {}
    for phase in config.in_phases():
        for name, words in SOFTENERS.items():
            if value := getattr(phase.regularization, name):
                found[name] = f"{words} {value:g}"
    return list(found.values())
