"""Every seed of a study is derived from the study's seed and the purpose of the run."""

from __future__ import annotations

import numpy as np


def split_seed(study_seed: int) -> int:
    """The seed of the split that all trials of a study share: only on one split are their values comparable."""
    return int(np.random.SeedSequence(study_seed).generate_state(1)[0])


def training_seed(study_seed: int, slot: int) -> int:
    """The training seed of a slot of a search, the same at every attempt."""
    return int(np.random.SeedSequence([study_seed, slot]).generate_state(1)[0])


def repeat_seed(study_seed: int, repeat: int) -> int:
    """The training seed of a repeat, the same in every arm; differs from those of a search with this study seed."""
    return int(np.random.SeedSequence(study_seed, spawn_key=(repeat,)).generate_state(1)[0])


def round_seeds(study_seed: int, round_: int, purpose: int = 1) -> tuple[int, int]:
    """The training seed and the split seed of a round (from 1), which no run of the search has used.

    ``purpose`` is 1 for confirmation and 2 for an ablation, which must not reuse what has chosen the winner, nor what
    has chosen the learning rates of its arms: 3; and 4 for a pilot, which decides only how much is run.
    """
    training, split = np.random.SeedSequence([study_seed, round_], spawn_key=(purpose,)).generate_state(2)
    return int(training), int(split)


def fold_seed(training_seed: int, fold: int) -> int:
    """The training seed of a fold (from 1) of a trial, given the seed of the trial's slot or repeat."""
    return int(np.random.SeedSequence(training_seed, spawn_key=(fold,)).generate_state(1)[0])


def final_seed(training_seed: int, number: int) -> int:
    """The training seed of a final training (from 1) on one split; the first is the configuration's own."""
    if number == 1:
        return training_seed
    return int(np.random.SeedSequence(training_seed, spawn_key=(3, number)).generate_state(1)[0])
