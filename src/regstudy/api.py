"""The functions behind `import regstudy` that train something; each command of the command line calls one of them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import NoneType
from typing import Any

import optuna
import torch

from regstudy.analysis.arm_statistics import MARGIN
from regstudy.config.run_config import RunConfig
from regstudy.data import prepare
from regstudy.data.image_set import Splits
from regstudy.doctor.preflight import Preflight, skipped
from regstudy.errors import ArgumentError, RegstudyError, config_error, require
from regstudy.files import check_folder
from regstudy.production.final_training import train_finally
from regstudy.report.comparison.comparison_result import ComparisonResult
from regstudy.report.results import result_in
from regstudy.report.study_result import StudyResult
from regstudy.search.call_text import DATA_DIR, call_text, doctor_command
from regstudy.search.events import EpochDone, Event, Examining, Listener, Notice, Progress, StepDone, SubstituteData
from regstudy.search.search_options import PrunerName, SearchOptions
from regstudy.search.session import Session, Where, gather
from regstudy.space import loader
from regstudy.space.comparison_plans import comparison_of_configs, comparison_of_files
from regstudy.space.search_space import Space
from regstudy.space.study_name import check_name
from regstudy.study import attributes
from regstudy.text import parse_duration
from regstudy.training.devices import choose_device, keep_freed_memory, limit_threads
from regstudy.training.run import OnEpoch
from regstudy.training.validation import CHECKS


def load_space(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), *, name: str = "space") -> Space:
    """A space, checked as a whole: by its name, from a YAML file, or from nested plain values.

    ``overrides`` are texts such as ``"training.epochs=10"``; ``name`` is for nested values, which have none. A file
    without ranges, as `regstudy export` writes it, is a space with nothing to search. Raises ConfigError with every
    problem.
    """
    _check_texts("overrides", overrides)
    if isinstance(source, Mapping):
        return loader.space_from_tree(dict(source), name, name, overrides, checks=CHECKS)
    if not isinstance(source, str | Path):
        raise ArgumentError(f"A space must be a name, a file or a mapping, but it is {source!r}.")
    return loader.load_space(source, overrides, checks=CHECKS)


def run_study(
    space: Space | str | Path,
    *,
    trials: int = 50,
    overrides: Sequence[str] = (),
    name: str | None = None,
    results: str | Path = "results",
    data_dir: str | Path = DATA_DIR,
    storage: str | None = None,
    workers: int = 1,
    budget: str | float | None = None,
    trial_timeout: str | float | None = None,
    pruner: PrunerName = "signal",
    doctor: bool = True,
    force: bool = False,
    device: str | None = None,
    threads: int | None = None,
    progress: Listener | None = None,
    command: str | None = None,
) -> StudyResult:
    """Search a space; the same call again resumes the study and brings it to ``trials`` finished trials.

    - ``space``: a `Space`, the name of one, or a YAML file; ``overrides`` are texts such as ``"training.epochs=10"``.
    - ``name``: of the study, and of its folder under ``results``; the space's if None.
    - ``storage``: URL of a database server, ``postgresql://user@host/name``, instead of a file in the folder.
    - ``workers``: processes that share the cores, or take GPUs in turn. A script that asks for more than one must keep
      the call under ``if __name__ == "__main__":``, and so must one that sets ``trial_timeout``.
    - ``budget``: start no trial after this time; ``trial_timeout``: end a trial that takes longer. Seconds, or a text
      such as ``"30m"``.
    - ``doctor``: examine data, split and network first; ``force``: start in spite of what it found.
    - ``progress``: called with every event (see `regstudy.search.events`); None writes them to the logger `regstudy`.
    - ``command``: how to repeat the study, which it keeps; the call itself if None.

    Every check comes before anything is written. Raises RegstudyError for what is the caller's to change, and
    KeyboardInterrupt after Ctrl-C, when the trials under way are closed; what is finished is kept either way.
    """
    given = {key: value for key, value in locals().items() if key not in ("progress", "command")}
    listen = progress or log
    where = _where(results, name, storage, data_dir)
    if isinstance(space, Space) and overrides:
        raise ArgumentError("overrides: a Space is complete already; give them to load_space.")
    with _machine(device, threads) as used:
        options = _options(trials, workers, budget, trial_timeout, pruner, used)
        asked = space if isinstance(space, Space) else load_space(space, overrides)
        plan, images = gather(asked, asked.fallback, where.data_dir, listen)
        whole = doctor_command(asked, where.data_dir)
        examine = Preflight(where.data_dir, options.device, listen, whole, force) if doctor else skipped
        place = where.place(plan)
        Session(plan, images, place, options, listen, command or call_text(run_study, given), examine).run()
        return result_in(place)


def compare(
    spaces: str | Path | Sequence[str | Path] | Mapping[str, RunConfig],
    *,
    arms: Sequence[str] = (),
    repeats: int = 5,
    margin: float = 100 * MARGIN,
    overrides: Sequence[str] = (),
    name: str | None = None,
    results: str | Path = "results",
    data_dir: str | Path = DATA_DIR,
    storage: str | None = None,
    workers: int = 1,
    budget: str | float | None = None,
    trial_timeout: str | float | None = None,
    device: str | None = None,
    threads: int | None = None,
    progress: Listener | None = None,
    command: str | None = None,
) -> ComparisonResult:
    """Run fixed configurations, the arms, with several seeds each; the same call again resumes.

    - ``spaces``: names of spaces or YAML files, where what is a range stands at its default; or configurations by the
      name of their arm, all with the same data section and metric.
    - ``arms``: texts ``"name: path=value, path=value"``, values instead of a file's; a name alone changes nothing.
    - ``repeats``: seeds per arm in all, those of earlier calls included; repeat k has the same seed in every arm.
    - ``margin``: points of accuracy up to which two arms count as equal.

    The other arguments, and what is raised, are those of `run_study`.
    """
    given = {key: value for key, value in locals().items() if key not in ("progress", "command")}
    listen = progress or log
    _check_comparison(repeats, margin)
    where = _where(results, name, storage, data_dir)
    _check_texts("arms", arms)
    _check_texts("overrides", overrides)
    if isinstance(spaces, Space):
        raise ArgumentError("spaces: give a Space's configuration by the name of its arm: {'a': space.defaults()}.")
    require(
        "spaces", spaces, (str, Path, Sequence, Mapping), "names, files, or configurations by the name of their arm"
    )
    if isinstance(spaces, Mapping):
        if arms or overrides:
            raise ArgumentError("arms and overrides: the configurations are complete already; use their replaced.")
        asked, substitute, note = comparison_of_configs(spaces, name, CHECKS), None, ""
    else:
        named = [spaces] if isinstance(spaces, str | Path) else list(spaces)
        asked, substitute, note = comparison_of_files(named, arms, overrides, name, CHECKS)
    with _machine(device, threads) as used:
        options = _options(asked.tickets(repeats), workers, budget, trial_timeout, "none", used)
        plan, images = gather(asked, substitute, where.data_dir, listen)
        if note:
            listen(Notice(note))
        place, facts = where.place(plan), {attributes.MARGIN: margin / 100}
        Session(plan, images, place, options, listen, command or call_text(compare, given), facts=facts).run()
        result = result_in(place)
    assert isinstance(result, ComparisonResult)
    return result


def train(
    config: RunConfig | str | Path,
    output: str | Path = "out",
    *,
    overrides: Sequence[str] = (),
    data_dir: str | Path = DATA_DIR,
    device: str | None = None,
    threads: int | None = None,
    on_epoch: OnEpoch | None = None,
    progress: Listener | None = None,
) -> dict[str, Any]:
    """Train once on one configuration and open the test part once at the end; returns the metrics.

    Weights, metrics and curves are written into ``output``; an interrupted training goes on from its checkpoint there.
    ``config`` may be a file without ranges, as `regstudy export` writes it. ``on_epoch`` is called with all records so
    far and the signal of the metric. Raises RegstudyError for what is the caller's to change.
    """
    _check_texts("overrides", overrides)
    require("config", config, (RunConfig, str, Path), "a RunConfig or a file; of a Space, give its defaults()")
    if not isinstance(config, RunConfig):
        config = loader.load_config(Path(config), overrides, checks=CHECKS)
    elif overrides:
        raise ArgumentError("overrides: a RunConfig is complete already; use its method replaced.")
    else:
        _check_config(config)
    require("output", output, (str, Path), "a folder")
    folder = Path(output)
    check_folder(folder)
    if (folder / "study.db").exists():
        raise RegstudyError(f"{folder} is the folder of a study; -o needs another one for weights and curves.")
    with _machine(device, threads) as used:
        return train_finally(config, Path(data_dir), folder, torch.device(used), on_epoch, listen=progress or log)


def load_splits(
    config: RunConfig | Space, data_dir: str | Path = DATA_DIR, progress: Callable[[Any], None] | None = None
) -> Splits:
    """The training, clean-training and validation parts that a configuration or a space names.

    The test part is not touched. Raises ConfigError for a data section that is not valid, DataError if the images
    cannot be had.
    """
    require("config", config, (RunConfig, Space), "a RunConfig or a Space")
    if isinstance(config, RunConfig):
        _check_config(config)
    return prepare(config.data, Path(data_dir), progress)


def use_device(name: str | None, threads: int | None = None) -> str:
    """The device to train on, the fastest one if no name is given, once torch runs with so many threads."""
    keep_freed_memory()
    limit_threads(threads)
    return choose_device(name)


def log(event: Event) -> None:
    """What happens to events that nobody asked for: they go to the logger `regstudy`.

    Substitute data, skipped files and the doctor's findings are warnings, progress within a task is for debugging, and
    all else is information.
    """
    level = logging.INFO
    if isinstance(event, SubstituteData) or (isinstance(event, Notice) and event.warning):
        level = logging.WARNING
    elif isinstance(event, Progress | StepDone | EpochDone | Examining):
        level = logging.DEBUG
    logging.getLogger("regstudy").log(level, "%s", event)


def _where(results: str | Path, name: str | None, storage: str | None, data_dir: str | Path) -> Where:
    for argument, value in (("results", results), ("data_dir", data_dir)):
        require(argument, value, (str, Path), "a folder")
    require("storage", storage, (str, NoneType), "the URL of a database server")
    if name is not None:
        require("name", name, str, "a text")
        check_name(name)  # a wrong name is told before images are loaded
    return Where(Path(results), name, storage, Path(data_dir))


@contextmanager
def _machine(device: str | None, threads: int | None) -> Iterator[str]:
    """The device to use; within the block torch has so many threads, and Optuna speaks only of errors."""
    require("device", device, (str, NoneType), "cpu, cuda or mps")
    before, verbosity = torch.get_num_threads(), optuna.logging.get_verbosity()
    try:
        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        yield use_device(device, threads)
    finally:
        torch.set_num_threads(before)
        optuna.logging.set_verbosity(verbosity)


def _options(
    trials: int,
    workers: int,
    budget: str | float | None,
    trial_timeout: str | float | None,
    pruner: PrunerName,
    device: str,
) -> SearchOptions:
    allowed = math.inf if budget is None else _seconds("budget", budget)
    timeout = None if trial_timeout is None else _seconds("trial_timeout", trial_timeout)
    return SearchOptions(trials, device, torch.get_num_threads(), workers, pruner, allowed, timeout)


def _seconds(name: str, span: str | float) -> float:
    if isinstance(span, bool):
        span = str(span)
    require(name, span, (str, int, float), "seconds, or a text such as '30m'")
    return parse_duration(span) if isinstance(span, str) else float(span)


def _check_texts(name: str, given: Sequence[str]) -> None:
    if isinstance(given, str) or not (isinstance(given, Sequence) and all(isinstance(text, str) for text in given)):
        raise ArgumentError(f"{name} must be a list of texts, but it is {given!r}.")


def _check_comparison(repeats: int, margin: float) -> None:
    if isinstance(repeats, bool) or not isinstance(repeats, int) or not 1 <= repeats <= 1000:
        raise ArgumentError(f"repeats must be a whole number from 1 to 1000, but it is {repeats!r}.")
    if not isinstance(margin, int | float) or not margin >= 0:
        raise ArgumentError(f"margin must be at least 0 points of accuracy, but it is {margin!r}.")


def _check_config(config: RunConfig) -> None:
    """ConfigError for names, options and values of a configuration that do not exist."""
    problems = [problem for check in CHECKS for problem in check(config)]
    if problems:
        raise config_error("The configuration", problems)
