"""What `regstudy answer` says: its plan as a table, the commands that do the same by hand, and its end."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from regstudy.analysis.answer_plan import PHASES, AnswerPlan, Noise, Phase, Resources, least_budget
from regstudy.answering.answer_subject import Subject
from regstudy.first_space.evening import EVENING
from regstudy.metrics import Metric
from regstudy.report.metric_phrasing import amount
from regstudy.report.resolution_phrasing import about
from regstudy.study.passwords import masked_url
from regstudy.study.place import StudyPlace
from regstudy.text import counted, format_duration, listing

TITLES: dict[Phase, str] = {
    "pilot": "pilot",
    "search": "search",
    "confirm": "confirmation",
    "ablate": "ablation",
    "train": "final training",
}
CONFIG_FILE, MODEL_FOLDER = "best.yaml", "model"  # in the study's folder


def table_lines(plan: AnswerPlan) -> Iterator[str]:
    """The phases that are still to come, with their trainings and times."""
    yield f"{'phase':<16}{'trainings':>11}  time"
    for phase in PHASES:
        count, seconds = plan.runs[phase], plan.seconds[phase]
        if phase == "pilot" and not count:
            continue  # it has been made
        most = "up to " if phase in ("search", "ablate") and count else ""
        time = format_duration(seconds) if count else "–"
        yield f"{TITLES[phase]:<16}{f'{most}{count}' if count else 'none':>11}  {time}"


def noise_words(noise: Noise, of: Metric, training: float) -> str:
    """What a training costs and how noisy it is, and where that comes from."""
    known = f"{counted(noise.runs, 'run')} of the pilot"
    source = f"{known} and the number of validation images ({noise.images:,})"
    if not noise.runs:
        source = f"the number of validation images ({noise.images:,}), not measured yet"
    if math.isnan(noise.paired):
        return f"A training takes {format_duration(training)}. Its noise is not known yet."
    return (
        f"A training takes {format_duration(training)}; two trainings on the same split differ by"
        f" {amount(noise.paired, of)} by chance (one standard deviation; from {source})."
    )


def too_small(of: Resources, regularizers: int, budget: float, spent: float, *, measured: bool) -> str:
    """That the budget is too small for an answer, and which one would do."""
    how = "takes" if measured else "may take"
    least = about(spent + least_budget(of))
    more = ""
    if regularizers:
        all_ = about(spent + least_budget(of, regularizers))
        more = f" To find out which regularizer did it as well, give at least {all_}."
    return (
        f"budget (--budget): {format_duration(budget)} is too little for an answer: a training {how}"
        f" {format_duration(of.training)}, and the smallest search with a confirmation and the final training takes"
        f" {least}. Give at least that much, or make a training cheaper: fewer epochs or images (--set"
        f" training.epochs=…, --set data.train_limit=…).{more}"
    )


def command_lines(
    subject: Subject, place: StudyPlace, plan: AnswerPlan, margin: float | None, options: Mapping[str, Any]
) -> Iterator[str]:
    """The separate commands that do the same; ``options`` are those that the user gave, by their names."""
    space = subject.space
    data = _words({"data-dir": options.get("data-dir")})
    machine = _words({key: options.get(key) for key in ("device", "threads")})
    storage = _words({"storage": masked_url(place.storage) if place.storage else None})
    several, folder = _words({"workers": options.get("workers")}), place.folder
    if subject.text is not None:
        evening = ["--budget", _duration(subject.evening)] if subject.evening < EVENING else []
        yield _line("init", str(subject.photos), *evening, *machine)
    sets = [word for override in space.overrides for word in ("--set", override)]
    named = ["--study", place.name, *_words({"results": options.get("results")})]
    search = ["--trials", str(plan.runs["search"]), "--confirm", "0"]
    checks = [f"--{name}" for name in ("no-doctor", "force") if options.get(name)]
    yield _line(
        "study", "--space", space.source or "FILE", *sets, *named, *search, *checks, *data, *storage, *several, *machine
    )
    yield _line("confirm", str(folder), "--runs", str(plan.runs["confirm"]), *data, *storage, *several, *machine)
    if plan.runs["ablate"]:
        runs = ["--runs", str(plan.runs["ablate"]), *_words({"margin": margin})]
        yield _line("ablate", str(folder), *runs, *data, *storage, *several, *machine)
    yield _line("export", str(folder), *storage, "-o", str(folder / CONFIG_FILE))
    yield _line("train", str(folder / CONFIG_FILE), "-o", str(folder / MODEL_FOLDER), *data, *machine)


def model_words(metrics: Mapping[str, Any]) -> str:
    """How good the final network is on the test set."""
    test = metrics.get("test") or {}
    if not test.get("images"):
        return "its test accuracy was not measured"
    return (
        f"test accuracy {test['accuracy']:.1%} (95 % interval {test['accuracy_low']:.1%} to"
        f" {test['accuracy_high']:.1%}, {counted(test['images'], 'image')})"
    )


def skipped_words(regularizers: list[str], least: int, seconds: float) -> str:
    """Why there is no ablation although the winner has regularizers."""
    return (
        f"No time is left to take the winner apart ({listing(regularizers)}): that takes at least"
        f" {counted(least, 'run')}, {about(seconds)}. Give a larger --budget, and the same command goes on."
    )


def _duration(seconds: float) -> str:
    """As an option takes it."""
    return f"{max(1, round(seconds))}s"


def _line(*words: str) -> str:
    return shlex.join(["regstudy", *words])


def _words(options: Mapping[str, Any]) -> list[str]:
    return [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
