"""The runs of one trial: one, or with k-fold cross-validation one per fold, and how they are summed up.

A fold is a run on its own parts with its own seed. Its result is kept on disk when it ends, so that a trial that is
interrupted later resumes in the fold where it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regstudy.config.run_config import RunConfig
from regstudy.data.fold_split import fold
from regstudy.data.image_set import Splits
from regstudy.files.file_store import DISK, FileStore
from regstudy.records import (
    EpochRecord,
    GroupCounts,
    Reliability,
    RunResult,
    dump_records,
    dump_reliability,
    mean_record,
    parse_records,
    parse_reliability,
    pool_reliabilities,
    sum_groups,
)
from regstudy.space.seeds import fold_seed
from regstudy.text import counted
from regstudy.training.checkpoint import Checkpoint, FinishedRun
from regstudy.training.run import Trained


@dataclass(frozen=True)
class RunOfTrial:
    """What a trial trains once: a configuration, its images, and where its checkpoint and its result are kept.

    ``fold`` counts from 1; it is 0 for the only run of a trial without folds, whose result is not kept on disk.
    """

    fold: int
    config: RunConfig
    splits: Splits
    checkpoint: Checkpoint
    finished: FinishedRun | None = None


@dataclass(frozen=True)
class Ended:
    """How a run of a trial ended. The weights are those of its best epoch; a fold's are not kept."""

    result: RunResult
    confusions: dict[str, list[list[int]]]
    weights: dict[str, Tensor] | None = None
    groups: dict[str, GroupCounts] = field(default_factory=dict)
    reliability: Reliability | None = None

    @property
    def best(self) -> EpochRecord | None:
        """The record of its best epoch."""
        return self.result.records[self.result.best_epoch - 1] if self.result.best_epoch else None


def runs_of_trial(config: RunConfig, splits: Splits, path: Path, files: FileStore = DISK) -> Iterator[RunOfTrial]:
    """The runs of a trial in their order; ``path`` is the file of its checkpoint."""
    if not splits.folds:
        yield RunOfTrial(0, config, splits, Checkpoint(path, files))
    for number in range(1, splits.folds + 1):
        own = config.replaced({"training.seed": fold_seed(config.training.seed, number)})
        places = (path.with_suffix(f".fold{number}{kind}.pt") for kind in ("", ".finished"))
        checkpoint, finished = Checkpoint(next(places), files), FinishedRun(next(places), files)
        yield RunOfTrial(number, own, fold(splits, number), checkpoint, finished)


def remove_files(path: Path, files: FileStore = DISK) -> None:
    """Delete the checkpoints and results of a trial's runs, given the file of its checkpoint."""
    for name in files.names(path.parent):
        if name == path.name or fnmatch(name, f"{path.stem}.fold*.pt"):
            files.remove(path.with_name(name))


def finish_run(run: RunOfTrial, trained: Trained, device: torch.device) -> Ended:
    """How a run ended; that of a fold is written to disk, and its checkpoint is no longer needed."""
    if run.finished is None:
        return _of_run(trained, trained.weights)
    ended = _of_run(trained, None)
    run.finished.save(run.config, run.splits, device, _plain(ended))
    run.checkpoint.remove()
    return ended


def _of_run(trained: Trained, weights: dict[str, Tensor] | None) -> Ended:
    return Ended(trained.result, trained.confusions, weights, trained.groups, trained.state.best_reliability)


def earlier_end(run: RunOfTrial, device: torch.device) -> Ended | None:
    """How a fold ended in an earlier attempt at its trial; None if it did not."""
    kept = run.finished.load(run.config, run.splits, device) if run.finished else None
    return None if kept is None else _ended(kept)


def summed_up(ended: Sequence[Ended], pruned: str = "") -> Ended:
    """A trial from its runs: the only one as it is, or the means over the best epochs of several folds.

    ``pruned`` is the reason if no further fold is run. Epochs and weights are those of the first fold, so a trial with
    folds has none of the latter.
    """
    first, last = ended[0].result, ended[-1].result
    if len(ended) == 1 and not pruned:
        return ended[0]
    outcome, reason = last.outcome, f"in fold {len(ended)}: {last.reason}"
    if pruned:
        outcome, reason = "pruned", pruned
    elif outcome in ("finished", "stopped"):
        early = sum(one.result.outcome == "stopped" for one in ended)
        outcome = "stopped" if early else "finished"
        reason = f"trained {counted(len(ended), 'fold')}, of which early stopping ended {early or 'none'}"
    usable = [one for one in ended if one.best is not None]
    value = math.fsum(one.result.best_value for one in usable) / len(usable) if usable else first.best_value
    epoch = first.best_epoch if usable else 0
    result = replace(first, outcome=outcome, reason=reason, best_epoch=epoch, best_value=value)
    sure = [one.reliability for one in ended if one.reliability is not None]
    return Ended(
        result,
        _sums([one.confusions for one in ended]),
        groups={
            part: sum_groups([one.groups[part] for one in ended if part in one.groups]) for part in ended[0].groups
        },
        reliability=pool_reliabilities(sure) if sure else None,
    )


def mean_best(ended: Sequence[Ended]) -> EpochRecord | None:
    """The mean over runs of the records of their best epochs."""
    found = [one.best for one in ended if one.best is not None]
    return found[0] if len(found) == 1 else mean_record(found) if found else None


def _sums(found: Sequence[dict[str, list[list[int]]]]) -> dict[str, list[list[int]]]:
    """The sum of confusion matrices, by part."""
    parts = dict.fromkeys(part for one in found for part in one)
    return {part: torch.tensor([one[part] for one in found if part in one]).sum(0).tolist() for part in parts}


def _plain(ended: Ended) -> dict[str, Any]:
    result = ended.result
    return {
        "outcome": result.outcome,
        "reason": result.reason,
        "best_epoch": result.best_epoch,
        "best_value": result.best_value,
        "records": dump_records(result.records),
        "confusions": ended.confusions,
        "groups": {part: vars(counts) for part, counts in ended.groups.items()},
        "reliability": dump_reliability(ended.reliability) if ended.reliability else None,
    }


def _ended(kept: dict[str, Any]) -> Ended:
    """Inverse of `_plain`."""
    records = tuple(parse_records(kept["records"]))
    outcome, reason, best_epoch, best_value = (kept[k] for k in ("outcome", "reason", "best_epoch", "best_value"))
    groups = {part: GroupCounts(**counts) for part, counts in kept["groups"].items()}
    reliability = parse_reliability(kept["reliability"]) if kept["reliability"] else None
    result = RunResult(outcome, reason, best_epoch, best_value, records)
    return Ended(result, kept["confusions"], None, groups, reliability)
