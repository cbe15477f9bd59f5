"""Starting a search from what is known: configurations to try first, and earlier studies.

What is tried again is a trial of the new study like any other, with its own seed, so that nothing of another study
enters a ranking. Each has a slot, so that it is tried once however often the command is repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import optuna

from regstudy.errors import StudyError
from regstudy.search.earlier_study import open_earlier, reasons, source_of
from regstudy.search.tried_files import Given, tried
from regstudy.space.plan import Plan
from regstudy.space.search_space import Space, is_baseline
from regstudy.study import attributes
from regstudy.study.place import StudyPlace
from regstudy.study.start import Params, Source, Start, stored_start
from regstudy.study.storage import exclusive
from regstudy.study.stored_facts import fact
from regstudy.text import counted

MOST_TRIED = 5  # points of earlier studies that are tried again
TRIED_SHARE = 5  # at most one of so many search trials goes to them


@dataclass(frozen=True)
class StartRequest:
    """What the user wants a search to start from; ``storage`` is the server of the new study."""

    tries: Sequence[Given] = ()
    sources: Sequence[Path] = ()
    storage: str | None = None


@dataclass(frozen=True)
class KnownStart:
    """What is new for a study: points to try, what they are called, earlier studies, and what to tell the user."""

    points: tuple[Params, ...] = ()
    files: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()

    def added_to(self, study: optuna.Study | None) -> Start:
        """What a study then starts from: each point that is new gets the next slot that nobody has begun."""
        start = stored_start(study) if study is not None else Start()
        new = [point for point in self.points if point not in start.tries.values()]
        slots = dict(zip(_free(study, start), new, strict=False))
        files = tuple(dict.fromkeys([*start.files, *self.files]))
        sources = (*start.sources, *(one for one in self.sources if not _among(one, start.sources)))
        return Start({**start.tries, **slots}, files, sources)

    def facts(self) -> dict[str, Any]:
        """What a new study stores, none for a cold start."""
        start = self.added_to(None)
        return {} if start == Start() else {attributes.START: start.plain()}

    def keep(self, url: str, study: optuna.Study) -> None:
        """Store it with a study that may be there already."""
        with exclusive(url) as check_lock:
            start = self.added_to(study)
            if start != stored_start(study):
                check_lock()
                study.set_user_attr(attributes.START, start.plain())


def known_start(
    request: StartRequest, plan: Plan, place: StudyPlace, split_hash: str, study: optuna.Study | None, trials: int
) -> KnownStart:
    """What a search with this many trials is to start from, beyond what the study already has; changes nothing.

    Raises ConfigError for configurations that do not lie in the space, and StudyError for studies that cannot be used.
    """
    if not isinstance(plan, Space) or not (request.tries or request.sources):
        return KnownStart()
    stored = stored_start(study) if study is not None else Start()
    given = tried(plan, request.tries)
    points = _distinct([one.params for one in given])
    notes = [note for one in given for note in one.notes]
    added = [point for point in points if point not in stored.tries.values()]
    if given:
        notes.append(_tried_words(len(given), len(points), len(added)))
    most = max(1, min(MOST_TRIED, trials // TRIED_SHARE) // max(len(request.sources), 1))
    sources: list[Source] = []
    for path in request.sources:
        old, where = open_earlier(path, request.storage, place)
        source, best = source_of(old, str(where), plan, split_hash, most)
        if _among(source, (*stored.sources, *sources)):
            twice = _among(source, sources)
            notes.append(f"{where} is given twice." if twice else f"The study has already started from {where}.")
            continue
        sources.append(source)
        added += [point for point in best if point not in added and point not in stored.tries.values()]
        notes.append(source_words(source))
    held = sum(slot < trials for slot in _first(_free(study, stored), len(added)))
    if held < len(added):
        notes.append(
            f"{held} of {counted(len(added), 'configuration')} fit in what is left of"
            f" {counted(trials, 'search trial')}. The rest is tried when you raise --trials."
        )
    return KnownStart(tuple(added), tuple(one.name for one in given), tuple(sources), tuple(notes))


def source_words(source: Source) -> str:
    """What is imported from an earlier study, what is not and why."""
    prior = sum(source.prior.values())
    parts = [f"Starting from {source.where}: {counted(source.trials, 'finished trial')}."]
    if source.same:
        some = f" (an even choice of {len(source.known)})" if len(source.known) < source.same else ""
        parts.append(
            f"{source.same} measure what trials of this study do (same images, metric and fixed values), so the sampler"
            f" learns from them{some}."
        )
    if prior:
        images = " on other images, or on another split of them" if not source.same_images else ""
        parts.append(
            f"{prior} fit the space but measure something else{images} (they differ in {reasons(source.prior)}), so"
            " their values are no more than a hint."
        )
    if source.left_out:
        count = sum(source.left_out.values())
        parts.append(f"{count} {'does' if count == 1 else 'do'} not fit: {reasons(source.left_out)}.")
    if source.tried:
        which = "best of those that fit is" if source.tried == 1 else f"best {source.tried} of those that fit are"
        parts.append(f"The {which} tried again first.")
    parts.append("No earlier trial counts toward --trials or enters a ranking.")
    return " ".join(parts)


def fits_words(study: optuna.Study, where: str, space: Space) -> str:
    """How many trials of a study fit a changed space, for the error about the change; empty if none do."""
    known = str((fact(study, attributes.DATA) or {}).get("split_hash"))
    try:
        source, _ = source_of(study, where, space, known, MOST_TRIED)
    except StudyError:
        return ""
    fitting = source.same + sum(source.prior.values())
    why = f" (the others: {reasons(source.left_out)})" if source.left_out else ""
    return f"{fitting} of its {counted(source.trials, 'finished trial')} fit the new space{why}."


def tries_of(study: optuna.Study) -> Mapping[int, Params]:
    """The points that slots of a study are to try."""
    return stored_start(study).tries


def _tried_words(given: int, points: int, added: int) -> str:
    again = f" ({points - added} already in the study)" if added < points else ""
    equal = f" ({given - points} equal to another one)" if points < given else ""
    return f"To try first: {counted(points, 'configuration')}{equal}{again}, counted as trials of the search."


def _distinct(points: Sequence[Params]) -> list[Params]:
    made: list[Params] = []
    for point in points:
        if point not in made:
            made.append(point)
    return made


def _free(study: optuna.Study | None, start: Start) -> Iterator[int]:
    """Slots of the search that nobody has begun, and that have nothing to try yet, ascending."""
    trials = study.get_trials(deepcopy=False) if study is not None else ()
    begun = {fact(trial, attributes.SLOT) for trial in trials} | start.tries.keys()
    return (slot for slot in count() if not is_baseline(slot) and slot not in begun)


def _first(slots: Iterator[int], number: int) -> list[int]:
    return [slot for slot, _ in zip(slots, range(number), strict=False)]


def _among(source: Source, others: Sequence[Source]) -> bool:
    return any((source.study, source.since) == (other.study, other.since) for other in others)
