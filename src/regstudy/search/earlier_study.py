"""An earlier study as a source of knowledge for a new one: which of its trials fit the new space, and why others don't.

A finished trial of the earlier study that the new space could draw, with the same images, the same metric and equal
values of everything that the space fixes, measures what a trial of the new study would. If anything of that differs, it
is only a prior: its best points are worth a try, but its values would mislead a sampler, as benchmarks/warm_start.py
shows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from regstudy.config.run_config import config_problems, parse_config
from regstudy.errors import StudyError
from regstudy.metrics import metric_or_accuracy
from regstudy.space.known_values import KnownValues, values_in
from regstudy.space.search_space import Space
from regstudy.study import attributes
from regstudy.study.companion import began
from regstudy.study.place import DATABASE_SUFFIXES, StudyPlace, find_study, kind_of, open_study, place_at
from regstudy.study.queue_state import FINISHED
from regstudy.study.ranking import direction_of, gap_of_trial, within
from regstudy.study.start import EarlierTrial, Params, Source
from regstudy.study.storage import in_words, sqlite_path
from regstudy.study.stored_facts import fact, facts_of
from regstudy.text import counted

MOST_KNOWN = 200  # trials of a study that are kept; more would slow the sampler down


def open_earlier(path: Path, storage: str | None, here: StudyPlace) -> tuple[optuna.Study, StudyPlace]:
    """The study at a path, else the one of its name on the server. StudyError unless it can inform one in ``here``."""
    if path.is_file() and path.suffix.lower() not in DATABASE_SUFFIXES:
        raise StudyError(f"{path} (--from) is a file, not the folder of a study. To try a configuration, use --try.")
    place = place_at(path)
    with in_words(place.url):
        study = find_study(place)
    if study is None and storage is not None:
        place = place_at(path, storage)
    with in_words(place.url):
        study = study or open_study(place)
        if study.study_name == here.name and _same_database(place.url, here.url):
            raise StudyError(f"{place} (--from) is this study itself, which resumes from its own trials.")
        if kind_of(study) != "search":
            raise StudyError(f"{place} (--from) is a {kind_of(study)}. Only the trials of a search can be used.")
        if not {attributes.SPACE, attributes.METRIC, attributes.DATA} <= facts_of(study).keys():
            raise StudyError(f"{place} (--from) was not created by `regstudy study`, so its trials cannot be used.")
        if not study.get_trials(deepcopy=False, states=FINISHED):
            raise StudyError(f"{place} (--from) has no finished trials to start from.")
    return study, place


def _same_database(one: str, other: str) -> bool:
    paths = sqlite_path(one), sqlite_path(other)
    return one == other if None in paths else paths[0].resolve() == paths[1].resolve()  # type: ignore[union-attr]


def source_of(
    study: optuna.Study, where: str, space: Space, split_hash: str, most_tried: int
) -> tuple[Source, list[Params]]:
    """What a new study of a space on these images can know from an earlier one, and which points to try again first.

    StudyError if that is nothing.
    """
    same_images = (fact(study, attributes.DATA) or {}).get("split_hash") == split_hash
    same_metric = fact(study, attributes.METRIC) == space.study.metric
    common = next((what for what, yes in (("images", same_images), ("metric", same_metric)) if not yes), None)
    prior, left_out, known, again = Counter[str](), Counter[str](), list[EarlierTrial](), list[EarlierTrial]()
    trials = study.get_trials(deepcopy=False, states=FINISHED)
    of = metric_or_accuracy(fact(study, attributes.METRIC))
    for trial in trials:
        facts = facts_of(trial)
        placed = _placed(space, facts.get(attributes.CONFIG))
        value = _value(trial, facts)
        if isinstance(placed, str) or value is None:
            left_out[placed if isinstance(placed, str) else "its value is not stored"] += 1
            continue
        gap = gap_of_trial(trial, of)
        earlier = EarlierTrial(placed.params, value, gap if math.isfinite(gap) else None)
        if differs := common or next(iter(placed.fixed), None):
            prior[differs] += 1
        else:
            known.append(earlier)
        if (
            trial.state == TrialState.COMPLETE
            and facts.get(attributes.OUTCOME) != "diverged"
            and facts.get(attributes.ARM) != "baseline"
            and (not same_metric or within(gap, space.study.gap_at_most))
        ):
            again.append(earlier)
    if not known and not prior:
        finished = counted(len(trials), "finished trial")
        raise StudyError(f"{where} (--from): none of its {finished} fits the space: {reasons(left_out)}.")
    maximize = direction_of(study).name == "MAXIMIZE"
    points = _best(again, most_tried, maximize)
    kept = _spread(known, maximize)
    name, since = study.study_name, began(study)
    why, not_ = dict(prior), dict(left_out)
    source = Source(name, where, since, same_images, len(trials), len(known), why, not_, len(points), kept)
    return source, points


def _placed(space: Space, config: Mapping[str, Any] | None) -> KnownValues | str:
    """A trial's configuration in the space, or why it does not fit."""
    if config is None or config_problems(config):
        return "its configuration is not stored"
    known = values_in(space, parse_config(config, "").model_dump(mode="json"))
    if known.outside:
        return f"{known.outside[0].path} is outside the space"
    return f"{known.missing[0]} is not set" if known.missing else known


def _best(trials: list[EarlierTrial], most: int, maximize: bool) -> list[Params]:
    """The points of the best trials, each once."""
    ranked = sorted(trials, key=lambda trial: trial.value, reverse=maximize)
    points: list[Params] = []
    for trial in ranked:
        if trial.params not in points:
            points.append(trial.params)
    return points[:most]


def _spread(trials: list[EarlierTrial], maximize: bool) -> tuple[EarlierTrial, ...]:
    """The trials in their order; of many, the best and an even choice of the others."""
    if len(trials) <= MOST_KNOWN:
        return tuple(trials)
    ranked = sorted(range(len(trials)), key=lambda place: trials[place].value, reverse=maximize)
    best, others = ranked[: MOST_KNOWN // 10], ranked[MOST_KNOWN // 10 :]
    wanted = MOST_KNOWN - len(best)
    kept = {*best, *(others[place * len(others) // wanted] for place in range(wanted))}
    return tuple(trial for place, trial in enumerate(trials) if place in kept)


def _value(trial: FrozenTrial, facts: Mapping[str, Any]) -> float | None:
    """The objective at the best epoch; Optuna keeps the last report of a pruned trial, which is not it."""
    return trial.value if trial.state == TrialState.COMPLETE else facts.get(attributes.BEST_VALUE)


def reasons(counts: Mapping[str, int]) -> str:
    """``optimizer.lr is outside the space (3), …``, the most frequent first."""
    return ", ".join(f"{reason} ({count})" for reason, count in Counter(counts).most_common())
