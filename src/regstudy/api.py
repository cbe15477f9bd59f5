"""The public functions that train something. Each command of the command line calls one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from regstudy.analysis.stored_margin import stored_margin
from regstudy.config.run_config import RunConfig
from regstudy.data import prepare
from regstudy.data.image_set import Splits
from regstudy.doctor.preflight import Preflight, skipped
from regstudy.errors import ArgumentError, RegstudyError, require
from regstudy.files import check_folder
from regstudy.files.paths import given_path
from regstudy.production.classifier import load
from regstudy.production.conversion import check_conversion, write_converted
from regstudy.production.evaluate_later import evaluate_later
from regstudy.production.final_training import train_finally
from regstudy.production.training_request import TrainingRequest
from regstudy.production.verify_training import Verification, as_trained, verify_training
from regstudy.report.written_files import check_report_files
from regstudy.search.ablate_study import AblationRequest, ablate_study
from regstudy.search.arguments import (
    check_ablation,
    check_comparison,
    check_config,
    check_runs,
    check_texts,
    listener_of,
    machine,
    options_of,
    start_request,
    where_of,
)
from regstudy.search.call_text import DATA_DIR, call_text, doctor_command
from regstudy.search.confirm_study import confirm_study, stored_plan
from regstudy.search.default_listener import log_epoch
from regstudy.search.events import Listener, Notice
from regstudy.search.launcher import Ray
from regstudy.search.launching import launched
from regstudy.search.search_options import PrunerName, SearchOptions, Until
from regstudy.search.session import Session
from regstudy.search.study_images import gather
from regstudy.space import loader
from regstudy.space.comparison_plans import comparison_of_configs, comparison_of_files
from regstudy.space.search_space import Space
from regstudy.space.study_name import check_name
from regstudy.study import attributes
from regstudy.study.place import DATABASE_FILE, given_place, holds_database
from regstudy.training.run import OnEpoch
from regstudy.training.validation import CHECKS

if TYPE_CHECKING:  # plotly and scikit-learn take half a second, which is spent only when there is a result
    from regstudy.report.comparison.comparison_result import ComparisonResult
    from regstudy.report.study_result import StudyResult


def load_space(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), *, name: str = "space") -> Space:
    """Load and validate a space: by name, from a YAML file, or from a nested mapping.

    ``overrides`` are strings such as ``"training.epochs=10"``; ``name`` is the name of a space given as a mapping. A
    file without ranges, as written by `regstudy export`, is a space with no hyperparameters to search. Raises
    ConfigError that lists every problem.
    """
    check_texts("overrides", overrides)
    if isinstance(source, Mapping):
        require("name", name, str, "a string")
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
    workers: int | Literal["auto"] = 1,
    budget: str | float | None = None,
    trial_timeout: str | float | None = None,
    pruner: PrunerName = "signal",
    confirm: float | None = None,
    until: Until = "trials",
    try_first: Sequence[str | Path | Mapping[str, Any] | RunConfig] = (),
    start_from: str | Path | Sequence[str | Path] = (),
    doctor: bool = True,
    force: bool = False,
    device: str | None = None,
    threads: int | None = None,
    launcher: Ray | None = None,
    progress: Listener | None = None,
    command: str | None = None,
) -> StudyResult:
    """Run a hyperparameter study and confirm its winner. Repeating the call resumes it until ``trials`` are finished.

    - ``space``: a `Space`, its name, or a YAML file; ``overrides`` are strings such as ``"training.epochs=10"``.
    - ``name``: name of the study and of its folder in ``results``. Default: the name of the space.
    - ``storage``: URL of a database server, ``postgresql://user@host/name``. Default: a SQLite file in the folder.
    - ``workers``: worker processes; they share the CPU cores, or are spread over the GPUs. ``"auto"``: as many as a
      short measurement finds fastest for a study that takes minutes on a CPU. With more than one worker,
      or with ``trial_timeout``, a script must make the call under ``if __name__ == "__main__":``.
    - ``budget``: start no new trial after this time; ``trial_timeout``: kill a trial that takes longer. Seconds, or a
      string such as ``"30m"``.
    - ``confirm``: share of the trials that are spent on training the leaders and the baseline again with fresh seeds,
      so that what is claimed about the winner does not rest on the values that chose it (default 0.3; 0: none).
      Studies of earlier versions stay unconfirmed unless it is given.
    - ``until``: ``"worth"`` ends the search early, once the next ten trials would gain too little to matter next to the
      noise of one value, and gives the trials and the time that are left to the confirmation.
    - ``try_first``: configurations that the search tries first: files as `export` writes them, RunConfigs, or mappings
      of some hyperparameters by dotted path. They count as trials.
    - ``start_from``: folders of earlier studies. The best of their trials that fit the space are tried again first, and
      the sampler learns from those that measured the same (same images, metric, fixed values). They count as no trials.
    - ``doctor``: check data, split and network first; ``force``: start even if that finds a serious problem.
    - ``launcher``: `Ray`, whose actors are the workers, on one machine or many. ``workers="auto"`` then are as many as
      fit at the moment, and ``device`` and ``threads`` follow from it.
    - ``progress``: called with every event (see `regstudy.search.events`). Default: log them to the logger `regstudy`.
    - ``command``: stored with the study as the way to reproduce it. Default: this call.

    All checks run before anything is written. Raises RegstudyError for problems that the caller can fix, and
    KeyboardInterrupt after Ctrl-C, once the running trials have been closed. Finished trials are kept in both cases.
    """
    given = {key: value for key, value in locals().items() if key not in ("progress", "command")}
    listen = listener_of(progress)
    where = where_of(results, name, storage, data_dir)
    for argument, value in (("doctor", doctor), ("force", force)):
        require(argument, value, bool, "True or False")
    start = start_request(try_first, start_from, storage)
    if isinstance(space, Space) and overrides:
        raise ArgumentError("overrides cannot be combined with a Space; pass them to load_space.")
    with machine(device, threads, launcher) as used:
        options = options_of(
            trials, workers, budget, trial_timeout, pruner, used, confirm, until, launcher, where.data_dir
        )
        asked = space if isinstance(space, Space) else load_space(space, overrides)
        plan, images = gather(asked, asked.fallback, where.data_dir, listen, where.place)
        whole = doctor_command(asked, where.data_dir)
        examine = Preflight(where.data_dir, options.device, listen, whole, force) if doctor else skipped
        place = where.place(plan)
        check_report_files(place.folder, "search")
        call = command or call_text(run_study, given)
        with launched(options, place.url, trials, listen) as options:
            Session(plan, images, place, options, listen, call, examine, start=start).run()
        from regstudy.report.results import result_in

        return result_in(place)


def compare(
    spaces: str | Path | Sequence[str | Path] | Mapping[str, RunConfig],
    *,
    arms: Sequence[str] = (),
    repeats: int = 5,
    margin: float | None = None,
    overrides: Sequence[str] = (),
    name: str | None = None,
    results: str | Path = "results",
    data_dir: str | Path = DATA_DIR,
    storage: str | None = None,
    workers: int | Literal["auto"] = 1,
    budget: str | float | None = None,
    trial_timeout: str | float | None = None,
    device: str | None = None,
    threads: int | None = None,
    launcher: Ray | None = None,
    progress: Listener | None = None,
    command: str | None = None,
) -> ComparisonResult:
    """Compare fixed configurations (arms) over several seeds each. Repeating the call resumes.

    - ``spaces``: names of spaces or YAML files, whose ranges are set to their defaults; or a mapping from the name of
      each arm to its configuration, all with the same data section and metric.
    - ``arms``: strings ``"name: path=value, path=value"``, whose values replace those of the file; a name alone
      changes nothing.
    - ``repeats``: total number of seeds per arm, including earlier calls; repeat k uses the same seed in every arm.
    - ``margin``: arms that differ by at most this count as equal, in points of a share such as accuracy (default 0.3)
      or, if the loss decides, in nats (default 0.003).

    The other arguments and the exceptions are those of `run_study`.
    """
    given = {key: value for key, value in locals().items() if key not in ("progress", "command")}
    listen = listener_of(progress)
    check_comparison(repeats, margin)
    where = where_of(results, name, storage, data_dir)
    check_texts("arms", arms)
    check_texts("overrides", overrides)
    if isinstance(spaces, Space):
        raise ArgumentError("spaces: pass configurations by arm name instead of a Space: {'a': space.defaults()}.")
    require("spaces", spaces, (str, Path, Sequence, Mapping), "names, files, or configurations by arm name")
    if isinstance(spaces, Mapping):
        if arms or overrides:
            raise ArgumentError("arms and overrides cannot be combined with configurations; use RunConfig.replaced.")
        asked, substitute, note = comparison_of_configs(spaces, name, CHECKS), None, ""
    else:
        named = [spaces] if isinstance(spaces, str | Path) else list(spaces)
        for one in named:
            require("spaces", one, (str, Path), "names or files; pass configurations by arm name: {'a': …}")
        asked, substitute, note = comparison_of_files(named, arms, overrides, name, CHECKS)
    with machine(device, threads, launcher) as used:
        options = _fixed_options(asked.slots(repeats), workers, budget, trial_timeout, used, launcher, where.data_dir)
        plan, images = gather(asked, substitute, where.data_dir, listen, where.place)
        if note:
            listen(Notice(note))
        place, facts = where.place(plan), {attributes.MARGIN: stored_margin(margin, plan.study.metric)}
        check_report_files(place.folder, "comparison")
        call = command or call_text(compare, given)
        with launched(options, place.url, options.trials, listen) as options:
            Session(plan, images, place, options, listen, call, facts=facts).run()
        from regstudy.report.results import comparison_in

        return comparison_in(place)


def confirm(
    path: str | Path,
    *,
    runs: int | None = None,
    study: str | None = None,
    data_dir: str | Path = DATA_DIR,
    storage: str | None = None,
    workers: int | Literal["auto"] = 1,
    budget: str | float | None = None,
    trial_timeout: str | float | None = None,
    device: str | None = None,
    threads: int | None = None,
    launcher: Ray | None = None,
    progress: Listener | None = None,
) -> StudyResult:
    """Confirm the winner of a study, or go on with it: train the leaders and the baseline again with fresh seeds.

    - ``path``: the study's folder or database file; ``study`` is its name if the database holds several.
    - ``runs``: total number of confirmation runs, including earlier ones. Default: as many as were asked for, else
      three for seven finished trials of the search, and at least eight.

    The other arguments and the exceptions are those of `run_study`. Repeating the call resumes.
    """
    require("data_dir", data_dir, (str, Path), "a folder")
    check_runs(runs)
    listen, place = listener_of(progress), given_place(path, storage, study)
    folder = given_path(data_dir, "data_dir")
    with machine(device, threads, launcher) as used:
        options = _fixed_options(runs or 1, workers, budget, trial_timeout, used, launcher, folder)
        check_report_files(place.output, "search")
        with launched(options, place.url, runs, listen, lambda: stored_plan(place)) as options:
            confirm_study(place, runs, options, folder, listen)
        from regstudy.report.results import result_in

        return result_in(place)


def ablate(
    path: str | Path,
    *,
    runs: int | None = None,
    margin: float | None = None,
    fine: bool = False,
    add_one_in: bool = False,
    interactions: bool = False,
    retune_lr: bool = False,
    study: str | None = None,
    data_dir: str | Path = DATA_DIR,
    storage: str | None = None,
    workers: int | Literal["auto"] = 1,
    budget: str | float | None = None,
    trial_timeout: str | float | None = None,
    device: str | None = None,
    threads: int | None = None,
    launcher: Ray | None = None,
    progress: Listener | None = None,
) -> StudyResult:
    """Take the winner of a study apart: train it again and again without each of its regularizers.

    - ``path``: the study's folder or database file; ``study`` is its name if the database holds several.
    - ``runs``: total number of runs, including earlier ones (default 70, and those that choose learning rates); fewer
      if all is decided before.
    - ``margin``: differences up to this do not matter, in points of a share (default 0.3) or in nats (default 0.003).
    - ``fine``: each augmentation operation by itself; ``add_one_in``: each regularizer alone, too; ``interactions``:
      every on/off combination of two to four regularizers; ``retune_lr``: each arm at the best of three learning
      rates, chosen by runs that enter no comparison.

    The other arguments and the exceptions are those of `run_study`. Repeating the call resumes.
    """
    require("data_dir", data_dir, (str, Path), "a folder")
    switches = {"fine": fine, "add_one_in": add_one_in, "interactions": interactions, "retune_lr": retune_lr}
    for argument, value in switches.items():
        require(argument, value, bool, "True or False")
    check_ablation(runs, margin)
    listen, place = listener_of(progress), given_place(path, storage, study)
    folder = given_path(data_dir, "data_dir")
    with machine(device, threads, launcher) as used:
        options = _fixed_options(runs or 1, workers, budget, trial_timeout, used, launcher, folder)
        check_report_files(place.output, "search")
        request = AblationRequest(runs, margin, **switches)
        with launched(options, place.url, runs, listen, lambda: stored_plan(place)) as options:
            ablate_study(place, request, options, folder, listen)
        from regstudy.report.results import result_in

        return result_in(place)


def _fixed_options(
    trials: int,
    workers: int | Literal["auto"],
    budget: str | float | None,
    trial_timeout: str | float | None,
    device: str,
    launcher: Ray | None,
    data_dir: Path,
) -> SearchOptions:
    """How runs that nothing prunes are run, whose number of workers only a launcher can choose."""
    if workers == "auto" and launcher is None:
        raise ArgumentError('workers (--workers) can be "auto" here only with a launcher; give a number.')
    return options_of(trials, workers, budget, trial_timeout, "none", device, launcher=launcher, data_dir=data_dir)


def train(
    config: RunConfig | str | Path,
    output: str | Path = "out",
    *,
    overrides: Sequence[str] = (),
    on: str = "train",
    seeds: int = 1,
    ensemble: bool = False,
    temperature: bool = False,
    data_dir: str | Path = DATA_DIR,
    device: str | None = None,
    threads: int | None = None,
    on_epoch: OnEpoch | None = None,
    progress: Listener | None = None,
    overwrite: bool = False,
    formats: Sequence[str] = (),
    command: str | None = None,
) -> dict[str, Any]:
    """Train one configuration, evaluate on the test set once at the end, and return the metrics.

    Weights, metrics, learning curves, tables of predictions and a model card are written to ``output``, replacing those
    of an earlier training, and files of other origin only with ``overwrite``; an interrupted training resumes from its
    checkpoint there. ``config`` may be a file without ranges, as written by `regstudy export`.

    - ``on``: ``"train"``, or ``"train+validation"``: a first training on the training part fixes the epochs and the
      learning rates, then both parts are trained on and the last epoch is kept.
    - ``seeds``: so many trainings on the same split; the best one by validation is kept. ``ensemble`` keeps all of them
      and averages their probabilities.
    - ``temperature``: divide the logits by a number that is fitted on the validation images.
    - ``formats``: those of `convert`, in which the network is written, too.
    - ``command``: what the model card calls the command.

    ``on_epoch`` is called with all records so far and the signal of the metric; without ``on_epoch`` and ``progress``
    each epoch is logged to the logger `regstudy`. Raises RegstudyError for problems that the caller can fix.
    """
    given = dict(locals())
    check_texts("overrides", overrides)
    check_texts("formats", formats)
    require("config", config, (RunConfig, str, Path), "a RunConfig or a file; for a Space, pass space.defaults()")
    request = TrainingRequest(on, seeds, ensemble, temperature, command or _train_call(given))
    request.check()
    if not isinstance(config, RunConfig):
        path = given_path(config, "config")
        if holds_database(path) or holds_database(path / DATABASE_FILE):
            raise ArgumentError(
                f"{config} is a study, not a configuration. Write the configuration of its best trial to a file,"
                f" and train on that: regstudy export {config} -o best.yaml."
            )
        config = loader.load_config(path, overrides, checks=CHECKS)
    elif overrides:
        raise ArgumentError("overrides cannot be combined with a RunConfig; use RunConfig.replaced.")
    else:
        check_config(config)
    folder, data_folder = _folders(output, data_dir)
    if on_epoch is not None and not callable(on_epoch):
        raise ArgumentError(f"on_epoch must be a function, but it is {on_epoch!r}.")
    check_folder(folder)
    if (folder / DATABASE_FILE).exists():
        raise RegstudyError(f"{folder} is the folder of a study. Choose another output folder (-o).")
    check_conversion(folder, formats, overwrite)
    with machine(device, threads) as used:
        listen = listener_of(progress)
        callback = on_epoch or (log_epoch(config.planned_epochs) if progress is None else None)
        metrics = train_finally(
            config,
            data_folder,
            folder,
            torch.device(used),
            callback,
            listen=listen,
            overwrite=overwrite,
            request=request,
        )
        if metrics["best_epoch"] and formats:
            write_converted(load(folder), folder, formats)
        return metrics


def evaluate(
    output: str | Path,
    *,
    data_dir: str | Path = DATA_DIR,
    device: str | None = None,
    threads: int | None = None,
    progress: Listener | None = None,
) -> dict[str, Any]:
    """Measure the test set with the weights in the output folder of `train`, and return all metrics.

    For a training without test images, or one that was interrupted while it measured them. The opening is logged and
    counted, and the files of the folder are written again. Raises RegstudyError for problems that the caller can fix.
    """
    folder, data_folder = _folders(output, data_dir)
    with machine(device, threads) as used:
        return evaluate_later(folder, data_folder, torch.device(used), listener_of(progress))


def verify(
    output: str | Path,
    *,
    test: bool = False,
    retrain: bool = False,
    data_dir: str | Path = DATA_DIR,
    device: str | None = None,
    threads: int | None = None,
    progress: Listener | None = None,
) -> Verification:
    """Measure the weights in the output folder of `train` on validation again: do its numbers come out on this machine?

    With ``test`` also on the test set, which is a logged opening; with ``retrain`` the training is done again in a
    temporary folder, and the curves are compared. By default on the device and with the number of threads of the
    training, if this machine has them. ``str()`` of the result says all, ``result.same`` whether it is the same.
    """
    for argument, value in (("test", test), ("retrain", retrain)):
        require(argument, value, bool, "True or False")
    folder, data_folder = _folders(output, data_dir)
    device, threads = as_trained(folder, device, threads)
    with machine(device, threads) as used:
        listen = listener_of(progress)
        return verify_training(folder, data_folder, torch.device(used), listen, test=test, retrain=retrain)


def _folders(output: str | Path, data_dir: str | Path) -> tuple[Path, Path]:
    """The output folder of a training and the folder of the data sets."""
    for argument, value in (("output", output), ("data_dir", data_dir)):
        require(argument, value, (str, Path), "a folder")
    return given_path(output, "output"), given_path(data_dir, "data_dir")


def _train_call(given: Mapping[str, Any]) -> str:
    """The call of `train` as typed, without what only watches it."""
    config = "<a RunConfig>" if isinstance(given["config"], RunConfig) else given["config"]
    others = {name: value for name, value in given.items() if name not in ("config", "on_epoch", "progress", "command")}
    return call_text(train, {"config": config, **others})


def load_splits(config: RunConfig | Space, data_dir: str | Path = DATA_DIR, progress: Listener | None = None) -> Splits:
    """Load the training, clean-training and validation splits of a configuration or a space.

    If the images of a space are unavailable, these are the splits of its fallback data set, as in a study, and
    ``progress`` gets a `SubstituteData` event. The test set is not read. Raises ConfigError for an invalid data
    section, DataError if the images are unavailable.
    """
    require("config", config, (RunConfig, Space), "a RunConfig or a Space")
    require("data_dir", data_dir, (str, Path), "a folder")
    listen = listener_of(progress)
    if isinstance(config, Space):
        return gather(config, config.fallback, given_path(data_dir, "data_dir"), listen)[1].splits
    check_config(config)
    return prepare(config.data, given_path(data_dir, "data_dir"), listen)
