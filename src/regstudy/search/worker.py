"""A worker takes slots and runs them until none is waiting, its time is over, or it is told to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
import torch
from optuna import Trial, TrialPruned
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import Splits
from regstudy.errors import StorageError, describe
from regstudy.files import DISK_FULL
from regstudy.records import EpochRecord, PruningDecision, dump_records
from regstudy.search.events import EpochDone, Event, StepDone, TrialEnded, TrialStarted
from regstudy.search.pruner import judge, make_pruner
from regstudy.search.queue import top_up
from regstudy.search.sampler import make_sampler
from regstudy.search.search_options import SearchOptions
from regstudy.search.stored_weights import drop_weights, keep_weights
from regstudy.space.plan import Plan, Slot
from regstudy.study import attributes
from regstudy.study.queue_state import count_finished
from regstudy.study.storage import NoSlotLeft, in_words, open_storage
from regstudy.training.checkpoint import Checkpoint
from regstudy.training.devices import give_back_memory
from regstudy.training.early_stopping import Signal
from regstudy.training.precision import resolve
from regstudy.training.run import Trained, run

TELL_EVERY = 0.25  # seconds between events within an epoch


class _Failed(Exception):
    """A trial failed for a reason that stands in its attributes; the study goes on."""


@dataclass(frozen=True)
class Job:
    """All that a worker needs to know; plain values, so that it can be sent to another process."""

    storage: str  # URL
    study: str
    folder: Path  # of the study's results
    plan: Plan
    options: SearchOptions  # with the device and the threads of this very worker
    worker: int = 0  # counts from 0; distinguishes the samplers and the lines on the screen
    deadline: float = math.inf  # time.time() after which no further slot is taken


@dataclass(frozen=True)
class Watch:
    """How a worker and whoever started it speak: events go out, and a request to stop may come back at any step."""

    tell: Callable[[Event], None]
    stop_asked: Callable[[], bool] = lambda: False


def work(job: Job, splits: Splits, watch: Watch) -> None:
    """Run slots one after the other; a trial that raises is recorded as failed and its slot queued again.

    Raises RegstudyError for what the user must mend, such as a full disk, and KeyboardInterrupt when asked to stop in
    the middle of a trial, which is then closed without a fault.
    """
    torch.set_num_threads(job.options.threads)
    with in_words(job.storage):
        _work(job, splits.to(torch.device(job.options.device)), watch)


def _work(job: Job, splits: Splits, watch: Watch) -> None:
    storage = open_storage(job.storage, stale=lambda study, _trial: top_up(study, job.plan, job.storage))
    study = optuna.load_study(study_name=job.study, storage=storage)
    study.sampler = make_sampler(job.plan, job.plan.study.seed, job.worker, count_finished(study))
    study.pruner = make_pruner(job.plan, study.user_attrs.get(attributes.PRUNER, "signal"), job.plan.study.seed)
    ended: list[TrialEnded] = []  # told only once the trial is closed, so that a listener's error costs no result

    def close(study: optuna.Study, trial: FrozenTrial) -> None:
        _tidy(job, study, trial)
        for event in ended:
            watch.tell(event)

    while time.time() < job.deadline and not watch.stop_asked():
        ended.clear()
        try:
            study.optimize(
                lambda trial: _objective(job, splits, watch, trial, ended.append),
                n_trials=1,
                catch=_Failed,
                callbacks=[close],
            )
        except NoSlotLeft:
            return
        except UpdateFinishedTrialError:
            continue  # somebody took this process for dead and closed its trial; the slot is theirs now


def _tidy(job: Job, study: optuna.Study, trial: FrozenTrial) -> None:
    """After a trial: give its slot back if it failed; else keep on disk only what is still wanted."""
    give_back_memory()
    if trial.state == TrialState.FAIL:
        top_up(study, job.plan, job.storage)
        return
    checkpoint_of(job.folder, trial.user_attrs[attributes.SLOT]).remove()
    drop_weights(job.folder, study)


def trial_config(job: Job, splits: Splits, trial: Trial) -> RunConfig:
    """The configuration that a trial's slot and the sampler decide, with the seeds that belong to the slot.

    A precision that was left to the machine is written down as what this one makes of it.
    """
    facts = trial.user_attrs
    total = int(trial.study.user_attrs[attributes.TRIALS])
    config = job.plan.configure(trial, Slot(facts[attributes.SLOT], facts[attributes.ARM], total))
    known: dict[str, object] = {"data.split_seed": splits.split_seed}
    known["training.precision"] = resolve(config.training.precision, torch.device(job.options.device))
    return config.replaced(known)


def checkpoint_of(folder: Path, slot: int) -> Checkpoint:
    """Where the run of a slot keeps its checkpoint; every attempt at the slot finds it there."""
    return Checkpoint(folder / "checkpoints" / f"ticket_{slot:05d}.pt")


def _objective(job: Job, splits: Splits, watch: Watch, trial: Trial, keep: Callable[[TrialEnded], None]) -> float:
    began = time.perf_counter()
    number, slot, arm = trial.number, trial.user_attrs[attributes.SLOT], trial.user_attrs[attributes.ARM]
    checkpoint = checkpoint_of(job.folder, slot)
    reported, told = 0, 0.0
    prunable = job.plan.prunable(arm)

    def on_epoch(records: Sequence[EpochRecord], _signal: Signal) -> PruningDecision | None:
        nonlocal reported
        if reported == 0 and len(records) > 1:
            trial.set_user_attr(attributes.RESUMED, len(records) - 1)
        trial.set_user_attr(attributes.EPOCHS, dump_records(records))
        for record in records[reported:]:
            if record.finite:
                trial.report(getattr(record, config.training.metric), step=record.epoch)
        reported = len(records)
        watch.tell(EpochDone(job.worker, number, records[-1]))
        return judge(trial, records[-1].epoch) if prunable and records[-1].finite else None

    def on_step(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told > TELL_EVERY:
            told = time.monotonic()
            watch.tell(StepDone(job.worker, done, total))
        if watch.stop_asked():
            raise KeyboardInterrupt  # the one interruption that Optuna closes a trial on

    def ended(outcome: str, reason: str, value: float, best: EpochRecord | None) -> None:
        seconds = time.perf_counter() - began
        keep(TrialEnded(job.worker, number, slot, arm, outcome, reason, value, best, reported, seconds))

    try:
        config = trial_config(job, splits, trial)  # two ends that are valid one by one can be invalid together
        trial.set_user_attr(attributes.CONFIG, config.model_dump(mode="json"))
        trial.set_user_attr(attributes.THREADS, job.options.threads)
        trial.set_user_attr(attributes.WORKERS, job.options.workers)
        watch.tell(TrialStarted(job.worker, number, slot, arm, config.planned_epochs))
        trained = run(config, splits, torch.device(job.options.device), on_epoch, on_step, checkpoint)
        value = _finish(job, trial, trained)
    except (StorageError, StorageInternalError, SQLAlchemyError, UpdateFinishedTrialError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise
        reason = describe(error)
        trial.set_user_attr(attributes.FAULT, "error")
        trial.set_user_attr(attributes.REASON, reason)
        ended("failed", reason, math.nan, None)
        raise _Failed(reason) from error
    result = trained.result
    ended(result.outcome, result.reason, value, result.records[result.best_epoch - 1] if result.best_epoch else None)
    if result.outcome == "pruned":
        raise TrialPruned(result.reason)
    return value


def _finish(job: Job, trial: Trial, trained: Trained) -> float:
    """Record how a run ended, keep its weights if they may be among the best, and return its objective."""
    result = trained.result
    trial.set_user_attr(attributes.OUTCOME, result.outcome)
    trial.set_user_attr(attributes.REASON, result.reason)
    trial.set_user_attr(attributes.BEST_EPOCH, result.best_epoch)
    if result.best_epoch:
        trial.set_user_attr(attributes.BEST_VALUE, result.best_value)
    if result.outcome == "diverged":
        return chance_level(trained.state.config, len(trained.state.splits.train.classes))
    if result.outcome != "pruned":
        keep_weights(job.folder, trial.number, trained.weights)
    return result.best_value


def chance_level(config: RunConfig, classes: int) -> float:
    """The objective of guessing: the value of a run that diverged, so that a sampler learns to stay away from there."""
    return 1 / classes if config.training.metric == "val_accuracy" else math.log(classes)
