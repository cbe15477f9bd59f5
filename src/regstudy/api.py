"""The functions behind `import regstudy` that train something; each command of the command line calls one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from regstudy.analysis.arm_statistics import MARGIN
from regstudy.config.run_config import RunConfig
from regstudy.data import prepare
from regstudy.data.image_set import Splits
from regstudy.doctor.preflight import Preflight, skipped
from regstudy.errors import ArgumentError, RegstudyError, require
from regstudy.files import check_folder
from regstudy.production.final_training import train_finally
from regstudy.search.arguments import (
    check_comparison,
    check_config,
    check_texts,
    listener_of,
    machine,
    options_of,
    where_of,
)
from regstudy.search.call_text import DATA_DIR, call_text, doctor_command
from regstudy.search.default_listener import log_epoch
from regstudy.search.events import Listener, Notice
from regstudy.search.search_options import PrunerName
from regstudy.search.session import Session, gather
from regstudy.space import loader
from regstudy.space.comparison_plans import comparison_of_configs, comparison_of_files
from regstudy.space.search_space import Space
from regstudy.space.study_name import check_name
from regstudy.study import attributes
from regstudy.training.run import OnEpoch
from regstudy.training.validation import CHECKS

if TYPE_CHECKING:  # plotly and scikit-learn take half a second, which is spent only when there is a result
    from regstudy.report.comparison.comparison_result import ComparisonResult
    from regstudy.report.study_result import StudyResult


def load_space(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), *, name: str = "space") -> Space:
    """A space, checked as a whole: by its name, from a YAML file, or from nested plain values.

    ``overrides`` are texts such as ``"training.epochs=10"``; ``name`` is for nested values, which have none. A file
    without ranges, as `regstudy export` writes it, is a space with nothing to search. Raises ConfigError with every
    problem.
    """
    check_texts("overrides", overrides)
    if isinstance(source, Mapping):
        require("name", name, str, "a text")
        check_name(name)
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
    listen = listener_of(progress)
    where = where_of(results, name, storage, data_dir)
    for argument, value in (("doctor", doctor), ("force", force)):
        require(argument, value, bool, "True or False")
    if isinstance(space, Space) and overrides:
        raise ArgumentError("overrides: a Space is complete already; give them to load_space.")
    with machine(device, threads) as used:
        options = options_of(trials, workers, budget, trial_timeout, pruner, used)
        asked = space if isinstance(space, Space) else load_space(space, overrides)
        plan, images = gather(asked, asked.fallback, where.data_dir, listen)
        whole = doctor_command(asked, where.data_dir)
        examine = Preflight(where.data_dir, options.device, listen, whole, force) if doctor else skipped
        place = where.place(plan)
        Session(plan, images, place, options, listen, command or call_text(run_study, given), examine).run()
        from regstudy.report.results import result_in

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
    listen = listener_of(progress)
    check_comparison(repeats, margin)
    where = where_of(results, name, storage, data_dir)
    check_texts("arms", arms)
    check_texts("overrides", overrides)
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
        for one in named:
            require(
                "spaces", one, (str, Path), "names or files; give configurations by the name of their arm: {'a': …}"
            )
        asked, substitute, note = comparison_of_files(named, arms, overrides, name, CHECKS)
    with machine(device, threads) as used:
        options = options_of(asked.slots(repeats), workers, budget, trial_timeout, "none", used)
        plan, images = gather(asked, substitute, where.data_dir, listen)
        if note:
            listen(Notice(note))
        place, facts = where.place(plan), {attributes.MARGIN: margin / 100}
        Session(plan, images, place, options, listen, command or call_text(compare, given), facts=facts).run()
        from regstudy.report.results import comparison_in

        return comparison_in(place)


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
    What an earlier training left there is replaced. ``config`` may be a file without ranges, as `regstudy export`
    writes it. ``on_epoch`` is called with all records so far and the signal of the metric; without it, and without
    ``progress``, each epoch is a line of the logger `regstudy`. Raises RegstudyError for what is the caller's to
    change.
    """
    check_texts("overrides", overrides)
    require("config", config, (RunConfig, str, Path), "a RunConfig or a file; of a Space, give its defaults()")
    if not isinstance(config, RunConfig):
        config = loader.load_config(Path(config), overrides, checks=CHECKS)
    elif overrides:
        raise ArgumentError("overrides: a RunConfig is complete already; use its method replaced.")
    else:
        check_config(config)
    for argument, value in (("output", output), ("data_dir", data_dir)):
        require(argument, value, (str, Path), "a folder")
    if on_epoch is not None and not callable(on_epoch):
        raise ArgumentError(f"on_epoch must be a function, but it is {on_epoch!r}.")
    folder = Path(output)
    check_folder(folder)
    if (folder / "study.db").exists():
        raise RegstudyError(f"{folder} is the folder of a study; -o needs another one for weights and curves.")
    with machine(device, threads) as used:
        listen = listener_of(progress)
        told = on_epoch or (log_epoch(config.planned_epochs) if progress is None else None)
        return train_finally(config, Path(data_dir), folder, torch.device(used), told, listen=listen)


def load_splits(config: RunConfig | Space, data_dir: str | Path = DATA_DIR, progress: Listener | None = None) -> Splits:
    """The training, clean-training and validation parts that a configuration or a space names.

    Of a space whose images cannot be had these are the parts of its fallback, as in a study, which `progress` is told.
    The test part is not touched. Raises ConfigError for a data section that is not valid, DataError if the images
    cannot be had.
    """
    require("config", config, (RunConfig, Space), "a RunConfig or a Space")
    require("data_dir", data_dir, (str, Path), "a folder")
    listen = listener_of(progress)
    if isinstance(config, Space):
        return gather(config, config.fallback, Path(data_dir), listen)[1].splits
    check_config(config)
    return prepare(config.data, Path(data_dir), listen)
