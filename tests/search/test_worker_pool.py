"""Several workers: how they share cores, GPUs and images, and what happens to one that cannot start."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import optuna_dashboard
import psutil
import pytest
import torch
from faults.checks import assert_sound
from faults.commands import Start, is_worker, until

from regstudy.data.image_set import ImageSet, Splits
from regstudy.errors import DataError, RegstudyError
from regstudy.search import gpu_sharing, worker_deaths, worker_pool
from regstudy.search.events import EpochDone, Event
from regstudy.search.search_options import SearchOptions
from regstudy.search.worker import Job
from regstudy.search.worker_pool import jobs_for, run_pool
from regstudy.space.parsing import parse_space
from regstudy.study import attributes
from regstudy.study.queue_state import ATTEMPTS
from regstudy.study.storage import OpenStudy, open_named, open_storage, sqlite_url
from regstudy.training.memory import DeviceMemory

pytest_plugins = ["faults.fixtures"]
SPACE = parse_space(
    {
        "data": {"name": "digits"},
        "preprocessing": {"crop": 8, "normalize": "half"},
        "model": {"name": "faulty:network", "dropout": {"low": 0.0, "high": 0.5}},
        "optimizer": {"name": "sgd", "lr": {"low": 0.01, "high": 0.1}},
        "training": {"batch_size": 10, "epochs": 50, "patience": None},
    },
    "x",
    "",
)
JOB = Job("sqlite:///", "s", Path(), SPACE, SearchOptions(1, "cpu", 8))


@pytest.mark.parametrize(("threads", "workers", "each"), [(8, 1, 8), (8, 2, 4), (8, 3, 2), (2, 3, 1), (1, 8, 1)])
def test_workers_share_the_threads(threads: int, workers: int, each: int) -> None:
    jobs = jobs_for(replace(JOB, options=replace(JOB.options, threads=threads)), workers)
    assert [job.options.threads for job in jobs] == [each] * workers
    assert [job.worker for job in jobs] == list(range(workers))
    assert {job.options.device for job in jobs} == {"cpu"}


@pytest.mark.parametrize(
    ("device", "gpus", "devices"),
    [
        ("cuda", 2, ["cuda:0", "cuda:1", "cuda:0"]),
        ("cuda", 4, ["cuda:0", "cuda:1", "cuda:2"]),
        ("cuda:1", 4, ["cuda:1"] * 3),
        ("mps", 0, ["mps"] * 3),
        ("cpu", 4, ["cpu"] * 3),
    ],
)
def test_workers_take_gpus_in_turn(monkeypatch: pytest.MonkeyPatch, device: str, gpus: int, devices: list[str]) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(gpu_sharing, "memory_of", lambda _: DeviceMemory(total=100e9, free=80e9))
    jobs = jobs_for(replace(JOB, options=replace(JOB.options, device=device)), 3)
    assert [job.options.device for job in jobs] == devices
    # two workers on a card get 40 GB less what their processes take besides tensors, three 26.7 GB
    shares = {1: None, 2: 0.393, 3: 0.2597}
    cuda = device.startswith("cuda")
    assert [job.gpu_share for job in jobs] == [shares[devices.count(one)] if cuda else None for one in devices]


def noise(side: int, count: int = 60) -> Splits:
    """Gray images of noise in three parts of 60."""
    labels = torch.arange(count) % 10
    parts = [
        ImageSet(torch.randint(0, 256, (count, 1, side, side), dtype=torch.uint8), labels, tuple("0123456789"))
        for _ in range(3)
    ]
    return Splits(*parts, "noise", 0)


def test_too_little_shared_memory_is_told_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000))
    splits = noise(32)
    with pytest.raises(DataError, match=r"need 0\.0 GB of shared memory, but /dev/shm has less free space.*--shm-size"):
        splits.share()
    assert not splits.train.images.is_shared()


@dataclass
class Pool:
    """A study with slots, in a folder of its own."""

    opened: OpenStudy
    job: Job


def pool(folder: Path, slots: int) -> Pool:
    url = sqlite_url(folder / "study.db")
    study = optuna.create_study(storage=open_storage(url), study_name="s", direction="maximize")
    study.set_user_attr(attributes.TRIALS, slots)
    options = replace(JOB.options, threads=3)
    return Pool(open_named(url, "s"), replace(JOB, storage=url, folder=folder, options=options))


def private_bytes(folder: Path, splits: Splits, workers: int) -> list[int]:
    """Memory that each worker has to itself while all of them train."""
    made = pool(folder, workers)
    training: set[int] = set()
    found: list[int] = []

    def listen(event: Event) -> None:
        if isinstance(event, EpochDone) and event.record.epoch >= 2:
            training.add(event.worker)
        if len(training) == workers:
            children = psutil.Process().children(recursive=True)
            found.extend(child.memory_full_info().uss for child in children if is_worker(child))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_pool(made.opened, jobs_for(made.job, workers), splits, listen)
    assert len(found) == workers
    return found


@pytest.mark.slow
def test_no_worker_holds_a_copy_of_the_images(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTY_STEP", "0.05")
    large = noise(900)
    size = sum(part.images.nbytes for part in (large.train, large.clean_train, large.validation))
    assert size > 140e6
    (folder / "small").mkdir()
    (folder / "large").mkdir()
    with_few = private_bytes(folder / "small", noise(8), 3)
    with_many = private_bytes(folder / "large", large, 3)
    assert max(with_many) - max(with_few) < size / 2, f"{with_few} and {with_many} bytes with {size} bytes of images"


def die(*_: Any) -> None:
    """A worker process that ends before it has begun."""
    os._exit(3)


@pytest.mark.slow
def test_workers_that_cannot_start_are_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "_worker_process", die)
    monkeypatch.setattr(worker_deaths, "DEATHS", 3)
    made = pool(folder, 2)
    with pytest.raises(RegstudyError, match="3 workers in a row died"):
        run_pool(made.opened, jobs_for(made.job, 2), noise(8), lambda _: None)
    assert not any(is_worker(child) for child in psutil.Process().children(recursive=True))


@pytest.mark.slow
def test_a_module_that_only_workers_cannot_import_is_given_up_with_the_reason(folder: Path, start: Start) -> None:
    module = (folder / "faulty.py").read_text(encoding="utf-8")
    broken = 'if multiprocessing.parent_process():\n    raise ImportError("not in a worker")\n'
    (folder / "faulty.py").write_text(module + "\n" + broken, encoding="utf-8")
    command = start(
        "study", "--space", "faulty.yaml", "--no-doctor", "--trials", "4", "--workers", "2", "--threads", "2"
    )
    assert command.wait() == 2, command.said
    assert "4 of 4 trials failed repeatedly and were given up" in command.stdout
    assert "ImportError: not in a worker (faulty.py, line" in command.stdout
    attempts = optuna.load_study(study_name=None, storage=sqlite_url(folder / "results/faulty/study.db")).trials
    assert [t.state.name for t in attempts] == ["FAIL"] * 4 * ATTEMPTS["error"]
    assert "Traceback" not in command.said


class Poller(threading.Thread):
    """Reads a study again and again as the dashboard does, and through plain Optuna."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.reads, self.over = url, 0, threading.Event()
        self.errors: list[str] = []

    def run(self) -> None:
        """Read until told that it is over."""
        app = optuna_dashboard.wsgi(self.url)
        while not self.over.is_set():
            try:
                studies = json.loads(_get(app, "/api/studies"))["study_summaries"]
                _get(app, f"/api/studies/{studies[0]['study_id']}")
                self.reads += len(optuna.load_study(study_name=None, storage=self.url).get_trials()) > 0
            except Exception as error:
                self.errors.append(repr(error))
            time.sleep(0.05)


