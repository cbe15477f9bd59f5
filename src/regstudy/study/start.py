"""What a search has started from: configurations to try first, and trials of earlier studies that inform its sampler.

It is stored with the study, so that workers in other processes and on other machines know it, too. Trials of earlier
studies are no trials of this one: they are in no table, no ranking and no count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import optuna

from regstudy.space.ranges import Scalar
from regstudy.study import attributes
from regstudy.study.stored_facts import fact
from regstudy.text import counted, listing

Params = Mapping[str, Scalar]


@dataclass(frozen=True)
class EarlierTrial:
    """A point of the space, and what it measured in its own study; ``gap`` is None if that was not recorded."""

    params: Params
    value: float
    gap: float | None = None


@dataclass(frozen=True)
class Source:
    """An earlier study. ``since`` tells it from another one of its name; ``trials`` are those that had finished.

    ``same_images``: it used the same split of the same images. ``same``: how many of its trials measure what trials of
    the new study do. ``prior``: how many fit the space but differ in something else, by what that is. ``left_out``: how
    many do not fit, by reason. ``tried``: how many of the best are tried again first. ``known``: those that measure the
    same, for the sampler; some of them if there are many.
    """

    study: str
    where: str
    since: str
    same_images: bool
    trials: int
    same: int
    prior: Mapping[str, int]
    left_out: Mapping[str, int]
    tried: int
    known: tuple[EarlierTrial, ...] = field(repr=False)


@dataclass(frozen=True)
class Start:
    """``tries``: parameters by slot. ``files``: names of what the user wants to be tried, without earlier studies."""

    tries: Mapping[int, Params] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As plain values for an attribute; `stored_start` reads them."""
        plain: dict[str, Any] = json.loads(
            json.dumps(asdict(self))
        )  # which makes text of the slots, and lists of tuples
        return plain

    def words(self) -> str:
        """One line about what the search knew when it began; empty for a cold start."""
        parts = [f"it first tried {listing(list(self.files))}"] if self.files else []
        for source in self.sources:
            images = "the same images" if source.same_images else "other images"
            fitting = counted(source.same + sum(source.prior.values()), "trial")
            parts.append(f"it began with {fitting} of the study {source.study} on {images}, which are not its own")
        if not parts:
            return ""
        return f"This search was no cold start: {listing(parts)}. Compare it only with one that knew as much."


def stored_start(study: optuna.Study) -> Start:
    """What a study has started from; an empty start if it knew nothing, or if what is stored is not well-formed."""
    found = fact(study, attributes.START)
    return Start() if found is None else parse_start(found)


def parse_start(found: Mapping[str, Any]) -> Start:
    """A start from the plain values of `Start.plain`."""
    sources = [
        Source(**{**source, "known": tuple(EarlierTrial(**trial) for trial in source["known"])})
        for source in found["sources"]
    ]
    tries = {int(slot): params for slot, params in found["tries"].items()}
    return Start(tries, tuple(found["files"]), tuple(sources))
