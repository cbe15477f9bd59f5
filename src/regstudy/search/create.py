"""Creating a study in its place, or finding there the one to resume."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import optuna

from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import Splits
from regstudy.errors import ConfigError, StudyError
from regstudy.files import check_folder, make_folder
from regstudy.space.fixed_plan import stored_plan
from regstudy.space.loader import read_yaml_text, yaml_text
from regstudy.space.parsing import ConfigCheck, differences
from regstudy.space.plan import Plan, PlanKind
from regstudy.study import attributes
from regstudy.study.place import StudyPlace, find_study, kind_of
from regstudy.study.storage import check_local_disk, exclusive, masked, open_storage

PACKAGES = ("regstudy", "torch", "torchvision", "optuna", "numpy", "scikit-learn")
STORED: dict[PlanKind, str] = {"search": attributes.SPACE, "comparison": attributes.PLAN}
STORED_NAMES = frozenset(STORED.values())


def _check_direction(study: optuna.Study, place: StudyPlace, plan: Plan) -> None:
    """StudyError if a study, an empty one of somebody else's perhaps, has not the direction of the plan's metric."""
    wanted = str(plan.study.direction)
    found = ", ".join(direction.name.lower() for direction in study.directions)
    if found != wanted:
        raise StudyError(
            f"{place} holds a study that was made to {found}, but this one is to {wanted} {plan.study.metric}. Start"
            " another study with --study NEWNAME."
        )


def check_place(place: StudyPlace, plan: Plan) -> optuna.Study | None:
    """The study to go on with, None if one is to be created; changes nothing.

    StudyError with the differences if the place holds a study of something else; StorageError if SQLite cannot be used
    there.
    """
    check_folder(place.folder)
    if place.storage is None:
        check_local_disk(place.folder)
    study = find_study(place)
    if study is not None:
        _check_direction(study, place, plan)
    if study is None or study.user_attrs.get(attributes.FINGERPRINT) == plan.fingerprint or _unfinished(study):
        return study
    ours = attributes.FINGERPRINT in study.user_attrs
    if ours and kind_of(study) != plan.kind:
        raise StudyError(
            f"{place} holds a {kind_of(study)}, not a {plan.kind}. Start another study with --study NEWNAME."
        )
    changed = "; ".join(_changes(_stored(study, place, plan), plan.plain())) if ours else "regstudy did not make it"
    if not changed:
        return study  # the same numbers, written otherwise: 1 and 1.0
    if plan.kind == "comparison":
        raise StudyError(
            f"{place} holds another comparison ({changed}). Give the arms back their values to go on, or start another"
            " study with --study NEWNAME."
        )
    raise StudyError(
        f"{place} holds a study of another space ({changed}). Trials of different spaces cannot be compared:"
        " give the space back its values to go on, or start another study with --study NEWNAME."
    )


def _changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs between two plans; an arm that only one of them has is one line, not one for each of its values."""
    before, after = old.get("arms") or {}, new.get("arms") or {}
    lines = [f"there was no arm '{name}'" for name in after if name not in before and before]
    lines += [f"the arm '{name}' is missing" for name in before if name not in after and after]
    if not lines:
        return differences(old, new)
    both = before.keys() & after.keys()
    return lines + differences(
        {**old, "arms": {name: before[name] for name in both}, "order": None},
        {**new, "arms": {name: after[name] for name in both}, "order": None},
    )


def _stored(study: optuna.Study, place: StudyPlace, plan: Plan) -> dict[str, Any]:
    """The plain values of the plan that a study was made for, fields that later versions have added included."""
    raw = read_yaml_text(study.user_attrs.get(STORED[plan.kind], "{}"), str(place))
    try:
        return stored_plan(plan.kind, raw, plan.name, str(place)).plain()
    except ConfigError:
        return dict(raw)


def plan_of_study(study: optuna.Study, source: str, checks: Iterable[ConfigCheck] = ()) -> Plan:
    """The plan that a study keeps; StudyError if it was not made by regstudy, ConfigError if the plan is no more valid.

    ``source`` says in errors where the study is.
    """
    facts, kind = study.user_attrs, kind_of(study)
    if attributes.FINGERPRINT not in facts or attributes.TRIALS not in facts:
        raise StudyError(
            f"{source} was not started by `regstudy study` or `regstudy compare`, so it has no slots to work on."
        )
    name = study.study_name if kind == "comparison" else str(facts[attributes.SPACE_NAME])
    return stored_plan(kind, read_yaml_text(facts[STORED[kind]], source), name, source, checks)


def create_study(
    place: StudyPlace, plan: Plan, splits: Splits, *, command: str = "", facts: Mapping[str, Any] | None = None
) -> optuna.Study:
    """The study in its place, created with all that describes it unless it is there already.

    ``command`` reproduces the study, ``facts`` are further study attributes. A study that is there keeps what it was
    created with, but StudyError is raised if its images were others.
    """
    make_folder(place.folder)
    with exclusive(place.url):
        study = find_study(place)
        if study is None or _unfinished(study):
            if study is not None:
                _check_direction(study, place, plan)
            before = study.user_attrs if study is not None else {}
            study = optuna.create_study(
                study_name=place.name,
                storage=open_storage(place.url),
                direction=plan.study.direction,
                load_if_exists=True,
            )
            # a creation that was cut short may have been of the other kind
            stale = {name: "" for name in STORED.values() if name in before}
            described = stale | _describe(plan) | {attributes.DATA: splits.describe()} | dict(facts or {})
            for name, value in {**described, attributes.FINGERPRINT: plan.fingerprint}.items():
                study.set_user_attr(name, value)  # the fingerprint comes last: with it the creation is complete
    known = study.user_attrs[attributes.DATA]["split_hash"]
    if known != splits.hash:
        raise StudyError(
            f"The images of {place} have changed since the study began: split {known} is now {splits.hash}."
            " Restore them, or start another study with --study NEWNAME."
        )
    study.set_user_attr(attributes.COMMAND, masked(command))  # the latest: it says how many trials
    return study


def versions() -> dict[str, str]:
    """Versions of what decides the numbers, with the machine's kind."""
    facts = {package: version(package) for package in PACKAGES}
    return facts | {"python": platform.python_version(), "machine": platform.machine()}


def _describe(plan: Plan) -> dict[str, Any]:
    facts = {
        STORED[plan.kind]: yaml_text(plan.plain()),
        attributes.SPACE_NAME: plan.name,
        attributes.METRIC: plan.study.metric,
        attributes.REGULARIZERS: RunConfig.regularizers,
        attributes.SEED: plan.study.seed,
        attributes.VERSIONS: versions(),
        attributes.EPOCHS_PLANNED: plan.planned_epochs,
    }
    return facts | ({attributes.NUISANCES: plan.nuisances()} if plan.adaptive else {})


def _unfinished(study: optuna.Study) -> bool:
    """Whether the process that was creating the study ended before it was done."""
    ours = not study.user_attrs or not STORED_NAMES.isdisjoint(study.user_attrs)
    return attributes.FINGERPRINT not in study.user_attrs and ours and not study.get_trials(deepcopy=False)
