"""Export the configuration of a trial: YAML or JSON that every command can read, or a plain PyTorch script."""

from __future__ import annotations

import math
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from types import NoneType
from typing import Literal, cast, get_args

import optuna
from optuna.trial import FrozenTrial

from regstudy.analysis.pareto import ParetoTrial, pareto_set
from regstudy.config.run_config import RunConfig, parse_config
from regstudy.errors import ArgumentError, require, unknown
from regstudy.files import outputs, write_atomically
from regstudy.files.paths import given_path
from regstudy.production.choice import Choice, Chosen, check_search, choose, confirmation_of
from regstudy.production.claims import Trust, about_study, trust_in
from regstudy.space.loader import config_text
from regstudy.space.yaml_values import read_yaml_text
from regstudy.study import attributes
from regstudy.study.companion import find_confirmation
from regstudy.study.load_tables import load_tables
from regstudy.study.place import StudyPlace, given_place, open_study
from regstudy.study.storage import in_words
from regstudy.study.stored_facts import fact, facts_of
from regstudy.study.tables import Tables

ExportFormat = Literal["yaml", "json", "python"]
SUFFIXES: dict[str, ExportFormat] = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".py": "python"}
DEFAULT_FILES: dict[ExportFormat, str] = {"yaml": "best.yaml", "json": "best.json", "python": "train.py"}


@dataclass(frozen=True)
class Exported:
    """A file that was written, the trial in it, why this one, and how far it can be trusted."""

    path: Path
    format: ExportFormat
    trial: int
    why: str
    trust: Trust


def export(
    path: str | Path,
    output: str | Path | None = None,
    *,
    format: str | None = None,
    trial: int | None = None,
    rank: int | None = None,
    simplest: bool = False,
    study: str | None = None,
    storage: str | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write the configuration of a trial of a study to a file, and say how far it can be trusted.

    - ``path``: the study's folder or database file; ``study`` is its name if the database holds several.
    - ``output``: the file. Default: best.yaml, best.json or train.py, by the format.
    - ``format``: yaml, json, or python for a training script without regstudy. Default: what the file's suffix says.
    - at most one of ``trial``, the number of a trial; ``rank``, its place in the ranking, from 1; ``simplest``, the one
      with the fewest regularizers of those that cannot be distinguished from the best. Default: what the confirmation
      runs recommend, or the best trial.

    Nothing is written if anything is wrong. Raises RegstudyError.
    """
    for name, number in (("trial", trial), ("rank", rank)):
        require(name, number, (int, NoneType), "a whole number")
    require("output", output, (str, Path, NoneType), "a file")
    choice, place = Choice(trial, rank, simplest), given_place(path, storage, study)
    given = None if output is None else given_path(output, "output")
    asked = format_of(given, format)
    file = given or Path(DEFAULT_FILES[asked])
    outputs.check_output(file, "export", overwrite)
    with in_words(place.url):
        opened = open_study(place)
        confirmed = confirmation_of(opened, find_confirmation(place, opened))
        chosen = choose(opened, choice, confirmed)
        trust = trust_in(opened, chosen.trial, confirmed)
        content = exported_text(opened, chosen, trust, asked)
    write_atomically(file, content)
    return Exported(file, asked, chosen.trial.number, chosen.why, trust)


def pareto_trials(place: StudyPlace) -> tuple[Tables, list[ParetoTrial], list[str]]:
    """The trials of a study that no other one beats in both metric and gap, and warnings about their values.

    StudyError for a comparison.
    """
    with in_words(place.url):
        study = open_study(place)
        check_search(study, "pareto (--pareto)")
        tables = load_tables(study)
        warnings = about_study(study)
        if confirmation_of(study, find_confirmation(place, study)) is None:
            warnings.append("The values are those of the search: none is confirmed with fresh seeds.")
        return tables, pareto_set(tables), warnings


def format_of(output: Path | None, file_format: str | None) -> ExportFormat:
    """The format to write; ArgumentError if it is unknown, or another one than the file's name says."""
    if file_format is not None and file_format not in get_args(ExportFormat):
        raise ArgumentError(f"format (--format): {unknown('format', str(file_format), get_args(ExportFormat))}")
    named = SUFFIXES.get(output.suffix.lower()) if output is not None else None
    if file_format is not None and named not in (None, file_format):
        right = next(suffix for suffix, name in SUFFIXES.items() if name == file_format)
        raise ArgumentError(
            f"output (-o): {output} is named like a {named} file, but --format is {file_format}. Give the file the"
            f" suffix {right}, or leave out --format."
        )
    return cast("ExportFormat", file_format or named or "yaml")


def exported_text(study: optuna.Study, chosen: Chosen, trust: Trust, file_format: ExportFormat) -> str:
    """A trial's configuration with a heading that says where it comes from and how far it can be trusted.

    JSON has no comments, so there the heading is a key that is ignored. ConfigError if the stored configuration is not
    valid, or if a script cannot do what it says without regstudy.
    """
    config = _config(chosen.trial)
    heading = _heading(study, chosen, trust)
    mark = outputs.mark("export", sealed=True)
    comments = "".join(f"# {line}\n" for line in [f"Written by {mark}.", *heading])
    if file_format == "python":
        from regstudy.production.script.generate import training_script  # loads torch, which the others do not need

        return outputs.seal(training_script(config, comments, fact(study, attributes.DATA) or {}))
    text = config_text(facts_of(chosen.trial)[attributes.CONFIG])
    if file_format == "json":
        tree = read_yaml_text(text, "the configuration")
        return outputs.seal(dumps({outputs.KEY: f"{mark}. {' '.join(heading)}", **tree}, indent=2) + "\n")
    return outputs.seal(comments + text)


def _config(trial: FrozenTrial) -> RunConfig:
    return parse_config(facts_of(trial)[attributes.CONFIG], f"The configuration of trial {trial.number}")


def _heading(study: optuna.Study, chosen: Chosen, trust: Trust) -> list[str]:
    trial, stored = chosen.trial, facts_of(chosen.trial)
    lines = [
        f"Trial {trial.number} of study {study.study_name}: in the search {fact(study, attributes.METRIC)}"
        f" {stored.get(attributes.BEST_VALUE, math.nan):.4f} at epoch {stored.get(attributes.BEST_EPOCH)}.",
        *([chosen.why] if chosen.why else []),
        *trust.sentences,
        "To reproduce the curve bit for bit, use the same machine and --threads"
        f" {stored.get(attributes.THREADS, '?')}.",
    ]
    return [" ".join(line.split()) for line in lines]  # a comment must not end where a name has a line break
