"""A worker takes slots and runs them until none is waiting, its time is over, or it is told to stop."""

from __future__ import annotations

import contextlib
import math
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from optuna import Trial
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from regstudy.analysis.constant_answer import constant_value
from regstudy.analysis.outlook import Outlook
from regstudy.config.run_config import RunConfig
from regstudy.config.user_code import failure
from regstudy.data.image_set import Splits
from regstudy.data.split_source import SplitSource
from regstudy.errors import StorageError, StudyError
from regstudy.files.file_store import DISK, FileStore
from regstudy.files.paths import DISK_FULL
from regstudy.records import (
    EpochRecord,
    PruningDecision,
    dump_confusions,
    dump_groups,
    dump_reliability,
)
from regstudy.search.epoch_log import EpochLog
from regstudy.search.events import EpochDone, Event, StepDone, TrialEnded, TrialStarted
from regstudy.search.gpu_sharing import limit_share
from regstudy.search.heartbeat import beating
from regstudy.search.pruner import Judge, make_pruner
from regstudy.search.queue import claim, close_own
from regstudy.search.sampler import constrain, make_sampler
from regstudy.search.search_options import SearchOptions
from regstudy.search.stored_weights import drop_weights, keep_weights
from regstudy.search.worth import end_search
from regstudy.space.plan import Plan, Slot
from regstudy.study import attributes
from regstudy.study.queue_state import count_finished, queue_state
from regstudy.study.start import stored_start
from regstudy.study.storage import OpenStudy, in_words, open_named, outlast
from regstudy.training.determinism import prepare_cublas
from regstudy.training.devices import give_back_memory
from regstudy.training.early_stopping import Signal
from regstudy.training.fold_runs import (
    Ended,
    earlier_end,
    finish_run,
    mean_best,
    remove_files,
    runs_of_trial,
    summed_up,
)
from regstudy.training.precision import resolve
from regstudy.training.run import run

TELL_EVERY = 0.25  # seconds between events within an epoch
MOST_SHORTAGES = 5  # trials in a row without enough memory, while no trial is finished, after which the study stops
ENDS_TRIAL = ("diverged", "pruned")  # outcomes of a fold after which no further one is run


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
    files: FileStore = DISK  # that holds the folder
    gpu_share: float | None = None  # the part of its GPU's memory that it may take; None: what is free


@dataclass(frozen=True)
class Watch:
    """How a worker and whoever started it speak: events go out, and a request to stop may come back at any step."""

    tell: Callable[[Event], None]
    stop_asked: Callable[[], bool] = lambda: False


def work(job: Job, images: SplitSource, watch: Watch) -> None:
    """Run slots one after the other; a trial that raises is recorded as failed and its slot queued again.

    Raises RegstudyError for an error that the user must fix, such as a full disk, and KeyboardInterrupt when asked to
    stop in the middle of a trial, which is then closed without a fault.
    """
    torch.set_num_threads(job.options.threads)
    device = torch.device(job.options.device)
    if device.type == "cuda":
        prepare_cublas()  # before the images start CUDA: on another machine nobody has
    limit_share(device, job.gpu_share)
    with in_words(job.storage):
        here = OnDevice(images, device)
        outlast(lambda: _work(job, here, watch))


class OnDevice:
    """The splits of a source on a device; those asked for last stay there."""

    def __init__(self, images: SplitSource, device: torch.device) -> None:
        self._images, self._device = images, device
        self._last: tuple[Splits, Splits] | None = None

    def at(self, split_seed: int) -> Splits:
        """The splits of a split seed."""
        splits = self._images.at(split_seed)
        if self._last is None or self._last[0] is not splits:
            self._last = None  # gives back the memory first
            self._last = splits, splits.to(self._device)
        return self._last[1]


def _work(job: Job, images: OnDevice, watch: Watch) -> None:
    with contextlib.closing(open_named(job.storage, job.study)) as opened, opened.watched():
        close_own(opened)
        study = opened.study
        finished = count_finished(study)
        study.sampler = make_sampler(job.plan, job.plan.study.seed, job.worker, finished, stored_start(study))
        study.pruner = make_pruner(job.plan, study.user_attrs.get(attributes.PRUNER, "signal"), job.plan.study.seed)
        outlook = Outlook()
        shortages = 0  # trials in a row that ran out of memory
        while time.time() < job.deadline and not watch.stop_asked():
            trial = claim(opened, job.plan)
            if trial is None:
                return
            try:
                with beating(opened, trial):
                    ended = _run(job, opened, images, watch, trial)
            except UpdateFinishedTrialError:
                continue  # somebody took this process for dead and closed its trial; the slot is theirs now
            ended = replace(ended, finished=_tidy(job, opened, ended))
            shortages = shortages + 1 if ended.lacked_memory else 0
            if shortages == MOST_SHORTAGES and not opened.patiently(lambda: count_finished(opened.study)):
                raise StudyError(_hopeless(ended))
            if job.plan.kind == "search" and ended.outcome != "failed":
                ended = replace(ended, ahead=opened.patiently(lambda: outlook.of(opened.study)))
                if ended.ahead is not None and not ended.ahead.worth:
                    end_search(opened, ended.ahead)
            watch.tell(ended)  # only now, so that a listener's error costs no result


