"""How often train accuracy (eval mode) is measured: it must not cost much, but is exact where it is used.

Validation decides; the training images in eval mode only explain. With few training images, evaluating them takes up to
a fifth of the time. So they are evaluated in every epoch that is the best so far, in the last one, and otherwise only
every few epochs. All of this follows from the records, so an interrupted run that is resumed measures the same epochs.
"""

from __future__ import annotations

from collections.abc import Sequence

from regstudy.records import EpochRecord

MOST = 0.05  # of the work of an epoch
TRAINING_WORK = 3  # of one image: forward once, backward twice as much; evaluation is 1


def epochs_between(trained: int, clean_train: int, validation: int) -> int:
    """The fewest epochs between two evaluations of the clean part that keep it within `MOST` of all work.

    Decided by the numbers of images alone, so that it is the same on every machine.
    """
    others = TRAINING_WORK * trained + validation
    every = 1
    while clean_train / every > MOST * (others + clean_train / every):
        every += 1
    return every


def epochs_since(records: Sequence[EpochRecord]) -> int:
    """Epochs after the last one with clean training; all of them if there is none."""
    since = 0
    for record in reversed(records):
        if record.has_clean_train:
            break
        since += 1
    return since
