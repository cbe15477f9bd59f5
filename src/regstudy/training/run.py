"""One run from a configuration to its result, used by search, training and comparison."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from regstudy.config.run_config import RunConfig
from regstudy.config.schema import Plateau
from regstudy.data.image_set import Splits
from regstudy.metrics import metric, metric_or_accuracy
from regstudy.records import EpochRecord, GroupCounts, Outcome, PruningDecision, RunResult
from regstudy.text import counted
from regstudy.training.checkpoint import Checkpoint
from regstudy.training.clean_interval import epochs_since
from regstudy.training.conditions import training_on
from regstudy.training.crowded_cores import sharing_cores
from regstudy.training.early_stopping import Signal, StoppingRule
from regstudy.training.ema import WeightAverage
from regstudy.training.loop import OnStep, run_epoch
from regstudy.training.schedules import first_decay
from regstudy.training.train_state import TrainState, start

# called after each epoch with all records so far and the signal of the objective metric; a `PruningDecision` may end
# the run, anything else that it returns is ignored
OnEpoch = Callable[[Sequence[EpochRecord], Signal], object]


@dataclass(frozen=True)
class Trained:
    """A run's result with the weights of its best epoch (on the CPU) and the state it ended in."""

    result: RunResult
    weights: dict[str, Tensor]
    state: TrainState

    @property
    def confusions(self) -> dict[str, list[list[int]]]:
        """At the best epoch: how many images of each class were taken for each class, by part; empty if unknown."""
        return {part: counts.tolist() for part, counts in self.state.best_confusions.items()}

    @property
    def groups(self) -> dict[str, GroupCounts]:
        """At the best epoch: images and right answers of each group and class, by part; empty without groups."""
        return {part: GroupCounts(*counts.T.tolist()) for part, counts in self.state.best_groups.items()}


