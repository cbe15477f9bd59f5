"""A run without a validation part: its length and its learning rates come from an earlier run that had one.

Nothing can choose an epoch here, so each phase trains for as many epochs as the earlier run needed to its best one, and
the last weights are kept. The schedule is not shortened: the learning rate of an epoch is what the earlier run used in
that epoch, because a decay over 30 planned epochs that is best at epoch 12 was best with the rates of those 12 epochs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import Splits
from regstudy.metrics import metric
from regstudy.records import EpochRecord, RunResult
from regstudy.text import counted
from regstudy.training.checkpoint import Checkpoint
from regstudy.training.conditions import training_on
from regstudy.training.crowded_cores import sharing_cores
from regstudy.training.early_stopping import StoppingRule
from regstudy.training.loop import OnStep, train_epoch
from regstudy.training.run import OnEpoch, Trained, continue_from, stop_signal
from regstudy.training.train_state import TrainState, start


@dataclass(frozen=True)
class PhaseLength:
    """How long a phase trains; ``records`` are the earlier run's of this phase, which its schedule may look at."""

    phase: int
    epochs: int
    records: tuple[EpochRecord, ...]


def lengths_until_best(config: RunConfig, records: Sequence[EpochRecord]) -> list[PhaseLength]:
    """The phases of a run up to their best epochs; those that did not improve on the earlier ones are left out.

    A phase starts from the best weights so far, so the others have had no effect on the weights that the run kept.
    """
    of, best, found = metric(config.training.metric), math.nan, []
    for phase, own in enumerate(_by_phase(config, records)):
        epochs = 0
        for done, record in enumerate(own, start=1):
            value = record.value(config.training.metric) if record.finite else math.nan
            if math.isfinite(value) and (math.isnan(best) or of.better(value, best)):
                best, epochs = value, done
        if epochs:
            found.append(PhaseLength(phase, epochs, tuple(own)))
    return found


def _by_phase(config: RunConfig, records: Sequence[EpochRecord]) -> Iterator[list[EpochRecord]]:
    """The records of each phase: a pure rule says where early stopping has ended one."""
    first = 0
    for phase in config.in_phases():
        own: list[EpochRecord] = []
        for record in records[first : first + phase.training.epochs]:
            own.append(record)
            if not record.finite or stop_signal(phase, own).stop:
                break
        first += len(own)
        yield own


def run_fixed(
    config: RunConfig,
    splits: Splits,
    device: torch.device,
    lengths: Sequence[PhaseLength],
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Train each phase for its number of epochs and keep the last weights; resumable as `regstudy.training.run.run`.

    Records have no values of clean training and validation (NaN): nothing is measured before the end.
    """
    with training_on(config, device):
        return _run_fixed(config, splits, device, lengths, on_epoch, on_step, checkpoint)


def _run_fixed(
    config: RunConfig,
    splits: Splits,
    device: torch.device,
    lengths: Sequence[PhaseLength],
    on_epoch: OnEpoch | None,
    on_step: OnStep | None,
    checkpoint: Checkpoint | None,
) -> Trained:
    at, state = _begin(config, splits, device, lengths, checkpoint)
    while True:
        with sharing_cores():
            reason = _run_phase(state, lengths, at, on_epoch, on_step, checkpoint)
        state.end()
        weights = state.measured_weights()
        if reason or at + 1 == len(lengths):
            break
        at, before = at + 1, state
        state = start(config.in_phases()[lengths[at].phase], splits, device, lengths[at].phase)
        state.earlier, state.whole = before.all_records, config
        continue_from(state, weights)
    records = tuple(state.all_records)
    if reason:
        return Trained(RunResult("diverged", reason, 0, math.nan, records), weights, state)
    kept = f"ran for {counted(len(records), 'epoch')}, a number that was fixed before; the last one is kept"
    return Trained(RunResult("finished", kept, len(records), math.nan, records), weights, state)


def _begin(
    config: RunConfig,
    splits: Splits,
    device: torch.device,
    lengths: Sequence[PhaseLength],
    checkpoint: Checkpoint | None,
) -> tuple[int, TrainState]:
    """Where to start: at the checkpoint, else at the first phase."""
    for at in range(len(lengths) if checkpoint else 1)[::-1]:
        state = start(config.in_phases()[lengths[at].phase], splits, device, lengths[at].phase)
        state.whole = config
        if checkpoint and checkpoint.load(state) is not None:
            return at, state
    return 0, state


def _run_phase(
    state: TrainState,
    lengths: Sequence[PhaseLength],
    at: int,
    on_epoch: OnEpoch | None,
    on_step: OnStep | None,
    checkpoint: Checkpoint | None,
) -> str:
    """Train to the end of a phase; returns why the run has to end early, empty if it has not."""
    rule = StoppingRule(maximize=True, epochs=sum(one.epochs for one in lengths), patience=None)
    while len(state.records) < lengths[at].epochs:
        began = time.perf_counter()
        trained = train_epoch(state, lengths[at].records[: len(state.records)], on_step)
        record = replace(trained.record(len(state.all_records) + 1), seconds=time.perf_counter() - began)
        state.records.append(record)
        if on_epoch:
            on_epoch(state.all_records, rule.signals([math.nan] * record.epoch)[-1])
        if not (math.isfinite(record.train_loss) and math.isfinite(record.gradient_norm)):
            return f"loss or gradient was not finite in epoch {record.epoch}"
        last = at + 1 == len(lengths) and len(state.records) == lengths[at].epochs
        if checkpoint and checkpoint.due and not last:
            nothing: dict[str, Tensor] = {}  # the state has the weights; there are no best ones
            checkpoint.save(state, nothing)
    return ""
