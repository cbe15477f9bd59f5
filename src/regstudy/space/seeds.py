"""Every seed of a study follows from the study's own seed and from what the run is for."""

from __future__ import annotations

import numpy as np


def split_seed(study_seed: int) -> int:
    """The seed of the split that all trials of a study share: on one split their values can be compared."""
    return int(np.random.SeedSequence(study_seed).generate_state(1)[0])


def training_seed(study_seed: int, slot: int) -> int:
    """The training seed of a slot of a search, the same at every attempt."""
    return int(np.random.SeedSequence([study_seed, slot]).generate_state(1)[0])


def repeat_seed(study_seed: int, repeat: int) -> int:
    """The training seed of a repeat, in every arm; none that a trial of a search with the same study seed had."""
    return int(np.random.SeedSequence(study_seed, spawn_key=(repeat,)).generate_state(1)[0])
