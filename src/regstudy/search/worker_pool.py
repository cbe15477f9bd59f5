"""Running a study's slots: in this process, or in several that share cores, GPUs and the images in memory.

Every worker process has a pipe of its own to its parent: a process that is killed cannot hold a lock that others need,
and one whose parent is gone learns it at its next step.
"""

from __future__ import annotations

import contextlib
import multiprocessing.connection
import pickle
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import optuna
import torch

from regstudy.data.split_source import SplitSource
from regstudy.errors import RegstudyError
from regstudy.interrupts import Interrupts, noting_interrupts, serve_parent, signals_held_back
from regstudy.search.events import Event, Listener, TrialEnded, TrialStarted
from regstudy.search.gpu_sharing import devices_of, shares_of
from regstudy.search.queue import close, close_orphans
from regstudy.search.worker import Job, Watch, work
from regstudy.search.worker_deaths import Deaths
from regstudy.study.storage import OpenStudy
from regstudy.training.devices import keep_freed_memory

POLL = 0.2  # seconds
FAREWELL = 20.0  # seconds that workers have to stop when asked
ADVICE = '; their own messages stand above. A script that starts workers must do so under `if __name__ == "__main__":`.'


@dataclass(frozen=True)
class WorkerError:
    """An error that ended a worker and that the user must fix, such as a full disk."""

    message: str


@dataclass
class PoolWorker:
    """A worker process as its parent sees it."""

    job: Job
    process: Any
    pipe: Connection
    heard: bool = False  # it has sent something
    silent: bool = False  # its pipe is closed: nothing more will be heard
    trial: TrialStarted | None = None
    since: float = field(default_factory=time.monotonic)


def run_here(job: Job, images: SplitSource, listen: Listener) -> None:
    """Work in this process. The first Ctrl-C stops it at the next step, the second one at once.

    What the listener raises ends the trial under way without a fault and is raised again. Outside the main thread
    nobody can be asked to stop.
    """
    raised: BaseException | None = None

    def tell(event: Event) -> None:
        nonlocal raised
        try:
            listen(event)
        except BaseException as error:
            raised = error
            raise KeyboardInterrupt from error

    with noting_interrupts() as interrupts:
        try:
            work(job, images, Watch(tell, lambda: interrupts.asked > 0 or raised is not None))
        except KeyboardInterrupt:
            if raised is not None:
                raise raised from None
            raise
        if interrupts.asked:
            raise KeyboardInterrupt


def run_pool(
    opened: OpenStudy, jobs: Sequence[Job], images: SplitSource, listen: Listener, timeout: float | None = None
) -> None:
    """Work in one process per job; a worker that dies is replaced and its slot is free again.

    A trial that takes longer than ``timeout`` seconds is ended with its worker. Raises RegstudyError with the error
    that ended a worker, and KeyboardInterrupt after Ctrl-C, when all workers have stopped.
    """
    context = _context(jobs)
    shared = images.share()
    pool: list[PoolWorker] = []
    with noting_interrupts() as interrupts:
        try:
            for job in jobs:
                pool.append(_spawn(context, job, shared, interrupts))
            _attend(pool, opened, lambda job: _spawn(context, job, shared, interrupts), listen, timeout, interrupts)
        finally:
            _stop_all(pool, at_once=interrupts.asked > 1)
        if interrupts.asked:
            raise KeyboardInterrupt


def _context(jobs: Sequence[Job]) -> Any:
    """How workers are started.

    On Linux, a server imports torch once and forks each worker from it, so that the workers of every further stage, and
    those that replace dead ones, start at once. CUDA must not be touched before a fork, which an import cannot promise;
    there, and on other systems, every worker is a fresh interpreter.
    """
    if sys.platform != "linux" or any(job.options.device.startswith("cuda") for job in jobs):
        return torch.multiprocessing.get_context("spawn")
    context = torch.multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _attend(
    pool: list[PoolWorker],
    opened: OpenStudy,
    spawn: Callable[[Job], PoolWorker],
    listen: Listener,
    timeout: float | None,
    interrupts: Interrupts,
) -> None:
    """Pass on what the workers say and replace those that die, until all have ended or Ctrl-C is pressed."""
    deaths = Deaths(ADVICE)
    while pool and not interrupts.asked:
        for member in _those_with_news(pool):
            for event in _news(member):
                if isinstance(event, WorkerError):
                    raise RegstudyError(event.message)
                if isinstance(event, TrialEnded):
                    deaths.trial_finished()
                listen(event)
        for member in [m for m in pool if _overdue(m, timeout)]:
            member.process.kill()
            member.process.join()
            _reap(opened, member, "timeout", f"took longer than {timeout:g} s")
        for member in [m for m in pool if not m.process.is_alive() and not _has_news(m)]:
            pool.remove(member)
            if member.process.exitcode == 0 and member.trial is None:
                continue  # with a trial under way, the user's code has called os._exit(0)
            reason = f"its process ended with code {member.process.exitcode}"
            _reap(opened, member, "killed", reason)
            close_orphans(opened)
            deaths.count(heard=member.heard, reason=reason)
            pool.append(spawn(member.job))