def _hopeless(ended: TrialEnded) -> str:
    return (
        f"The last {MOST_SHORTAGES} trials all failed for lack of memory, and none is finished, so the study stops."
        f" The last one: {ended.reason}. With fewer workers or another device (--workers, --device) the same command"
        " goes on with this study; a space with other ends is a new study (--study)."
    )


def _run(job: Job, opened: OpenStudy, images: OnDevice, watch: Watch, trial: Trial) -> TrialEnded:
    """Run a trial and close it. Raises UpdateFinishedTrialError if somebody else has closed it."""

    def tell(value: float | None, state: TrialState) -> None:
        def close() -> None:
            told = opened.study.tell(trial, value, state=state, skip_if_finished=True)
            if told.state != state:
                raise UpdateFinishedTrialError(f"trial {trial.number} was closed elsewhere")

        opened.patiently(close)

    try:
        ended = _objective(job, opened, images, watch, trial)
    except BaseException:
        with contextlib.suppress(StorageInternalError, SQLAlchemyError, ValueError, UpdateFinishedTrialError):
            opened.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        raise
    if ended.outcome != "failed":
        opened.patiently(lambda: constrain(trial, job.plan))
    if ended.outcome == "failed":
        tell(None, TrialState.FAIL)
    elif ended.outcome == "pruned":
        tell(None, TrialState.PRUNED)
    else:
        tell(ended.value, TrialState.COMPLETE)
    return ended


def _tidy(job: Job, opened: OpenStudy, ended: TrialEnded) -> int | None:
    """After a trial that did not fail: keep on disk only what is still wanted.

    Returns how many trials of the study are finished by then, so that it need not be read again for that.
    """
    give_back_memory()
    if ended.outcome == "failed":
        return None
    remove_files(checkpoint_of(job.folder, ended.slot), job.files)
    trials = opened.patiently(lambda: drop_weights(job.folder, opened.study, job.files))
    return len(queue_state(trials).finished)


def trial_config(job: Job, images: OnDevice, trial: Trial) -> tuple[RunConfig, Splits]:
    """The configuration that a trial's slot and the sampler decide, with the seeds that belong to the slot, and its
    images.

    A precision that was left to the machine is written down as what this one makes of it.
    """
    facts = trial.user_attrs
    total = int(trial.study.user_attrs[attributes.TRIALS])
    config = job.plan.configure(trial, Slot(facts[attributes.SLOT], facts[attributes.ARM], total))
    splits = images.at(config.data.split_seed)
    known: dict[str, object] = {"data.split_seed": splits.split_seed}
    known["training.precision"] = resolve(config.training.precision, torch.device(job.options.device))
    return config.replaced(known), splits


def checkpoint_of(folder: Path, slot: int) -> Path:
    """Where the run of a slot keeps its checkpoint; every attempt at the slot finds it there."""
    return folder / "checkpoints" / f"ticket_{slot:05d}.pt"


