"""Weights on disk: those of the best few trials and of the best baseline."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState
from safetensors.torch import save
from torch import Tensor

from regstudy.files.file_store import DISK, FileStore
from regstudy.study import attributes
from regstudy.study.ranking import usable_trials

BEST_TRIALS_KEPT = 3


def folders_of_runs(folder: Path) -> tuple[Path, Path]:
    """The folders of weights and of checkpoints within a study's folder."""
    return folder / "weights", folder / "checkpoints"


def weights_path(folder: Path, number: int) -> Path:
    """Where the weights of a trial are kept within a study's folder."""
    return folder / "weights" / f"trial_{number:05d}.safetensors"


def worth_keeping(ranked: Sequence[FrozenTrial], others: Sequence[FrozenTrial] = ()) -> set[int]:
    """Numbers of the trials whose weights are kept, given usable ones with the best first.

    ``others`` has those as well that a limit on the gap does not allow to win; the best baseline may be one of them.
    """
    baseline = [trial for trial in others or ranked if trial.user_attrs.get(attributes.ARM) == "baseline"]
    return {trial.number for trial in [*ranked[:BEST_TRIALS_KEPT], *baseline[:1]]}


def keep_weights(folder: Path, number: int, weights: dict[str, Tensor], files: FileStore = DISK) -> None:
    """Write a trial's weights."""
    files.write(weights_path(folder, number), save({name: t.contiguous() for name, t in weights.items()}))


def drop_weights(folder: Path, study: optuna.Study, files: FileStore = DISK) -> list[FrozenTrial]:
    """Remove weights that are not kept, including half-written ones; those of running trials stay.

    Returns the study's trials, which it has read for this.
    """
    weights = folder / "weights"
    names = files.names(weights)  # before asking which trials run
    trials = study.get_trials(deepcopy=False)
    running = {trial.number for trial in trials if trial.state == TrialState.RUNNING}
    ranked, others = (usable_trials(study, limited=limited, trials=trials) for limited in (True, False))
    wanted = running | worth_keeping(ranked, others)
    for name in names:
        number = number_in(name)
        if number is None or ".safetensors" not in name:
            continue  # something of the user's
        if number not in wanted or (name.startswith(".") and number not in running):
            files.remove(weights / name)
    return trials


def drop_checkpoints(folder: Path, finished: Collection[int]) -> None:
    """Remove checkpoints that killed processes left behind for slots that are finished by now."""
    for path in (folder / "checkpoints").glob("*ticket_*.pt*"):
        if number_in(path.name) in finished:
            path.unlink(missing_ok=True)


def number_in(name: str) -> int | None:
    """The number of the trial or slot in the name of its file, which half-written files share; None for other files."""
    found = re.match(r"\.?(?:trial|ticket)_(\d{5,})\.", name)
    return int(found[1]) if found else None
