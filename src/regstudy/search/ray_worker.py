"""The side of the worker: an actor of Ray around `work`, whose caller asks for news.

It does not import Ray, and torch only once it begins: that an actor has its place is known before. One that nobody asks
for news any more has lost its caller, or the head of the cluster, and stops.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regstudy import __version__
from regstudy.errors import RegstudyError
from regstudy.study.owner import this_process

if TYPE_CHECKING:
    from regstudy.data.packed_source import PackedSource
    from regstudy.data.split_source import SplitSource
    from regstudy.search.worker import Job

ABANDONED = 30.0  # seconds without a question for news
LONGEST_SILENCE = 1.0  # seconds until a question for news is answered with none
TOGETHER = 0.05  # seconds of news that are sent together


@dataclass(frozen=True)
class Briefing:
    """What a worker is told before it begins. ``mark`` is a file in the study's folder, of a name that no other has."""

    mark: Path
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)  # such as PGPASSWORD
    needed: tuple[Path, ...] = ()  # files that the configurations name


@dataclass(frozen=True)
class Arrival:
    """What a worker says about itself before it begins."""

    owner: Mapping[str, Any]  # of its trials
    host: str
    versions: Mapping[str, str]
    sees_folder: bool
    cuda: bool
    lacking: tuple[Path, ...]  # of the needed files


@dataclass(frozen=True)
class Stopped:
    """A worker has ended its work; ``crash`` is the traceback of an error that should not be."""

    crash: str = ""


def versions() -> dict[str, str]:
    """What must be the same on every node."""
    import torch

    return {"regstudy": __version__, "torch": torch.__version__}


class RayWorker:
    """A threaded actor: one thread works while others answer. It can be started again when its work has ended."""

    def __init__(self) -> None:
        self._events: list[tuple[int, object]] = []
        self._count = 0
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._asked = time.monotonic()

    def placed(self) -> bool:
        """Answers as soon as the actor has its place."""
        return True

    def begin(self, briefing: Briefing) -> Arrival:
        """Look around. Variables of the environment that the node does not set are those of the caller."""
        import optuna
        import torch

        from regstudy.training.devices import keep_freed_memory

        with self._changed:
            self._events, self._count = [], 0  # of earlier work
        self._stop.clear()
        self._asked = time.monotonic()
        keep_freed_memory()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        for name, value in briefing.environment.items():
            os.environ.setdefault(name, value)
        lacking = tuple(path for path in briefing.needed if not path.is_file())
        owner = this_process()
        return Arrival(owner, owner["host"], versions(), briefing.mark.is_file(), torch.cuda.is_available(), lacking)

    def start(self, job: Job, images: PackedSource | SplitSource, folder: str) -> None:
        """Begin to work, in ``folder`` if there is one: that of the caller, to which relative paths refer."""
        self._asked = time.monotonic()  # the images may have been long on their way
        if Path(folder).is_dir():
            os.chdir(folder)
        threading.Thread(target=self._work, args=(job, images), daemon=True).start()

    def news(self, seen: int) -> list[tuple[int, object]]:
        """All numbered events after the last one seen, those before are forgotten; waits for a while for the first."""
        self._asked = time.monotonic()
        with self._changed:
            self._events = [event for event in self._events if event[0] > seen]
            if not self._events:
                self._changed.wait(LONGEST_SILENCE)
        if self._events:
            time.sleep(TOGETHER)
        with self._changed:
            return list(self._events)

    def stop(self) -> None:
        """Ask to stop at the next step."""
        self._stop.set()

    def _stop_asked(self) -> bool:
        return self._stop.is_set() or time.monotonic() - self._asked > ABANDONED

    def _tell(self, event: object) -> None:
        with self._changed:
            self._count += 1
            self._events.append((self._count, event))
            self._changed.notify_all()

    def _work(self, job: Job, images: PackedSource | SplitSource) -> None:
        from regstudy.data.packed_source import PackedSource, unpack
        from regstudy.search.node_images import OnNodes
        from regstudy.search.worker import Watch, work
        from regstudy.search.worker_pool import WorkerError

        crash = ""
        try:
            source = unpack(images) if isinstance(images, PackedSource) else images
            if isinstance(source, OnNodes):
                source.at(source.config.split_seed)  # what is wrong with the images is no fault of a trial
            work(job, source, Watch(self._tell, self._stop_asked))
        except RegstudyError as error:
            self._tell(WorkerError(str(error)))
        except KeyboardInterrupt:
            pass
        except BaseException:
            crash = traceback.format_exc()
        self._tell(Stopped(crash))
