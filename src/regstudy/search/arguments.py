"""Validation of the public functions' arguments, before anything is read, written or trained."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import NoneType
from typing import Literal

import optuna
import torch

from regstudy.config.run_config import RunConfig
from regstudy.errors import ArgumentError, Problem, argument_error, config_error, require
from regstudy.files.paths import given_path
from regstudy.search.default_listener import log
from regstudy.search.division import FEWEST_RUNS, MOST_RUNS
from regstudy.search.events import Listener
from regstudy.search.known_start import StartRequest
from regstudy.search.launcher import Ray
from regstudy.search.ray_address import check_launcher
from regstudy.search.search_options import LIMITS, PrunerName, SearchOptions, Until
from regstudy.search.session import Where
from regstudy.search.tried_files import Given
from regstudy.space.study_name import check_name
from regstudy.text import parse_duration
from regstudy.training.determinism import prepare_cublas
from regstudy.training.devices import available_devices, choose_device, keep_freed_memory, limit_threads
from regstudy.training.validation import CHECKS

MAX_REPEATS = 1000


def use_device(name: str | None, threads: int | None = None) -> str:
    """Set torch's number of threads and return the device to train on; the fastest one if no name is given."""
    keep_freed_memory()
    limit_threads(threads)
    used = choose_device(name)
    if used.startswith("cuda"):
        prepare_cublas()
    return used


@contextmanager
def machine(device: str | None, threads: int | None, launcher: Ray | None = None) -> Iterator[str]:
    """The device to use. Within the block torch uses this many threads and Optuna is quiet; afterwards both settings
    and the state of torch's random numbers are restored.

    With a launcher, this machine only prepares what its workers do, and as far as it can on a device like theirs.
    """
    require("launcher", launcher, (Ray, NoneType), "None for processes of this machine, or a regstudy.Ray")
    if launcher is not None:
        device, threads = _like_workers(device, threads, launcher)
    require("device", device, (str, NoneType), "cpu, cuda or mps")
    before, verbosity, drawn = torch.get_num_threads(), optuna.logging.get_verbosity(), torch.get_rng_state()
    try:
        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        yield use_device(device, threads)
    finally:
        torch.set_num_threads(before)
        torch.set_rng_state(drawn)
        optuna.logging.set_verbosity(verbosity)


def _like_workers(device: str | None, threads: int | None, launcher: Ray) -> tuple[str, int]:
    """Device and threads of this machine next to such workers; ArgumentError if others are asked for."""
    problems = []
    if device is not None:
        says = "cannot be combined with --launcher ray; see gpus_per_worker (--gpus-per-worker)."
        problems.append(Problem("device (--device)", says))
    if threads is not None:
        says = "cannot be combined with --launcher ray; see cpus_per_worker (--cpus-per-worker)."
        problems.append(Problem("threads (--threads)", says))
    if problems:
        raise argument_error(problems)
    check_launcher(launcher)
    gpu = launcher.gpus_per_worker and "cuda" in available_devices()
    return "cuda" if gpu else "cpu", min(launcher.cpus_per_worker, os.cpu_count() or 1)


def listener_of(progress: Listener | None) -> Listener:
    """The function that gets every event; ArgumentError if it cannot be called."""
    if progress is not None and not callable(progress):
        raise ArgumentError(f"progress must be a function that takes an event, but it is {progress!r}.")
    return log if progress is None else progress


def where_of(results: str | Path, name: str | None, storage: str | None, data_dir: str | Path) -> Where:
    """Where a study is stored; a wrong name is reported before images are loaded."""
    for argument, value in (("results", results), ("data_dir", data_dir)):
        require(argument, value, (str, Path), "a folder")
    require("storage", storage, (str, NoneType), "the URL of a database server")
    if name is not None:
        require("name", name, str, "a string")
        check_name(name)
    return Where(given_path(results, "results"), name, storage, given_path(data_dir, "data_dir"))


