"""Creating, resuming and running a study in its place."""

from __future__ import annotations

import math
import platform
import re
import sqlite3
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import Splits
from regstudy.errors import ConfigError, StudyError
from regstudy.files import check_folder, make_folder
from regstudy.search.events import Listener
from regstudy.search.pruner import PrunerName
from regstudy.search.queue import close_orphans, ledger, top_up
from regstudy.search.stored_weights import drop_checkpoints
from regstudy.search.worker import Job
from regstudy.search.worker_pool import jobs_for, run_crew, run_here
from regstudy.space.fixed_plan import Agenda, Plan, parse_plan
from regstudy.space.loader import read_yaml_text, yaml_text
from regstudy.space.search_space import differences
from regstudy.study import attributes
from regstudy.study.storage import BUSY_TIMEOUT, check_local_disk, exclusive, masked, open_storage, sqlite_url

DATABASE = "study.db"
PACKAGES = ("regstudy", "torch", "torchvision", "optuna", "numpy", "scikit-learn")
STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._-]{0,99}")


@dataclass(frozen=True)
class StudyPlace:
    """Where a study is: a folder for its files, called like the study, and a database, by default within the folder."""

    folder: Path
    storage: str | None = None  # URL of a database server

    @property
    def name(self) -> str:
        """The study's name, which is the folder's."""
        return self.folder.absolute().name

    @property
    def url(self) -> str:
        """The storage URL of the database."""
        return self.storage or sqlite_url(self.folder / DATABASE)

    def __str__(self) -> str:
        return f"{masked(self.storage)}, study {self.name}" if self.storage else str(self.folder)


def study_place(results: Path, name: str, storage: str | None = None) -> StudyPlace:
    """The place of a study by name; StudyError if the name would not be a plain folder name."""
    if not STUDY_NAME.fullmatch(name):
        raise StudyError(
            f"'{name}' cannot be the name of a study: use letters, digits and any of '@._-', beginning with a letter or"
            " digit, at most 100 in all."
        )
    return StudyPlace(results / name, storage)


def find_study(place: StudyPlace) -> optuna.Study | None:
    """The study in a place, None if there is none. A database with a single study of another name gives that one."""
    if place.storage is None and not _is_database(place.folder / DATABASE):
        return None
    storage = open_storage(place.url)
    names = [study.study_name for study in storage.get_all_studies()]
    if place.name in names:
        return optuna.load_study(study_name=place.name, storage=storage)
    if place.storage is None and len(names) == 1:
        return optuna.load_study(study_name=names[0], storage=storage)
    return None


def _is_database(path: Path) -> bool:
    """Whether there is a SQLite file; an empty one, of a creation that was cut short, counts as none.

    Only SQLite may open it: closing any other handle drops the locks of this process's connections, whereupon the
    next process to leave deletes the log that they go on reading (sqlite.org/howtocorrupt.html, 2.2).
    """
    if not path.is_file() or path.stat().st_size == 0:
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT)) as file:
            file.execute("PRAGMA schema_version")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise StudyError(f"{path} is not a SQLite database. Move it away, or choose another --study.") from None
    return True


def open_study(place: StudyPlace) -> optuna.Study:
    """The study in a place; StudyError if there is none."""
    study = find_study(place)
    if study is None:
        raise StudyError(
            f"There is no study in {place}. A study's folder is results/NAME, as `regstudy study` printed."
        )
    return study


def check_place(place: StudyPlace, agenda: Agenda) -> optuna.Study | None:
    """The study to go on with, None if one is to be created; changes nothing.

    StudyError with the differences if the place holds a study of something else; StorageError if SQLite cannot be used
    there.
    """
    check_folder(place.folder)
    if place.storage is None:
        check_local_disk(place.folder)
    study = find_study(place)
    if study is None or study.user_attrs.get(attributes.FINGERPRINT) == agenda.fingerprint or _unfinished(study):
        return study
    planned = isinstance(agenda, Plan)
    if attributes.FINGERPRINT in study.user_attrs and is_plan(study) != planned:
        holds, asked = ("a search", "a comparison") if planned else ("a comparison", "a search")
        raise StudyError(f"{place} holds {holds}, not {asked}. Start another study with --study NEWNAME.")
    changed = "; ".join(differences(_stored(study, place, agenda), agenda.plain()))
    if not changed and attributes.FINGERPRINT in study.user_attrs:
        return study  # the same numbers, written otherwise: 1 and 1.0
    changed = changed or "it was not made by regstudy"
    if planned:
        raise StudyError(
            f"{place} holds another comparison ({changed}). Give the arms back their values to go on, or start another"
            " study with --study NEWNAME."
        )
    raise StudyError(
        f"{place} holds a study of another space ({changed}). Trials of different spaces cannot be compared:"
        " give the space back its values to go on, or start another study with --study NEWNAME."
    )


def _stored(study: optuna.Study, place: StudyPlace, agenda: Agenda) -> dict[str, Any]:
    """The plain values of the agenda that a study was made for, fields that later versions have added included."""
    facts = study.user_attrs
    if not isinstance(agenda, Plan):
        return dict(read_yaml_text(facts.get(attributes.SPACE, "{}"), str(place)))
    raw = read_yaml_text(facts.get(attributes.PLAN, "{}"), str(place))
    try:
        return parse_plan(raw, agenda.name, str(place)).plain()
    except ConfigError:
        return dict(raw)


