"""The trainings behind one model: one per seed, each with its own checkpoint, so that any of them can be interrupted.

A training that has ended is kept on disk until all results are written. An interruption at any moment costs what was
done since the last checkpoint, and the results are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regstudy.config.run_config import RunConfig
from regstudy.config.schema import Plateau
from regstudy.data.fold_split import with_validation_trained
from regstudy.data.image_set import Splits
from regstudy.data.loading_events import Notice, OnProgress
from regstudy.metrics import metric
from regstudy.production.training_request import TrainingRequest
from regstudy.records import RunResult, dump_records, parse_records
from regstudy.space.seeds import final_seed
from regstudy.text import counted
from regstudy.training.checkpoint import Checkpoint, FinishedRun
from regstudy.training.fixed_run import PhaseLength, lengths_until_best, run_fixed
from regstudy.training.loop import OnStep
from regstudy.training.run import OnEpoch, Trained, run


@dataclass(frozen=True)
class SeedRun:
    """A training that has ended: its number (from 1), its seed, its result and the weights that it keeps."""

    number: int
    seed: int
    result: RunResult
    weights: dict[str, Tensor]
    precision: str

    @property
    def usable(self) -> bool:
        """Whether there are weights worth keeping."""
        return self.result.best_epoch > 0


@dataclass(frozen=True)
class SeedRuns:
    """All trainings of a request on the same images. ``lengths`` were fixed by the training ``before`` them, if any."""

    runs: list[SeedRun]
    splits: Splits  # what they were trained on
    before: SeedRun | None = None
    lengths: tuple[PhaseLength, ...] = ()

    def kept(self, config: RunConfig) -> SeedRun | None:
        """The best one by validation, or without validation images the first; None if all diverged."""
        usable = [one for one in self.runs if one.usable]
        if self.before is not None or not usable:
            return usable[0] if usable else None
        of, best = metric(config.training.metric), usable[0]
        for one in usable[1:]:
            if of.better(one.result.best_value, best.result.best_value):
                best = one
        return best


@dataclass(frozen=True)
class Trainer:
    """Trains a configuration with any seed; ``folder`` holds the checkpoints."""

    config: RunConfig
    splits: Splits
    device: torch.device
    folder: Path
    on_epoch: OnEpoch | None = None
    on_step: OnStep | None = None
    listen: OnProgress | None = None

    def all_seeds(self, request: TrainingRequest) -> SeedRuns:
        """Train as often as requested, or take up what an interrupted call has left."""
        if request.holds_out:
            runs = [self._train(number, request.seeds, self.splits, None) for number in range(1, request.seeds + 1)]
            return SeedRuns(runs, self.splits)
        self._tell(f"First a training on the training part alone, to fix the epochs ({self._parts()}).")
        before = self._train(0, 1, self.splits, None)
        splits = with_validation_trained(self.splits)
        if not before.usable:
            return SeedRuns([before], self.splits)
        lengths = tuple(lengths_until_best(self.config, before.result.records))
        self._tell(fixed_words(self.config, lengths))
        runs = [self._train(number, request.seeds, splits, lengths) for number in range(1, request.seeds + 1)]
        return SeedRuns(runs, splits, before, lengths)

    def _train(self, number: int, of: int, splits: Splits, lengths: tuple[PhaseLength, ...] | None) -> SeedRun:
        """One training; number 0 is the one that only fixes the epochs."""
        seed = final_seed(self.config.training.seed, max(number, 1))
        config = self.config.replaced({"training.seed": seed})
        finished = FinishedRun(self._place(number, "finished."))
        kept = finished.load(config, splits, self.device)
        if kept is not None:
            return _restored(number, seed, kept)
        if of > 1:
            self._tell(f"Seed {number} of {of} (training.seed {seed}):")
        checkpoint = Checkpoint(self._place(number))
        if lengths is None:
            trained = run(config, splits, self.device, self.on_epoch, self.on_step, checkpoint)
        else:
            trained = run_fixed(config, splits, self.device, lengths, self.on_epoch, self.on_step, checkpoint)
        result = _plain(trained)
        finished.save(config, splits, self.device, result)
        checkpoint.remove()
        return _restored(number, seed, result)

    def _place(self, number: int, kind: str = "") -> Path:
        which = "" if number == 1 and not kind else f"seed{number}."
        return self.folder / f"checkpoint.{which}{kind}pt"

    def _parts(self) -> str:
        return f"{counted(len(self.splits.train), 'image')}, {len(self.splits.validation):,} held out"

    def _tell(self, text: str) -> None:
        if self.listen is not None:
            self.listen(Notice(text))


def fixed_words(config: RunConfig, lengths: tuple[PhaseLength, ...]) -> str:
    """Why the training on both parts takes as many epochs as it does, and what its schedule does."""
    return " ".join(_fixed_sentences(config, lengths))


def _fixed_sentences(config: RunConfig, lengths: tuple[PhaseLength, ...]) -> Iterator[str]:
    epochs, label = sum(one.epochs for one in lengths), metric(config.training.metric).label
    if config.phases:
        each = ", ".join(f"phase {one.phase + 1}: {one.epochs}" for one in lengths)
        yield f"Epochs on both parts: {epochs} ({each}), up to the best epoch of each phase by validation {label}."
    else:
        yield f"Epochs on both parts: {epochs}, because epoch {epochs} was the best by validation {label}."
    planned = counted(config.planned_epochs, "epoch")
    if any(isinstance(one.schedule, Plateau) for one in config.in_phases()):
        yield "The learning rate drops in the epochs in which it dropped there: nothing is held out to decide it."
    else:
        yield f"The schedule stays that of the {planned} planned, so every epoch has the learning rate it had there."
    yield "No early stopping; the last epoch is kept. More images per epoch mean more steps per epoch."


def _plain(trained: Trained) -> dict[str, Any]:
    result = trained.result
    return {
        "outcome": result.outcome,
        "reason": result.reason,
        "best_epoch": result.best_epoch,
        "best_value": result.best_value,
        "records": dump_records(result.records),
        "weights": {name: tensor.contiguous() for name, tensor in trained.weights.items()},
        "precision": trained.state.precision,
    }


def _restored(number: int, seed: int, kept: dict[str, Any]) -> SeedRun:
    records = tuple(parse_records(kept["records"]))
    result = RunResult(kept["outcome"], kept["reason"], kept["best_epoch"], kept["best_value"], records)
    return SeedRun(number, seed, result, kept["weights"], kept["precision"])
