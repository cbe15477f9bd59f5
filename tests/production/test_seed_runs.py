"""Which of several seeds is kept, and which seeds they are."""

from __future__ import annotations

import math

import pytest
from tiny import make_config, make_splits

from regstudy.production.seed_runs import SeedRun, SeedRuns, fixed_words
from regstudy.records import RunResult
from regstudy.space.seeds import final_seed, fold_seed
from regstudy.training.fixed_run import PhaseLength


def ended(number: int, value: float, epoch: int = 1) -> SeedRun:
    return SeedRun(number, number, RunResult("finished", "", epoch, value, ()), {}, "fp32")


# the metric, the best value of each seed (None: it diverged), held out or not; the number of the one that is kept
KEPT: dict[str, tuple[str, list[float | None], bool, int | None]] = {
    "the best": ("val_accuracy", [0.7, 0.9, 0.8], True, 2),
    "the smallest loss": ("val_loss", [0.7, 0.9, 0.3], True, 3),
    "the first of equal ones": ("val_accuracy", [0.7, 0.9, 0.9], True, 2),
    "none that diverged": ("val_accuracy", [None, 0.2, 0.1], True, 2),
    "all diverged": ("val_accuracy", [None, None], True, None),
    "the first without validation": ("val_accuracy", [math.nan, math.nan], False, 1),
    "the first that is usable": ("val_accuracy", [None, math.nan], False, 2),
}


@pytest.mark.parametrize("case", KEPT)
def test_the_kept_one_is_chosen_by_validation(case: str) -> None:
    metric, values, held_out, wanted = KEPT[case]
    runs = [ended(n, math.nan, 0) if v is None else ended(n, v) for n, v in enumerate(values, start=1)]
    found = SeedRuns(runs, make_splits(), None if held_out else ended(0, 0.5))
    kept = found.kept(make_config({"training.metric": metric}))
    assert (kept.number if kept else None) == wanted


def test_the_seeds_differ_from_each_other_and_from_those_of_folds() -> None:
    seeds = [final_seed(5, number) for number in range(1, 101)]
    assert seeds[0] == 5 and len(set(seeds)) == 100
    assert not set(seeds) & {fold_seed(5, number) for number in range(1, 101)}


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"name": "cosine"}, "The schedule stays that of the 3 epochs planned"),
        ({"name": "plateau"}, "drops in the epochs in which it dropped there"),
    ],
)
def test_what_fixes_the_epochs_is_told(schedule: dict[str, str], words: str) -> None:
    text = fixed_words(make_config({"schedule": schedule}), (PhaseLength(0, 2, ()),))
    assert "Epochs on both parts: 2, because epoch 2 was the best by validation accuracy." in text and words in text


def test_the_epochs_of_phases_are_told() -> None:
    config = make_config({"phases": [{"training": {"epochs": 3}}, {"training": {"epochs": 4}}]})
    text = fixed_words(config, (PhaseLength(0, 2, ()), PhaseLength(1, 4, ())))
    assert "6 (phase 1: 2, phase 2: 4), up to the best epoch of each phase" in text and "7 epochs planned" in text