def run(
    config: RunConfig,
    splits: Splits,
    device: torch.device,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Train until all epochs are done, early stopping triggers, `on_epoch` prunes the run, or it diverges.

    The returned weights are those of the best epoch by `training.metric`, independently of early stopping. A phase
    starts from the best weights of the earlier ones; early stopping ends only a phase, everything else ends the run.
    With a checkpoint, an interrupted run resumes with the same curve as an uninterrupted one; `on_epoch` is not called
    again for the earlier epochs. Raises ConfigError if the run must be deterministic and cannot be, and
    NotEnoughMemory.
    """
    with training_on(config, device):
        return _run(config, splits, device, on_epoch, on_step, checkpoint)


def _run(
    config: RunConfig,
    splits: Splits,
    device: torch.device,
    on_epoch: OnEpoch | None,
    on_step: OnStep | None,
    checkpoint: Checkpoint | None,
) -> Trained:
    phases = config.in_phases()
    state, weights = _begin(config, splits, device, checkpoint)
    while True:
        with sharing_cores():
            outcome, reason, weights = _run_phase(config, state, weights, on_epoch, on_step, checkpoint)
        state.end()
        following = state.phase + 1
        if outcome in ("diverged", "pruned") or following == len(phases):
            break
        before = state
        state = start(phases[following], splits, device, following)
        state.earlier, state.whole = before.all_records, config
        state.best_confusions, state.best_groups = before.best_confusions, before.best_groups
        state.best_reliability = before.best_reliability
        continue_from(state, weights)
    best = objective_signal(config, state.all_records)
    return Trained(RunResult(outcome, reason, best.best_epoch, best.best, tuple(state.all_records)), weights, state)


def _begin(
    config: RunConfig, splits: Splits, device: torch.device, checkpoint: Checkpoint | None
) -> tuple[TrainState, dict[str, Tensor]]:
    """The state to start from and the best weights so far: those of the checkpoint, else of the first phase."""
    phases = config.in_phases()
    for phase in range(len(phases) if checkpoint else 1)[::-1]:
        state = start(phases[phase], splits, device, phase)
        state.whole = config
        weights = checkpoint.load(state) if checkpoint else None
        if weights is not None:
            return state, weights
    return state, state.measured_weights()


def continue_from(state: TrainState, weights: dict[str, Tensor]) -> None:
    """Replace the weights of a fresh state, including their moving average."""
    state.model.load_state_dict(weights)
    if state.average:
        state.average = WeightAverage(state.model, state.average.decay)


def _run_phase(
    config: RunConfig,
    state: TrainState,
    weights: dict[str, Tensor],
    on_epoch: OnEpoch | None,
    on_step: OnStep | None,
    checkpoint: Checkpoint | None,
) -> tuple[Outcome, str, dict[str, Tensor]]:
    """Train to the end of the state's phase: how it ended, why, and the best weights of the whole run so far."""
    phase = state.config
    while len(state.records) < phase.training.epochs:
        record = run_epoch(state, on_step, partial(_clean_is_due, config, state))
        progress = objective_signal(config, state.all_records)
        if progress.best_epoch == record.epoch:
            weights = state.measured_weights()
            state.best_confusions, state.best_groups = state.confusions, state.groups
            state.best_reliability = state.reliability
        verdict = on_epoch(state.all_records, progress) if on_epoch else None
        if not record.finite:
            return "diverged", f"loss or gradient was not finite in epoch {record.epoch}", weights
        if stop_signal(phase, state.records).stop:
            return "stopped", _why_stopped(phase, record.epoch), weights
        last = state.phase + 1 >= len(config.phases) and len(state.records) == phase.training.epochs
        if (
            isinstance(verdict, PruningDecision) and verdict.prune and not last
        ):  # after the last epoch there is nothing left to prune
            return "pruned", verdict.reason, weights
        if (
            checkpoint and checkpoint.due and not last
        ):  # after on_epoch, which is not called again for this epoch when resumed
            checkpoint.save(state, weights)
    return "finished", _why_finished(config, len(state.all_records)), weights


def _clean_is_due(config: RunConfig, state: TrainState, record: EpochRecord) -> bool:
    """Whether clean training is measured in the epoch of this record: the best so far, the last, or every few."""
    phase, own = state.config, [*state.records, record]
    return (
        epochs_since([*state.all_records, record]) >= state.clean_train_every
        or objective_signal(config, [*state.all_records, record]).best_epoch == record.epoch
        or len(own) == phase.training.epochs
        or stop_signal(phase, own).stop
    )


def stop_signal(config: RunConfig, records: Sequence[EpochRecord]) -> Signal:
    """Early stopping's signal after the last record, on the series `training.monitor`."""
    training = config.training
    rule = StoppingRule(
        maximize=metric(training.monitor).maximize,
        epochs=training.epochs,
        patience=_patience(config),
        tolerance=training.tolerance,
        reference=training.reference,
        grace=first_decay(config),
    )
    return _last(rule, training.monitor, records)


def _patience(config: RunConfig) -> int | None:
    """Early stopping's patience; with a plateau schedule it starts after the schedule's patience has run out."""
    patience, schedule = config.training.patience, config.schedule
    return patience + schedule.patience + 1 if patience and isinstance(schedule, Plateau) else patience


def objective_signal(config: RunConfig, records: Sequence[EpochRecord]) -> Signal:
    """The same rule applied to the objective metric: any gain counts, and it never stops the run."""
    series = config.training.metric
    rule = StoppingRule(maximize=metric(series).maximize, epochs=config.planned_epochs, patience=None)
    return _last(rule, series, records)


def _last(rule: StoppingRule, series: str, records: Sequence[EpochRecord]) -> Signal:
    gaps = [record.gap(metric_or_accuracy(series)) for record in records]
    values = [record.value(series) if record.finite else math.nan for record in records]
    return rule.signals(values, gaps)[-1]


def _why_finished(config: RunConfig, epochs: int) -> str:
    if epochs == config.planned_epochs:
        return f"ran for all {counted(epochs, 'planned epoch')}"
    return f"ran for {epochs} of {config.planned_epochs} epochs because an earlier phase stopped early"


def _why_stopped(config: RunConfig, epoch: int) -> str:
    training = config.training
    return (
        f"early stopping at epoch {epoch}: no improvement of {training.monitor} by more than {training.tolerance:g} in"
        " the"
        f" last {counted(_patience(config) or 0, 'epoch')}"
    )