def _spawn(context: Any, job: Job, images: SplitSource, interrupts: Interrupts) -> PoolWorker:
    with interrupts.later(), signals_held_back():
        here, there = context.Pipe()
        process = context.Process(target=_worker_process, args=(job, images, there), daemon=True)
        process.start()
        there.close()
    return PoolWorker(job, process, here)


def _worker_process(job: Job, images: SplitSource, pipe: Connection) -> None:
    """A worker process from start to end."""
    interrupts = serve_parent()
    keep_freed_memory()
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def tell(event: Event) -> None:
        with contextlib.suppress(OSError):  # the parent is gone; the pipe's end will be read as a request to stop
            pipe.send(event)

    try:
        # whatever comes from the parent, its end included, means stop
        work(job, images, Watch(tell, lambda: interrupts.asked > 0 or pipe.poll()))
    except RegstudyError as error:
        with contextlib.suppress(OSError):
            pipe.send(WorkerError(str(error)))
    except KeyboardInterrupt:
        pass


def _those_with_news(pool: Sequence[PoolWorker]) -> list[PoolWorker]:
    pipes = [member.pipe for member in pool if not member.silent]
    multiprocessing.connection.wait([*pipes, *(member.process.sentinel for member in pool)], timeout=POLL)
    return [member for member in pool if _has_news(member)]


def _has_news(member: PoolWorker) -> bool:
    return not member.silent and member.pipe.poll()


def _news(member: PoolWorker) -> list[Event | WorkerError]:
    """All events that a worker has sent; a message cut short by its death is no event."""
    events: list[Event | WorkerError] = []
    while _has_news(member):
        try:
            event = member.pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            member.silent = True
            break
        member.heard = True
        if isinstance(event, TrialStarted):
            member.trial, member.since = event, time.monotonic()
        if isinstance(event, TrialEnded):
            member.trial = None
        events.append(event)
    return events


def _overdue(member: PoolWorker, timeout: float | None) -> bool:
    running = member.trial is not None and member.process.is_alive()
    return timeout is not None and running and time.monotonic() - member.since > timeout


def _reap(opened: OpenStudy, member: PoolWorker, fault: str, reason: str) -> None:
    """Close the trial that a dead worker was running."""
    if member.trial is not None:
        running = (optuna.trial.TrialState.RUNNING,)
        for trial in opened.patiently(lambda: opened.study.get_trials(deepcopy=False, states=running)):
            if trial.number == member.trial.number:
                opened.patiently(partial(close, opened, trial, fault, reason))
    member.trial = None


def _stop_all(pool: Sequence[PoolWorker], *, at_once: bool) -> None:
    """Ask all workers to stop, wait for a while, and end those that do not; a second Ctrl-C ends them at once."""
    for member in pool:
        with contextlib.suppress(OSError):
            member.pipe.send("stop")
    try:
        until = time.monotonic() + (0 if at_once else FAREWELL)
        for member in pool:
            while member.process.is_alive() and time.monotonic() < until:
                _news(member)  # a worker that waits for room in its pipe could not stop
                member.process.join(POLL)
    except KeyboardInterrupt:
        pass
    for member in pool:
        member.process.kill()
        member.process.join()


def jobs_for(job: Job, workers: int) -> list[Job]:
    """One job per worker: they divide the cores, take GPUs in turn, and divide the memory of each."""
    threads = max(1, job.options.threads // workers)
    devices = devices_of(job.options.device, workers)
    return [
        replace(
            job,
            worker=index,
            options=replace(job.options, workers=workers, threads=threads, device=device),
            gpu_share=share,
        )
        for index, (device, share) in enumerate(zip(devices, shares_of(devices), strict=True))
    ]
