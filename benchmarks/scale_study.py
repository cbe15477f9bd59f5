"""The studies and the simulated workers of `benchmarks/scale.py`."""

from __future__ import annotations

import math
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import psutil
from optuna.trial import TrialState, create_trial
from postgres import Server, binaries

from regstudy import data
from regstudy.data.image_set import Splits
from regstudy.records import EpochRecord, Reliability, RunResult
from regstudy.search import queue, worker
from regstudy.search.create import create_study
from regstudy.search.search_options import SearchOptions
from regstudy.search.worker import Job, Watch, work
from regstudy.space.loader import load_space
from regstudy.space.search_space import Space
from regstudy.study import attributes
from regstudy.study.database import sqlite_path
from regstudy.study.place import study_place
from regstudy.study.storage import open_named

ENOUGH = 10_000_000  # trials asked for: no worker ever finds nothing to do
RECORDED = 25  # trials that are run; the others of the study are copies of them
CONNECTIONS = 300
VARIED = 0.2  # a pretended training takes up to this share longer or shorter

Note = dict[str, float]  # the sums of a worker's times, and of its trials and parts of trials, at some moment


@dataclass(frozen=True)
class SimulatedWorker:
    """One process: the study whose trials it takes, and how long its trainings pretend to last."""

    job: Job
    number: int
    pause: float
    epochs: int
    images: Splits


class Databases:
    """Databases with the same study, of which every measurement gets a copy."""

    def __init__(self, folder: Path, space: Space, images: Splits, trials: int, server: Server | None) -> None:
        self._folder, self._space, self._trials, self._server = folder, space, trials, server
        self._full: dict[str, Job] = {}
        self._numbers = count()
        self.images = images
        self.names = ["SQLite", "PostgreSQL"] if server is not None else ["SQLite"]

    def _job(self, name: str) -> Job:
        """The study that is copied, which is made when it is needed first."""
        if name not in self._full:
            url = self._server.create(name.lower()) if self._on_server(name) and self._server is not None else None
            self._full[name] = _full_study(self._folder / name, url, self._space, self.images, self._trials)
        return self._full[name]

    @staticmethod
    def _on_server(name: str) -> bool:
        return name == "PostgreSQL"

    @contextmanager
    def copy(self, name: str) -> Iterator[Job]:
        """A worker's job on a database of its own."""
        job, number = self._job(name), next(self._numbers)
        folder = self._folder / f"copy{number}"
        folder.mkdir()
        file = sqlite_path(job.storage)
        if file is not None:
            shutil.copy(file, folder / "study.db")
            url = f"sqlite:///{folder / 'study.db'}"
        else:
            assert self._server is not None
            self._server.drop_connections(name.lower())  # of those who made it; a database in use cannot be copied
            url = self._server.create(f"copy{number}", template=name.lower())
        yield replace(job, storage=url, folder=folder)
        shutil.rmtree(folder)

    def server_seconds(self, name: str) -> float:
        """CPU time that the database server and its processes have used so far; 0 without a server."""
        if self._server is None or not self._on_server(name):
            return 0.0
        first = psutil.Process(int((Path(self._server.data) / "postmaster.pid").read_text().split()[0]))
        total = 0.0
        for process in [first, *first.children()]:
            try:
                total += sum(process.cpu_times()[:4] if process is first else process.cpu_times()[:2])
            except psutil.NoSuchProcess:  # it counts among those that have ended, next time
                continue
        return total

    def connections(self, name: str) -> int:
        """Connections to the database server now; 0 without a server."""
        if self._server is None or not self._on_server(name):
            return 0
        return self._server.ask("SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'copy%'")


