"""The functions behind `import regstudy` that train something; each command of the command line calls one of them."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from regstudy.analysis.arm_statistics import MARGIN
from regstudy.config.run_config import RunConfig
from regstudy.data import prepare
from regstudy.data.image_set import Splits
from regstudy.doctor.preflight import Preflight, skipped
from regstudy.errors import ArgumentError, RegstudyError
from regstudy.files import check_folder
from regstudy.production.final_training import train_finally
from regstudy.report.comparison.comparison_result import ComparisonResult
from regstudy.report.results import result_in
from regstudy.report.study_result import StudyResult
from regstudy.search.events import Event, Listener, Notice, StepDone
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

DATA_DIR = Path("data")  # where data sets are looked for unless it is said


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
      the call under ``if __name__ == "__main__":``.
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
    options = _options(trials, workers, budget, trial_timeout, pruner, device, threads)
    if isinstance(space, Space) and overrides:
        raise ArgumentError("overrides: a Space is complete already; give them to load_space.")
    asked = space if isinstance(space, Space) else load_space(space, overrides)
    plan, images = gather(asked, asked.fallback, where.data_dir, listen)
    whole = _doctor_command(space, overrides, where.data_dir)
    examine = Preflight(where.data_dir, options.device, listen, whole, force) if doctor else skipped
    called = command or _call("run_study", given, space=asked.name if isinstance(space, Space) else space)
    place = where.place(plan)
    Session(plan, images, place, options, listen, called, examine).run()
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
    if isinstance(spaces, Mapping):
        if arms or overrides:
            raise ArgumentError("arms and overrides: the configurations are complete already; use their replaced.")
        asked, substitute, note = comparison_of_configs(spaces, name, CHECKS), None, ""
    else:
        named = [spaces] if isinstance(spaces, str | Path) else list(spaces)
        asked, substitute, note = comparison_of_files(named, arms, overrides, name, CHECKS)
    options = _options(asked.tickets(repeats), workers, budget, trial_timeout, "none", device, threads)
    plan, images = gather(asked, substitute, where.data_dir, listen)
    if note:
        listen(Notice(note))
    place = where.place(plan)
    facts = {attributes.MARGIN: margin / 100}
    Session(plan, images, place, options, listen, command or _call("compare", given), facts=facts).run()
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
    if not isinstance(config, RunConfig):
        config = loader.load_config(Path(config), overrides, checks=CHECKS)
    elif overrides:
        raise ArgumentError("overrides: a RunConfig is complete already; use its method replaced.")
    folder = Path(output)
    check_folder(folder)
    if (folder / "study.db").exists():
        raise RegstudyError(f"{folder} is the folder of a study; -o needs another one for weights and curves.")
    used = torch.device(use_device(device, threads))
    return train_finally(config, Path(data_dir), folder, used, on_epoch, listen=progress or log)


def load_splits(
    config: RunConfig | Space, data_dir: str | Path = DATA_DIR, progress: Callable[[Any], None] | None = None
) -> Splits:
    """The training, clean-training and validation parts that a configuration or a space names.

    The test part is not touched. Raises DataError if the images cannot be had.
    """
    return prepare(config.data, Path(data_dir), progress)


def use_device(name: str | None, threads: int | None = None) -> str:
    """The device to train on, the fastest one if no name is given, once torch runs with so many threads."""
    keep_freed_memory()
    limit_threads(threads)
    return choose_device(name)


def log(event: Event) -> None:
    """What happens to events that nobody asked for: lines of the logger `regstudy`, of level INFO."""
    if type(event).__str__ is not object.__str__ and not isinstance(event, StepDone):
        logging.getLogger("regstudy").info("%s", event)


def _check_texts(name: str, given: Sequence[str]) -> None:
    if isinstance(given, str) or not all(isinstance(text, str) for text in given):
        raise ArgumentError(f"{name} must be a list of texts, but it is {given!r}.")


def _where(results: str | Path, name: str | None, storage: str | None, data_dir: str | Path) -> Where:
    if name is not None:
        check_name(name)  # a wrong name is told before images are loaded
    return Where(Path(results), name, storage, Path(data_dir))


def _options(
    trials: int,
    workers: int,
    budget: str | float | None,
    trial_timeout: str | float | None,
    pruner: PrunerName,
    device: str | None,
    threads: int | None,
) -> SearchOptions:
    used = use_device(device, threads)
    allowed = float("inf") if budget is None else _seconds(budget)
    timeout = None if trial_timeout is None else _seconds(trial_timeout)
    return SearchOptions(trials, used, torch.get_num_threads(), workers, pruner, allowed, timeout)


def _seconds(span: str | float) -> float:
    return parse_duration(span) if isinstance(span, str) else span


def _check_comparison(repeats: int, margin: float) -> None:
    if isinstance(repeats, bool) or not isinstance(repeats, int) or not 1 <= repeats <= 1000:
        raise ArgumentError(f"repeats must be a whole number from 1 to 1000, but it is {repeats!r}.")
    if not margin >= 0:
        raise ArgumentError(f"margin must be at least 0 points of accuracy, but it is {margin!r}.")


def _doctor_command(space: Space | str | Path, overrides: Sequence[str], data_dir: Path) -> str:
    """What shows the doctor's whole examination on the command line."""
    words = ["regstudy", "doctor", space.name if isinstance(space, Space) else str(space)]
    for override in overrides:
        words += ["--set", override]
    return shlex.join([*words, *(["--data-dir", str(data_dir)] if data_dir != DATA_DIR else [])])


def _call(function: str, given: Mapping[str, Any], **shown: Any) -> str:
    """The call as it would be typed, without arguments at their defaults."""
    first, *others = {**given, **shown}.items()
    defaults = {"run_study": run_study, "compare": compare}[function].__kwdefaults__ or {}
    words = [repr(str(first[1]) if isinstance(first[1], Path) else first[1])]
    for key, value in others:
        if defaults.get(key) != value:
            words.append(f"{key}={str(value)!r}" if isinstance(value, Path) else f"{key}={value!r}")
    return f"regstudy.{function}({', '.join(words)})"