def _objective(job: Job, opened: OpenStudy, images: OnDevice, watch: Watch, trial: Trial) -> TrialEnded:
    """Train what a trial asks for and record it; how it ended is not told to Optuna yet."""
    began = time.perf_counter()
    number, slot, arm = trial.number, trial.user_attrs[attributes.SLOT], trial.user_attrs[attributes.ARM]
    confirms = bool(job.plan.label(slot))
    label = job.plan.label(slot) or arm
    device = torch.device(job.options.device)
    told, folds, prunable = 0.0, 0, job.plan.prunable(arm)
    judge = Judge(trial)
    log = EpochLog(opened, trial, at_once=prunable and judge.asks_storage)
    done: list[Ended] = []  # folds

    def keep(name: str, value: object) -> None:
        opened.patiently(lambda: trial.set_user_attr(name, value))

    def on_epoch(records: Sequence[EpochRecord], _signal: Signal) -> PruningDecision | None:
        fold = len(done) + 1 if folds else 0
        log.add([*(one.result.records for one in done), records], trained=1)
        watch.tell(EpochDone(job.worker, number, records[-1], log.metric, fold))
        if not prunable or not records[-1].finite or done:
            return None
        values = {one.epoch: one.value(log.metric) for one in records if one.finite}
        return opened.patiently(lambda: judge.after_epoch(values))

    def on_fold() -> str:
        """Store what the folds so far have found; the reason if no further one is worth its time."""
        keep(attributes.FOLDS, [_fold_facts(one) for one in done])
        if not prunable or done[-1].result.outcome in ENDS_TRIAL or len(done) == folds:
            return ""
        decision = opened.patiently(judge.between_folds)
        return decision.reason if decision.prune else ""

    def on_step(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told > TELL_EVERY:
            told = time.monotonic()
            watch.tell(StepDone(job.worker, done, total))
        if watch.stop_asked():
            raise KeyboardInterrupt

    def ended(outcome: str, reason: str, value: float, best: EpochRecord | None, trace: str = "") -> TrialEnded:
        seconds, ran, series = time.perf_counter() - began, len(done) if folds else 0, job.plan.study.metric
        total = log.total
        return TrialEnded(
            job.worker, number, slot, label, outcome, reason, value, best, total, seconds, trace, series, ran, confirms
        )

    try:
        # two ends that are valid one by one can be invalid together
        config, splits = opened.patiently(lambda: trial_config(job, images, trial))
        folds = splits.folds
        log.metric, log.folds = config.training.metric, bool(folds)
        keep(attributes.CONFIG, config.model_dump(mode="json"))
        keep(attributes.THREADS, job.options.threads)
        keep(attributes.WORKERS, job.options.workers)
        watch.tell(TrialStarted(job.worker, number, slot, label, config.planned_epochs, folds, confirms))
        pruned = ""
        for part in runs_of_trial(config, splits, checkpoint_of(job.folder, slot), job.files):
            kept = earlier_end(part, device)
            if kept is None:
                result = run(part.config, part.splits, device, on_epoch, on_step, part.checkpoint)
                kept = finish_run(part, result, device)
            done.append(kept)
            log.add([one.result.records for one in done])
            log.flush()
            pruned = on_fold() if folds else ""
            if pruned or kept.result.outcome in ENDS_TRIAL:
                break
        whole = summed_up(done, pruned)
        value = _finish(job, whole, config, splits, number, keep)
    except (StorageError, StorageInternalError, SQLAlchemyError, UpdateFinishedTrialError):
        raise
    except BaseException as error:  # a user's network may raise anything, even SystemExit
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise
        if isinstance(error, KeyboardInterrupt) and watch.stop_asked():
            raise  # at once, also if the server is away
        log.flush()
        reason = failure(error)
        keep(attributes.FAULT, "error")
        keep(attributes.REASON, reason)
        return ended("failed", reason, math.nan, None, "".join(traceback.format_exception(error)))
    return ended(whole.result.outcome, whole.result.reason, value, mean_best(done))


def _fold_facts(one: Ended) -> dict[str, object]:
    result = one.result
    facts = {"outcome": result.outcome, "reason": result.reason, "best_epoch": result.best_epoch}
    return {**facts, "best_value": result.best_value if result.best_epoch else 0.0}


def _finish(
    job: Job, whole: Ended, config: RunConfig, splits: Splits, number: int, keep: Callable[[str, object], None]
) -> float:
    """Record how a trial ended, keep its weights if they may be among the best, and return its objective."""
    result = whole.result
    keep(attributes.OUTCOME, result.outcome)
    keep(attributes.REASON, result.reason)
    keep(attributes.BEST_EPOCH, result.best_epoch)
    if result.best_epoch:
        keep(attributes.BEST_VALUE, result.best_value)
        keep(attributes.CONFUSION, dump_confusions(whole.confusions))
        if whole.groups:
            keep(attributes.GROUPS, dump_groups(whole.groups))
        if whole.reliability:  # absent where a checkpoint of 0.1.0 was resumed after the best epoch
            keep(attributes.RELIABILITY, dump_reliability(whole.reliability))
    if result.outcome == "diverged":
        # so that a sampler learns to stay away: a failed or pruned trial would not tell it
        return constant_value(config.training.metric, splits.validation.per_class, splits.positive)
    if result.outcome != "pruned" and whole.weights is not None:
        keep_weights(job.folder, number, whole.weights, job.files)
    return result.best_value