def _get(app: Any, path: str) -> bytes:
    environ: dict[str, Any] = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    status: list[str] = []
    body = b"".join(app(environ, lambda line, *_: status.append(line)))
    assert status[0].startswith("200"), (path, status, body[:500])
    return body


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_eight_workers_and_a_dashboard_do_not_lock_each_other_out(folder: Path, start: Start) -> None:
    command = start(
        *("study", "--space", "faulty.yaml", "--trials", "40", "--workers", "8", "--threads", "8", "--device", "cpu"),
        *("--data-dir", ".", "--no-doctor", "--confirm", "0"),
        step=0.01,
    )
    place = folder / "results" / "faulty"
    until(lambda: (place / "study.db").exists() and "Estimated cost" in command.stdout, "the study is there")
    until(lambda: len(command.workers()) == 8, "eight workers are there")
    poller = Poller(sqlite_url(place / "study.db"))
    poller.start()
    try:
        assert command.wait(240) == 0, command.said
    finally:
        poller.over.set()
        poller.join()
    assert poller.errors == []
    assert poller.reads > 20
    assert "lock" not in command.said
    trials = assert_sound(place, 40)
    assert len({t.user_attrs[attributes.OWNER]["pid"] for t in trials}) == 8
    assert {t.state.name for t in optuna.load_study(study_name=None, storage=poller.url).trials} <= {
        "COMPLETE",
        "PRUNED",
    }