def start_request(
    try_first: Sequence[Given], start_from: str | Path | Sequence[str | Path], storage: str | None
) -> StartRequest:
    """What a search is to start from; ArgumentError for a wrong type."""
    if isinstance(try_first, str | Path | Mapping | RunConfig) or not isinstance(try_first, Sequence):
        raise ArgumentError(f"try_first must be a list of files, mappings or RunConfigs, but it is {try_first!r}.")
    for one in try_first:
        require("try_first", one, (str, Path, Mapping, RunConfig), "a list of files, mappings or RunConfigs")
    sources = [start_from] if isinstance(start_from, str | Path) else start_from
    require("start_from", sources, Sequence, "folders of studies")
    for one in sources:
        require("start_from", one, (str, Path), "folders of studies")
    return StartRequest(tuple(try_first), tuple(given_path(one, "start_from (--from)") for one in sources), storage)


def options_of(
    trials: int,
    workers: int | Literal["auto"],
    budget: str | float | None,
    trial_timeout: str | float | None,
    pruner: PrunerName,
    device: str,
    confirm: float | None = None,
    until: Until = "trials",
    launcher: Ray | None = None,
    data_dir: Path | None = None,
) -> SearchOptions:
    """How a study is run. Raises ArgumentError with every value that is not allowed."""
    allowed = math.inf if budget is None else seconds_of("budget", budget)
    timeout = None if trial_timeout is None else seconds_of("trial_timeout", trial_timeout)
    given: tuple[int, bool] = (1, True) if workers == "auto" else (workers, False)
    on_nodes = data_dir if launcher is not None and launcher.data_on_nodes else None
    return SearchOptions(
        trials, device, torch.get_num_threads(), given[0], pruner, allowed, timeout, confirm, until, given[1],
        launcher, on_nodes,
    )  # fmt: skip


def seconds_of(name: str, span: str | float) -> float:
    """A duration in seconds; ArgumentError if it is not one."""
    if isinstance(span, bool):
        span = str(span)
    require(name, span, (str, int, float), "seconds, or a string such as '30m'")
    return parse_duration(span) if isinstance(span, str) else float(span)


def check_texts(name: str, given: Sequence[str]) -> None:
    """ArgumentError unless this is a list of strings; a single string is not."""
    if isinstance(given, str) or not (isinstance(given, Sequence) and all(isinstance(text, str) for text in given)):
        raise ArgumentError(f"{name} must be a list of strings, but it is {given!r}.")


def check_comparison(repeats: int, margin: float | None) -> None:
    """ArgumentError for an invalid number of repeats or margin."""
    if isinstance(repeats, bool) or not isinstance(repeats, int) or not 1 <= repeats <= MAX_REPEATS:
        raise ArgumentError(f"repeats must be a whole number from 1 to {MAX_REPEATS}, but it is {repeats!r}.")
    check_margin(margin)


def check_runs(runs: int | None) -> None:
    """ArgumentError for an invalid number of confirmation runs."""
    whole = isinstance(runs, int) and not isinstance(runs, bool)
    if runs is not None and not (whole and FEWEST_RUNS <= runs <= MOST_RUNS):
        raise ArgumentError(
            f"runs must be a whole number from {FEWEST_RUNS} to {MOST_RUNS}, but it is {runs!r}. With fewer runs, the"
            " winner and the baseline would share too few rounds to claim anything."
        )


def check_ablation(runs: int | None, margin: float | None) -> None:
    """ArgumentError for an invalid number of ablation runs or margin."""
    whole = isinstance(runs, int) and not isinstance(runs, bool)
    if runs is not None and not (whole and 1 <= runs <= LIMITS["trials"]):
        raise ArgumentError(f"runs must be a whole number of at least 1, but it is {runs!r}.")
    check_margin(margin)


def check_margin(margin: float | None) -> None:
    """ArgumentError for an invalid margin."""
    if margin is not None and (not isinstance(margin, int | float) or not margin >= 0):
        points = "a number of points (of a share such as accuracy) or nats (of the loss) of at least 0"
        raise ArgumentError(f"margin must be {points}, but it is {margin!r}.")


def check_config(config: RunConfig) -> None:
    """ConfigError for unknown names and invalid options or values of a configuration."""
    problems = [problem for check in CHECKS for problem in check(config)]
    if problems:
        raise config_error("The configuration", problems)