@contextmanager
def databases(trials: int, epochs: int, data_dir: Path, *, postgres: bool) -> Iterator[Databases]:
    """The same study of so many finished trials on SQLite and, where it is installed, on a PostgreSQL server."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    programs = binaries() if postgres else None
    server = Server(programs, CONNECTIONS) if programs is not None else None
    folder = Path(tempfile.mkdtemp(prefix="regstudy-scale-"))
    try:
        space = load_space("digits_cnn", [f"training.epochs={epochs}", "training.patience=null"])
        images = data.prepare(space.defaults().data, data_dir).share()
        yield Databases(folder, space, images, trials, server)
    finally:
        shutil.rmtree(folder)
        if server is not None:
            server.remove()


def _full_study(results: Path, url: str | None, space: Space, splits: Splits, trials: int) -> Job:
    """Create a study and give it its finished trials; returns the job of a worker of it."""
    place = study_place(results, space.name, url)
    study = create_study(place, space, splits)
    study.set_user_attr(attributes.TRIALS, ENOUGH)
    job = Job(place.url, study.study_name, place.folder, space, SearchOptions(ENOUGH, "cpu", 1))
    few = min(RECORDED, trials)
    done = 0.0

    def see(one: Note) -> None:
        nonlocal done
        done = one["trials"]

    first = SimulatedWorker(job, 0, 0.0, space.planned_epochs, splits)
    _pretend(first, see, lambda: done >= few)
    with closing(open_named(place.url, study.study_name)) as opened:
        recorded = [one for one in opened.study.get_trials() if one.state == TrialState.COMPLETE]
        copies = []
        for slot in range(len(recorded), trials):
            one = recorded[slot % len(recorded)]
            facts = {**one.user_attrs, attributes.SLOT: slot}
            copies.append(
                create_trial(
                    state=one.state, value=one.value, params=one.params, distributions=one.distributions,
                    user_attrs=facts, system_attrs=one.system_attrs, intermediate_values=one.intermediate_values,
                )
            )  # fmt: skip
        opened.study.add_trials(copies)
    return job


def worker_process(simulated: SimulatedWorker, pipe: Connection) -> None:
    """Work until told to stop; say so when the first trial has ended, and send all notes at the end."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    notes: list[Note] = []

    def note(one: Note) -> None:
        if one["trials"] >= 1 and not notes:
            pipe.send("ready")
        if one["trials"] >= 1:
            notes.append(one)

    _pretend(simulated, note, pipe.poll)
    pipe.recv()
    pipe.send(notes)


def _pretend(simulated: SimulatedWorker, note: Callable[[Note], None], stop_asked: Callable[[], bool]) -> None:
    """A real worker in this process, all of whose trainings are pretended."""
    spent: Counter[str] = Counter()
    random_ = random.Random(simulated.number)
    first = True

    def train(
        _config: object, _splits: object, _device: object, on_epoch: Callable[..., object],
        on_step: Callable[..., object], _checkpoint: object,
    ) -> Any:  # fmt: skip
        """What `regstudy.training.run.run` gives, in no time; a pruned training goes on, so all take the same."""
        pause = simulated.pause * (random_.random() if first else random_.uniform(1 - VARIED, 1 + VARIED))
        records: list[EpochRecord] = []
        for epoch in range(1, simulated.epochs + 1):
            began = time.monotonic()
            time.sleep(pause / simulated.epochs)
            spent["slept"] += time.monotonic() - began
            on_step(epoch, simulated.epochs)
            accuracy = 0.9 - 0.5 * math.exp(-8 * epoch / simulated.epochs) + random_.gauss(0, 0.01)
            records.append(EpochRecord(epoch, 1.0, accuracy, 1.0, accuracy, 1.0, accuracy, 1e-3, 1.0, 0.33))
            on_epoch(tuple(records), None)
        best = max(records, key=lambda one: one.val_accuracy)
        result = RunResult("finished", "trained all epochs", best.epoch, best.val_accuracy, tuple(records))
        counts = [[37] * 10 for _ in range(10)]
        sure = Reliability((40,) * 10, (30.0,) * 10, (29,) * 10, 0.1)
        return SimpleNamespace(
            result=result, weights=None, confusions={"clean_train": counts, "validation": counts}, groups={},
            state=SimpleNamespace(best_reliability=sure),
        )  # fmt: skip

    @contextmanager
    def exclusive(url: str) -> Iterator[Callable[[], object]]:
        """The study's lock, timed."""
        asked = time.monotonic()
        with own_exclusive(url) as check_lock:
            entered = time.monotonic()
            spent["lock"] += entered - asked
            yield check_lock
            spent["held"] += time.monotonic() - entered

    def tell(event: object) -> None:
        nonlocal first
        if isinstance(event, worker.TrialEnded):
            first = False
            spent["trials"] += 1
        if isinstance(event, worker.TrialEnded | worker.EpochDone):
            part = 0 if isinstance(event, worker.TrialEnded) else event.record.epoch / (simulated.epochs + 1)
            sums = {name: spent[name] for name in ("slept", "lock", "held")}
            note({"wall": time.monotonic(), "cpu": time.process_time(), "trials": spent["trials"] + part, **sums})

    own_run, own_exclusive = worker.run, queue.exclusive
    worker.run, queue.exclusive = train, exclusive
    try:
        work(replace(simulated.job, worker=simulated.number), simulated.images, Watch(tell, stop_asked))
    except KeyboardInterrupt:  # asked to stop within a training
        pass
    finally:
        worker.run, queue.exclusive = own_run, own_exclusive