def create_study(place: StudyPlace, agenda: Agenda, splits: Splits, facts: dict[str, Any]) -> optuna.Study:
    """The study in its place, created with all that describes it unless it is there already.

    ``facts`` are further study attributes. A study that is there keeps what it was created with, but StudyError is
    raised if its images were others.
    """
    make_folder(place.folder)
    with exclusive(place.url):
        study = find_study(place)
        if study is None or _unfinished(study):
            before = study.user_attrs if study is not None else {}
            study = optuna.create_study(
                study_name=place.name,
                storage=open_storage(place.url),
                direction=agenda.study.direction,
                load_if_exists=True,
            )
            # a creation that was cut short may have been of the other kind
            stale = {kind: "" for kind in (attributes.SPACE, attributes.PLAN) if kind in before}
            described = stale | _describe(agenda) | facts
            for name, value in {**described, attributes.FINGERPRINT: agenda.fingerprint}.items():
                study.set_user_attr(name, value)  # the fingerprint comes last: with it the creation is complete
    known = study.user_attrs[attributes.DATA]["split_hash"]
    if known != splits.hash:
        raise StudyError(
            f"The images of {place} have changed since the study began: split {known} is now {splits.hash}."
            " Restore them, or start another study with --study NEWNAME."
        )
    study.set_user_attr(attributes.COMMAND, facts[attributes.COMMAND])  # the latest: it says how many trials
    return study


@dataclass(frozen=True)
class Effort:
    """What may be spent on a search: ``budget`` seconds until no trial is started any more, ``timeout`` per trial."""

    trials: int
    device: str
    threads: int
    workers: int = 1
    pruner: PrunerName = "signal"
    budget: float = math.inf
    timeout: float | None = None


def search(
    place: StudyPlace, study: optuna.Study, agenda: Agenda, splits: Splits, effort: Effort, listen: Listener
) -> None:
    """Bring an existing study to its total of finished trials, or as far as the budget allows.

    Tickets whose process is gone are taken up; the trials under way when the budget ends are finished. Raises
    KeyboardInterrupt once all workers have stopped after Ctrl-C.
    """
    study.set_user_attr(attributes.PRUNER, effort.pruner)
    study.set_user_attr(attributes.TRIALS, effort.trials)
    serve(place, study, agenda, splits, effort, listen)


def serve(
    place: StudyPlace,
    study: optuna.Study,
    agenda: Agenda,
    splits: Splits,
    effort: Effort,
    listen: Listener,
) -> None:
    """Run tickets of a study until none is waiting or the budget is spent, whoever asked for them."""
    deadline = time.time() + effort.budget
    job = Job(
        place.url,
        study.study_name,
        place.folder,
        agenda,
        agenda.study.seed,
        effort.device,
        effort.threads,
        deadline=deadline,
    )
    before: Counter[str] = Counter()
    while True:
        close_orphans(study)
        drop_checkpoints(place.folder, ledger(study.get_trials(deepcopy=False)).finished)
        top_up(study, agenda, place.url)
        waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if not waiting or time.time() >= deadline:
            return
        now = Counter(trial.state.name for trial in study.get_trials(deepcopy=False))
        if now == before:
            raise StudyError(f"The workers ended without running any of the {len(waiting)} waiting trials of {place}.")
        before = now
        if effort.workers == 1 and effort.timeout is None:
            run_here(job, splits, listen)
        else:
            try:
                run_crew(study, jobs_for(job, min(effort.workers, len(waiting))), splits, listen, effort.timeout)
            except KeyboardInterrupt:
                close_orphans(study)  # of workers that did not stop in time and were ended
                raise


def is_plan(study: optuna.Study) -> bool:
    """Whether a study works off a plan instead of searching a space."""
    return bool(study.user_attrs.get(attributes.PLAN))


def remaining(study: optuna.Study, trials: int) -> int:
    """How many of ``trials`` tickets may yet be finished."""
    return len(ledger(study.get_trials(deepcopy=False)).unfinished(trials))


def versions() -> dict[str, str]:
    """Versions of what decides the numbers, with the machine's kind."""
    facts = {package: version(package) for package in PACKAGES}
    return facts | {"python": platform.python_version(), "machine": platform.machine()}


def _describe(agenda: Agenda) -> dict[str, Any]:
    facts = {
        attributes.SPACE_NAME: agenda.name,
        attributes.METRIC: agenda.study.metric,
        attributes.REGULARIZERS: RunConfig.regularizers,
        attributes.SEED: agenda.study.seed,
        attributes.VERSIONS: versions(),
    }
    if isinstance(agenda, Plan):
        epochs = max(config.planned_epochs for config in agenda.arms.values())
        return {attributes.PLAN: yaml_text(agenda.plain()), **facts, attributes.EPOCHS_PLANNED: epochs}
    return {
        attributes.SPACE: yaml_text(agenda.plain()),
        **facts,
        attributes.EPOCHS_PLANNED: agenda.defaults().planned_epochs,
        attributes.NUISANCES: agenda.nuisances(),
    }


def _unfinished(study: optuna.Study) -> bool:
    """Whether the process that was creating the study ended before it was done."""
    ours = not study.user_attrs or bool({attributes.SPACE, attributes.PLAN} & study.user_attrs.keys())
    return attributes.FINGERPRINT not in study.user_attrs and ours and not study.get_trials(deepcopy=False)
