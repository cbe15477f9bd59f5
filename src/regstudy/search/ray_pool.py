"""Running a study's slots by actors of a Ray cluster: nodes may leave and join, and workers that die are replaced."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, GetTimeoutError, RayActorError, RayError

from regstudy.data.file_rule import LATEST_RULE
from regstudy.data.image_set import Splits
from regstudy.data.pool import Pool
from regstudy.data.split_source import SplitSource
from regstudy.errors import RegstudyError, installing
from regstudy.files.file_store import DISK
from regstudy.interrupts import Interrupts, noting_interrupts
from regstudy.search.events import Listener, Notice, TrialEnded, TrialStarted
from regstudy.search.node_images import OnNodes
from regstudy.search.queue import close_orphans, close_owned
from regstudy.search.ray_arrival import briefing_of, check_arrival, jobs_of
from regstudy.search.ray_cluster import Cluster, current, mark_in
from regstudy.search.ray_worker import Arrival, Briefing, RayWorker, Stopped, versions
from regstudy.search.worker import Job
from regstudy.search.worker_deaths import Deaths
from regstudy.search.worker_pool import FAREWELL, POLL, WorkerError
from regstudy.study.owner import this_process
from regstudy.study.storage import OpenStudy, sqlite_path

PLACEMENT = 10.0  # seconds after which it is said that workers wait for room
UNAVAILABLE = 30.0  # seconds without an answer, after which a worker counts as dead
THREADS = 4  # of an actor that answer: one waits for news while others are asked to stop
ADVICE = ". The logs of Ray on its nodes say why: /tmp/ray/session_latest/logs, files worker-*."
NO_BEGINNING = ("creation task", "runtime_env")  # in errors of a worker that no other one would fare better with
SPINNING = "GOMP_SPINCOUNT"  # see regstudy.cli.app


@dataclass
class PoolActor:
    """A worker as the command sees it; ``reply`` is the call that is under way."""

    job: Job
    actor: Any
    reply: Any
    used_before: bool = False
    placed: bool = False
    arrival: Arrival | None = None
    started: bool = False  # it has been told to, and may have taken a trial
    working: bool = False  # it has confirmed that
    seen: int = 0  # number of the last event
    trial: TrialStarted | None = None
    since: float = field(default_factory=time.monotonic)  # of what it does now
    heard: float = field(default_factory=time.monotonic)


def run_ray(opened: OpenStudy, job: Job, count: int, images: SplitSource, listen: Listener) -> None:
    """Work in so many actors; one that dies is replaced and its slot is free again at once.

    Raises RegstudyError with the error that ended a worker, and KeyboardInterrupt after Ctrl-C, when all have stopped.
    """
    cluster = current()
    job = replace(job, folder=job.folder.absolute())
    source = _source_of(job, images, cluster)
    with mark_in(job.folder) as mark, noting_interrupts() as interrupts:
        briefing = briefing_of(mark, job.plan)
        deaths = Deaths(ADVICE, together=count)  # a node that leaves takes all of its workers
        pool = _Pool(cluster, opened, briefing, source, listen, interrupts, job.options.trial_timeout, deaths)
        try:
            pool.run(jobs_of(job, count, cluster.asked))
        finally:
            pool.stop_all()
        if interrupts.asked:
            raise KeyboardInterrupt


@dataclass
class _Pool:
    cluster: Cluster
    opened: OpenStudy
    briefing: Briefing
    source: Any  # reference to what workers read images from
    listen: Listener
    interrupts: Interrupts
    timeout: float | None
    deaths: Deaths
    members: list[PoolActor] = field(default_factory=list)
    nothing_left: bool = False  # a worker has found no slot to take
    began: float = field(default_factory=time.monotonic)

    def run(self, jobs: Sequence[Job]) -> None:
        """Pass on what the workers say and replace those that die, until all have ended or Ctrl-C is pressed."""
        for job in jobs:
            self._spawn(job)
        while self.members and not self.interrupts.asked:
            if self.nothing_left and not any(member.started for member in self.members):
                return  # those that still wait for room are not needed
            for member in self._those_with_news():
                self._attend(member)
            for member in [m for m in self.members if self._overdue(m)]:
                assert self.timeout is not None
                self._end(member)
                self._replace(member, "timeout", f"took longer than {self.timeout:g} s")
            self.cluster.check_alive()
            self._say_who_waits()

    def stop_all(self) -> None:
        """Ask all workers to stop, wait for a while, and end those that do not; a second Ctrl-C ends them at once."""
        at_once = self.cluster.lost or self.interrupts.asked > 1
        try:
            for member in [m for m in self.members if m.started]:
                if not at_once:
                    member.actor.stop.remote()
            until = time.monotonic() + (0 if at_once else FAREWELL)
            while any(member.started for member in self.members) and time.monotonic() < until:
                for member in self._those_with_news():
                    try:
                        events = self._note(member, ray.get(member.reply, timeout=POLL))
                    except GetTimeoutError:
                        continue
                    except RayError:
                        member.started = False  # nothing more will be heard
                    else:
                        member.started = member.started and not any(isinstance(event, Stopped) for event in events)
        except KeyboardInterrupt:
            pass
        for member in list(self.members):
            self.members.remove(member)
            if self.cluster.lost:
                continue  # workers out there end by themselves, and close their trials
            self._end(member)
            if member.arrival is not None:
                close_owned(self.opened, member.arrival.owner, "killed", "its worker was ended")

    def _spawn(self, job: Job) -> None:
        used_before = bool(self.cluster.idle)
        if used_before:
            actor = self.cluster.idle.pop()
        else:
            needs, asked = self.cluster.asked.needs, {}
            if SPINNING in os.environ:
                asked["runtime_env"] = {"env_vars": {SPINNING: os.environ[SPINNING]}}
            options = {"num_cpus": needs["CPU"], "num_gpus": needs.get("GPU", 0), "max_concurrency": THREADS, **asked}
            actor = ray.remote(RayWorker).options(**options).remote()
        self.members.append(PoolActor(job, actor, actor.placed.remote(), used_before))

    def _those_with_news(self) -> list[PoolActor]:
        replies = [member.reply for member in self.members]
        ready, _ = ray.wait(replies, num_returns=len(replies), timeout=POLL)
        return [member for member in self.members if member.reply in ready]

    def _attend(self, member: PoolActor) -> None:
        try:
            found = ray.get(member.reply, timeout=POLL)
        except (ActorUnavailableError, GetTimeoutError) as error:
            if time.monotonic() - member.heard < UNAVAILABLE:
                if isinstance(error, GetTimeoutError):
                    return  # the answer is on its way
                if member.working:
                    member.reply = member.actor.news.remote(member.seen)
                    return
            self._end(member)
            self._replace(member, "killed", f"{self._name(member)} gave no answer any more")
        except RayActorError as error:
            if member.arrival is None and any(cause in str(error) for cause in NO_BEGINNING):
                raise RegstudyError(_why_not_begun(error)) from error
            self._replace(member, "killed", self._why_dead(member))
        except RayError as error:
            raise RegstudyError(_why_not_begun(error)) from error
        else:
            member.heard = time.monotonic()
            if not member.placed:
                member.placed, member.reply = True, member.actor.begin.remote(self.briefing)
                return
            if isinstance(found, Arrival):
                self._begin(member, found)
                return
            for event in self._note(member, found):
                if isinstance(event, WorkerError):
                    raise RegstudyError(event.message)
                if isinstance(event, Stopped):
                    if event.crash:
                        self._end(member)
                        self._replace(member, "killed", event.crash.strip().splitlines()[-1])
                        return
                    self.nothing_left = True
                    continue
                if isinstance(event, TrialEnded):
                    self.deaths.trial_finished()
                self.listen(event)

    def _begin(self, member: PoolActor, arrival: Arrival) -> None:
        """Let a worker work that has just arrived; RegstudyError if it cannot on its node."""
        member.arrival = arrival
        on_file = sqlite_path(member.job.storage) is not None
        check_arrival(arrival, versions(), this_process()["host"], self.cluster.asked, on_file=on_file)
        files = DISK if arrival.sees_folder else self.cluster.files(member.job.folder)
        member.job = replace(member.job, files=files)
        member.started, member.since = True, time.monotonic()
        member.reply = member.actor.start.remote(member.job, self.source, str(Path.cwd()))

    def _note(self, member: PoolActor, found: Any) -> list[Any]:
        """The new events of a reply; the worker is asked for more, unless it has ended."""
        if not member.started:
            return []
        member.working, found = True, found or []  # `start` returns nothing
        events = [event for number, event in found if number > member.seen]
        member.seen = max([member.seen, *(number for number, _ in found)])
        for event in events:
            if isinstance(event, TrialStarted):
                member.trial, member.since = event, time.monotonic()
            if isinstance(event, TrialEnded):
                member.trial = None
        if any(isinstance(event, Stopped) and not event.crash for event in events):
            self.members.remove(member)
            self.cluster.idle.append(member.actor)
        else:
            member.reply = member.actor.news.remote(member.seen)
        return events

    def _overdue(self, member: PoolActor) -> bool:
        running = member.trial is not None and time.monotonic() - member.since
        return self.timeout is not None and running > self.timeout

    def _end(self, member: PoolActor) -> None:
        with contextlib.suppress(RayError):
            ray.kill(member.actor)
            ray.wait([member.reply], timeout=POLL if member.arrival is None else 5.0)

    def _replace(self, member: PoolActor, fault: str, reason: str) -> None:
        """Close what a worker was running that is gone, and begin with another one."""
        self.members.remove(member)
        if member.arrival is not None:
            close_owned(self.opened, member.arrival.owner, fault, reason)
        close_orphans(self.opened)
        died_idle = member.used_before and not member.placed
        if fault != "timeout" and not died_idle:
            self.deaths.count(heard=member.arrival is not None, reason=reason)
        self._spawn(replace(member.job, files=DISK))

    def _name(self, member: PoolActor) -> str:
        return f"its process on {member.arrival.host}" if member.arrival else "its process"

    def _why_dead(self, member: PoolActor) -> str:
        return f"{self._name(member)} ended without a word, or its node left the cluster"

    def _say_who_waits(self) -> None:
        waiting = sum(not member.placed for member in self.members)
        if not waiting or self.cluster.told or time.monotonic() - self.began < PLACEMENT:
            return
        self.cluster.told, total = True, len(self.members)
        who = "No worker has a place yet" if waiting == total else f"{waiting} of {total} workers have no place yet"
        self.listen(Notice(f"{who}: {self.cluster.in_words()}. They begin when there is room."))


def _source_of(job: Job, images: SplitSource, cluster: Cluster) -> Any:
    """What workers read images from: the object store, or their own disks."""
    folder = job.options.data_dir
    if folder is None:
        return cluster.stored(images)
    if isinstance(images, Pool):
        config, rule = images.config, images.file_rule
    else:
        assert isinstance(images, Splits)
        config, rule = job.plan.data.model_copy(update={"split_seed": images.split_seed}), images.file_rule
    expected = images.at(config.split_seed).hash
    return OnNodes(config, folder.absolute(), rule or LATEST_RULE, expected, isinstance(images, Pool))


def _why_not_begun(error: RayError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[-1] if lines else type(error).__name__
    return (
        f"A Ray worker could not begin: {reason[:300].rstrip('.')}. Every node needs regstudy and torch in the versions"
        f" of this machine, in the Python that runs Ray: {installing('ray')}."
    )
