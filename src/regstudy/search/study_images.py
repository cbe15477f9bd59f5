"""The images of a study, and what is used instead where they are unavailable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from regstudy import data
from regstudy.data.file_rule import LATEST_RULE
from regstudy.data.image_set import Splits
from regstudy.data.pool import load_pool
from regstudy.data.split_source import SplitSource
from regstudy.errors import DataUnavailable, StudyError
from regstudy.search.events import Listener, SubstituteData
from regstudy.space.plan import Plan
from regstudy.study import attributes
from regstudy.study.place import StudyPlace, find_study
from regstudy.study.storage import in_words

P = TypeVar("P", bound=Plan)


@dataclass(frozen=True)
class Images:
    """The images of a study, the requested data set, and why another one is used, if so.

    ``load`` reads them again, so that they can be split anew.
    """

    splits: Splits
    requested: str
    load: Callable[[], SplitSource]
    why_fallback: str | None = None

    def facts(self) -> dict[str, Any]:
        """What a study stores about its images."""
        return {**self.splits.describe(), "requested": self.requested, "fallback_reason": self.why_fallback}


def gather(
    plan: P, fallback: P | None, data_dir: Path, listen: Listener, place: Callable[[P], StudyPlace] | None = None
) -> tuple[P, Images]:
    """A plan with its images; if they are unavailable, its fallback with other images, which is announced as an event.

    ``place`` gives the place of the plan's study, whose rule for image files is kept. Raises DataError, or
    DataUnavailable if there is no fallback.
    """
    requested = plan.data.name

    def images(plan: P, why_fallback: str | None = None) -> Images:
        given = (plan.data, data_dir, listen, stored_rule(plan, place(plan)) if place else LATEST_RULE)
        return Images(data.prepare(*given), requested, partial(load_pool, *given), why_fallback)

    try:
        return plan, images(plan)
    except DataUnavailable as error:
        if fallback is None:
            raise
        why = str(error)
    listen(SubstituteData(fallback.data.name, why))
    return fallback, images(fallback, why)


def stored_rule(plan: Plan, place: StudyPlace) -> int:
    """The rule for image files of the study in a place, or of new studies if there is none."""
    if plan.data.name != "image_folder":
        return LATEST_RULE
    with in_words(place.url):
        study = find_study(place)
    return LATEST_RULE if study is None else rule_of(study.user_attrs.get(attributes.DATA))


def rule_of(known: Mapping[str, Any] | None) -> int:
    """The rule for image files that a study has stored; StudyError if it is that of a later version.

    Studies of version 0.1.0 stored none.
    """
    if known is None:
        return LATEST_RULE
    rule = known.get("file_rule", 1 if known.get("name") == "image_folder" else None)
    if rule is None:
        return LATEST_RULE
    if rule not in range(1, LATEST_RULE + 1):
        raise StudyError(
            f"This study uses rule {rule} for image files, but this version of regstudy only knows the rules up to"
            f" {LATEST_RULE}. Use the version that created the study."
        )
    return int(rule)
