"""Which weights stay on disk."""

from __future__ import annotations

from pathlib import Path

import optuna
import torch
from optuna.trial import FrozenTrial, TrialState, create_trial
from safetensors.torch import load_file

from regstudy.files.file_store import Disk
from regstudy.search.stored_weights import BEST_TRIALS_KEPT, drop_weights, keep_weights, weights_path, worth_keeping
from regstudy.study import attributes


def ranked(*arms: str) -> list[FrozenTrial]:
    trials = [create_trial(state=TrialState.COMPLETE, value=0.5, user_attrs={attributes.ARM: arm}) for arm in arms]
    for number, trial in enumerate(trials):
        trial.number = number
    return trials


def test_the_best_few_and_the_best_baseline_are_worth_keeping() -> None:
    assert worth_keeping(ranked("search", "search", "search", "search", "baseline", "baseline")) == {0, 1, 2, 4}
    assert worth_keeping(ranked("baseline", "search", "search", "baseline")) == {0, 1, 2}
    assert worth_keeping([]) == set()
    assert BEST_TRIALS_KEPT == 3


def test_weights_come_back_as_they_were(tmp_path: Path) -> None:
    weights = {"w": torch.randn(3, 4, 2, 2).to(memory_format=torch.channels_last), "n": torch.tensor(3)}
    keep_weights(tmp_path, 1, weights)
    loaded = load_file(weights_path(tmp_path, 1))
    assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())


def test_only_the_best_and_those_still_running_stay(tmp_path: Path) -> None:
    study = optuna.create_study(direction="maximize")
    for value in (0.1, 0.2, 0.3, 0.4):
        study.add_trial(create_trial(state=TrialState.COMPLETE, value=value, user_attrs={attributes.ARM: "search"}))
    study.add_trial(create_trial(state=TrialState.PRUNED, value=0.9))
    study.add_trial(create_trial(state=TrialState.RUNNING))
    for number in range(6):
        keep_weights(tmp_path, number, {"w": torch.zeros(1)})
    drop_weights(tmp_path, study)
    assert sorted(path.name for path in (tmp_path / "weights").iterdir()) == [
        f"trial_{number:05d}.safetensors" for number in (1, 2, 3, 5)
    ]


class Memory(Disk):
    """A store whose files lie elsewhere: under another folder than the one that is named."""

    def __init__(self, real: Path) -> None:
        self.real = real

    def write(self, path: Path, content: bytes) -> None:
        super().write(self.real / path.relative_to("/there"), content)

    def remove(self, path: Path) -> None:
        super().remove(self.real / path.relative_to("/there"))

    def names(self, folder: Path) -> list[str]:
        return super().names(self.real / folder.relative_to("/there"))


def test_weights_in_a_store_that_is_elsewhere_are_kept_and_dropped_there(tmp_path: Path) -> None:
    study, files, there = optuna.create_study(direction="maximize"), Memory(tmp_path), Path("/there")
    for number, value in enumerate((0.1, 0.2, 0.3, 0.4)):
        study.add_trial(create_trial(state=TrialState.COMPLETE, value=value, user_attrs={attributes.ARM: "search"}))
        keep_weights(there, number, {"w": torch.zeros(1)}, files)
    drop_weights(there, study, files)
    assert files.names(there / "weights") == [f"trial_{number:05d}.safetensors" for number in (1, 2, 3)]
    assert not there.exists()
