"""The colors of all charts, by what they mean: the same thing has the same color in every chart.

All are midtones that can be read on a light and on a dark page. Two meanings share a color only where no chart shows
both; lines and symbols differ as well, so that color is never the only difference.
"""

from __future__ import annotations

_BLUE, _ORANGE, _GRAY, _GREEN, _RED = "#3d8fd6", "#e08a1e", "#8a8f98", "#3f9e46", "#d6514a"
_TEAL, _PURPLE, _PINK, _BROWN, _GOLD = "#16998b", "#8f6fc9", "#c2569b", "#a9744f", "#c79a12"

TEXT = _GRAY  # axes, legends and whatever means nothing else

# series of one run
TRAIN, TRAIN_MODE, VALIDATION = _ORANGE, _GRAY, _BLUE
FIRST_EPOCH, LAST_EPOCH, BEST_EPOCH = _GRAY, _BLUE, _GRAY  # of a run's validation accuracy

# arms and kinds of trials
BASELINE, SEARCH = _PURPLE, _TEAL
PRUNED, EXCLUDED, DIVERGED, RUNNING, FAILED = _GRAY, _GRAY, _RED, _BROWN, _RED
FINISHED, STOPPED = _BLUE, _PINK  # their validation curves

# what stands out
BEST = _GOLD  # best so far; the best quarter of trials
SIGNIFICANT, NOT_SIGNIFICANT, THRESHOLD = _GREEN, _GRAY, _RED

# channels of an image
CHANNELS = {"red": _RED, "green": _GREEN, "blue": _BLUE}

# what the doctor draws, by the name of a series
SERIES = {
    "training": TRAIN,
    "validation": VALIDATION,
    "train (eval mode)": TRAIN,
    "before training": _GRAY,
    "after training": _TEAL,
    "gradient": _PURPLE,
    "first update": _TEAL,
}
OTHERS = (_TEAL, _PURPLE, _PINK, _BROWN, _GOLD)  # for series without a meaning of their own


def faint(color: str) -> str:
    """A color as a translucent area."""
    red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},.18)"
