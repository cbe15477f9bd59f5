"""One of several searched studies on a page: what its confirmation says, what it cost, and where it searched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from regstudy.analysis.between_studies import claims, level_of
from regstudy.analysis.claim import UNKNOWN, Estimate
from regstudy.analysis.confirmation import Confirmation, Leader, confirmation
from regstudy.analysis.gap import compare, relations
from regstudy.errors import ConfigError, RegstudyError, StudyError
from regstudy.metrics import Metric
from regstudy.report.answer_phrasing import Answer, answer
from regstudy.report.next_actions import arguments_of
from regstudy.report.phrasing import NONE
from regstudy.report.verdict_phrasing import verdict
from regstudy.space.yaml_values import read_yaml_text
from regstudy.study import attributes
from regstudy.study.companion import find_confirmation
from regstudy.study.load_tables import load_tables
from regstudy.study.place import StudyPlace, kind_of, open_study
from regstudy.study.stored_facts import fact
from regstudy.study.tables import Tables


@dataclass(frozen=True)
class SearchedStudy:
    """``label``: its name, with its place where two have the same; ``space``: its settings by dotted path, in words."""

    place: StudyPlace
    label: str
    tables: Tables
    fresh: Tables | None
    confirmed: Confirmation | None
    answer: Answer
    space: Mapping[str, str]

    @property
    def metric(self) -> Metric:
        """The metric of its values and gaps."""
        return self.tables.measured

    @property
    def claimed(self) -> bool:
        """Whether its fresh runs say how good its model is."""
        return claims(self.confirmed)

    @property
    def model(self) -> Leader | None:
        """What it recommends to train; None without fresh runs."""
        return None if self.confirmed is None else self.confirmed.recommended

    @property
    def level(self) -> Estimate:
        """The value of its model on fresh seeds, never the one that selected it."""
        return level_of(self.confirmed, "value") if self.confirmed is not None and self.claimed else UNKNOWN

    @property
    def gap(self) -> Estimate:
        """The gap of its model on fresh seeds."""
        return level_of(self.confirmed, "gap") if self.confirmed is not None and self.claimed else UNKNOWN

    @cached_property
    def trials(self) -> int:
        """Search trials that have ended with a result."""
        return int(self.tables.ended().sum())

    @cached_property
    def epochs(self) -> int:
        """Epochs of the search and the confirmation."""
        return sum(int(each.epochs_run().sum()) for each in (self.tables, self.fresh) if each is not None)

    @cached_property
    def seconds(self) -> float:
        """Training time of both; NaN if it was not recorded."""
        found = [float(each.trials["seconds"].sum()) for each in (self.tables, self.fresh) if each is not None]
        return sum(found) or math.nan


def searched_studies(places: Sequence[StudyPlace]) -> list[SearchedStudy]:
    """The studies in these places. Raises one error that names every place that cannot be compared, and why."""
    problems, opened = [], []
    for place in places:
        try:
            study = open_study(place)
            if kind_of(study) == "comparison":
                raise StudyError(
                    f"{place} is a comparison of fixed configurations (`regstudy compare`), which searches nothing."
                    " Only searched studies can be compared here; its own page says which arm is better."
                )
            opened.append((place, study))
        except RegstudyError as error:
            problems.append(str(error))
    found = [(study.study_name, place.url) for place, study in opened]
    problems += [
        f"{place} is given {found.count(one)} times, but a study cannot be compared with itself. Give each once."
        for n, ((place, _), one) in enumerate(zip(opened, found, strict=True))
        if one in found[n + 1 :] and one not in found[:n]
    ]
    if problems:
        listed = "".join(f"\n  - {one}" for one in problems)
        raise StudyError(
            problems[0] if len(problems) == 1 else f"{len(problems)} of the studies cannot be used:{listed}"
        )
    names = [study.study_name for _, study in opened]
    labels = [name if names.count(name) == 1 else str(place) for name, (place, _) in zip(names, opened, strict=True)]
    return [_read(place, study, label) for (place, study), label in zip(opened, labels, strict=True)]


def _read(place: StudyPlace, study: Any, label: str) -> SearchedStudy:
    tables, companion = load_tables(study), find_confirmation(place, study)
    fresh = None if companion is None else load_tables(companion)
    compared, confirmed = compare(tables), confirmation(tables, fresh)
    told = answer(
        confirmed, tables, verdict(tables, compared, relations(tables)), arguments_of(place),
        unlearned=compared.nothing_learned,
    )  # fmt: skip
    if compared.nothing_learned:
        confirmed = None
    return SearchedStudy(place, label, tables, fresh, confirmed, told, _space(study, str(place)))


def _space(study: Any, source: str) -> dict[str, str]:
    try:
        raw = read_yaml_text(fact(study, attributes.SPACE, "{}"), source)
    except ConfigError:
        return {}
    return dict(_settings(raw, "")) if isinstance(raw, dict) else {}


def _settings(node: Any, path: str) -> list[tuple[str, str]]:
    if isinstance(node, dict) and "low" in node and "high" in node:
        words = f"{node['low']} to {node['high']}"
        more = [
            key if value is True else f"{key} {value}"
            for key, value in node.items()
            if key not in ("low", "high", "default")
        ]
        return [(path, ", ".join([words, *more]))]
    if isinstance(node, dict) and "choices" in node:
        options = node["choices"]
        return [(path, "one of " + ", ".join(map(_word, options)))]
    if isinstance(node, dict):
        return [each for key, inner in node.items() for each in _settings(inner, f"{path}.{key}".lstrip("."))]
    return [(path, _word(node))]


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_word, value)) or NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
