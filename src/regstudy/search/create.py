"""Create a study, or find the existing one to resume."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import optuna

from regstudy.config.package_versions import package_version
from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import Splits
from regstudy.errors import ConfigError, StudyError
from regstudy.files import check_folder, make_folder
from regstudy.search.known_start import fits_words
from regstudy.search.stored_weights import folders_of_runs
from regstudy.space.fixed_plan import stored_plan
from regstudy.space.parsing import ConfigCheck, differences
from regstudy.space.plan import Plan, PlanKind
from regstudy.space.search_space import Space
from regstudy.space.yaml_values import read_yaml_text, yaml_text
from regstudy.study import attributes
from regstudy.study.passwords import masked
from regstudy.study.place import DATABASE_FILE, StudyPlace, find_study, kind_of
from regstudy.study.storage import check_database_file, check_local_disk, exclusive, open_storage
from regstudy.study.stored_facts import fact, facts_of

VERSIONED_PACKAGES = ("regstudy", "torch", "torchvision", "optuna", "numpy", "scikit-learn")
PLAN_ATTRIBUTE: dict[PlanKind, str] = {"search": attributes.SPACE, "comparison": attributes.PLAN}
PLAN_ATTRIBUTES = frozenset(PLAN_ATTRIBUTE.values())

ANOTHER_NAME = "Use another study name (--study NAME)."


def _check_direction(study: optuna.Study, place: StudyPlace, plan: Plan) -> None:
    """StudyError if the study's direction (minimize or maximize) is not that of the plan's metric."""
    wanted = str(plan.study.direction)
    found = ", ".join(direction.name.lower() for direction in study.directions)
    if found != wanted:
        raise StudyError(
            f"{place} holds a study that was created to {found}, but this one must {wanted} {plan.study.metric}."
            f" {ANOTHER_NAME}"
        )


def check_folders(folder: Path) -> None:
    """FileError if something is in the way of a study's folder or of those for its weights and checkpoints."""
    for one in (folder, *folders_of_runs(folder)):
        check_folder(one)


def check_place(place: StudyPlace, plan: Plan) -> optuna.Study | None:
    """The study to resume, None if one must be created; changes nothing.

    StudyError with the differences if the place holds a different study; StorageError if SQLite cannot be used there;
    FileError if something in the study's folder is in the way.
    """
    check_folders(place.folder)
    if place.storage is None:
        check_local_disk(place.folder)
        check_database_file(place.folder / DATABASE_FILE)
    study = find_study(place, ANOTHER_NAME)
    if study is not None:
        _check_direction(study, place, plan)
    if study is None or fact(study, attributes.FINGERPRINT) == plan.fingerprint or _unfinished(study):
        return study
    ours = fact(study, attributes.FINGERPRINT) is not None
    if ours and kind_of(study) != plan.kind:
        raise StudyError(f"{place} holds a {kind_of(study)}, not a {plan.kind}. {ANOTHER_NAME}")
    changed = "; ".join(_changes(_stored(study, place, plan), plan.plain())) if ours else "regstudy did not create it"
    if not changed:
        return study  # the same numbers, written otherwise: 1 and 1.0
    if plan.kind == "comparison":
        raise StudyError(
            f"{place} holds a different comparison ({changed}). Restore the original arms to resume it, or use another"
            " study name (--study NAME)."
        )
    fitting = fits_words(study, str(place), plan) if isinstance(plan, Space) else ""
    fitting = f" {fitting[0].upper()}{fitting[1:]}" if fitting else ""
    raise StudyError(
        f"{place} holds a study of a different space ({changed}). Trials of different spaces are not comparable."
        " Restore the original values to resume it, or use another study name (--study NAME). To start that one from"
        f" what this one has found, add --from {place.folder}.{fitting}"
    )


def _changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs between two plans; an arm that only one of them has is reported as one line."""
    before, after = old.get("arms") or {}, new.get("arms") or {}
    lines = [f"the arm '{name}' is new" for name in after if name not in before and before]
    lines += [f"the arm '{name}' is missing" for name in before if name not in after and after]
    if not lines:
        return differences(old, new)
    both = before.keys() & after.keys()
    return lines + differences(
        {**old, "arms": {name: before[name] for name in both}, "order": None},
        {**new, "arms": {name: after[name] for name in both}, "order": None},
    )


def _stored(study: optuna.Study, place: StudyPlace, plan: Plan) -> dict[str, Any]:
    """The plain values of the plan that a study was created for, including fields added by later versions."""
    raw = read_yaml_text(fact(study, PLAN_ATTRIBUTE[plan.kind], "{}"), str(place))
    try:
        return stored_plan(plan.kind, raw, plan.name, str(place)).plain()
    except ConfigError:
        return dict(raw)


def plan_of_study(study: optuna.Study, source: str, checks: Iterable[ConfigCheck] = ()) -> Plan:
    """The plan stored in a study; StudyError if regstudy did not create it, ConfigError if the plan is no longer valid.

    ``source`` names the study in errors.
    """
    facts, kind = facts_of(study), kind_of(study)
    needed = {attributes.FINGERPRINT, attributes.TRIALS, attributes.SPACE_NAME, attributes.DATA, PLAN_ATTRIBUTE[kind]}
    if not needed <= facts.keys():
        raise StudyError(
            f"{source} was not started by `regstudy study` or `regstudy compare`, so it has no trials to run."
        )
    name = study.study_name if kind == "comparison" else str(facts[attributes.SPACE_NAME])
    return stored_plan(kind, read_yaml_text(facts[PLAN_ATTRIBUTE[kind]], source), name, source, checks)


def create_study(
    place: StudyPlace, plan: Plan, splits: Splits, *, command: str = "", facts: Mapping[str, Any] | None = None
) -> optuna.Study:
    """The study in its place; if it does not exist, it is created with everything that describes it.

    ``command`` reproduces the study, ``facts`` are further study attributes. An existing study keeps the attributes it
    was created with; StudyError is raised if its images were different.
    """
    make_folder(place.folder)
    with exclusive(place.url):
        study = find_study(place, ANOTHER_NAME)
        if study is None or _unfinished(study):
            if study is not None:
                _check_direction(study, place, plan)
            before = study.user_attrs if study is not None else {}
            study = optuna.create_study(
                study_name=place.name if study is None else study.study_name,
                storage=open_storage(place.url),
                direction=plan.study.direction,
                load_if_exists=True,
            )
            # an interrupted creation may have been of the other kind
            stale = {name: "" for name in PLAN_ATTRIBUTE.values() if name in before}
            described = stale | _describe(plan) | {attributes.DATA: splits.describe()} | dict(facts or {})
            for name, value in {**described, attributes.FINGERPRINT: plan.fingerprint}.items():
                study.set_user_attr(name, value)  # the fingerprint comes last: with it the creation is complete
    known = fact(study, attributes.DATA, {"split_hash": "unknown"})["split_hash"]
    if known != splits.hash:
        raise StudyError(
            f"The images have changed since the study {place} was created: split {known} is now {splits.hash}."
            f" Restore them, or use another study name (--study NAME)."
        )
    study.set_user_attr(
        attributes.COMMAND, masked(command, [place.url])
    )  # the latest one, because it contains the number of trials
    return study


def versions() -> dict[str, str]:
    """Versions of the packages that affect the results, and the machine type."""
    facts = {package: package_version(package) for package in VERSIONED_PACKAGES}
    return facts | {"python": platform.python_version(), "machine": platform.machine()}


def _describe(plan: Plan) -> dict[str, Any]:
    facts = {
        PLAN_ATTRIBUTE[plan.kind]: yaml_text(plan.plain()),
        attributes.SPACE_NAME: plan.name,
        attributes.METRIC: plan.study.metric,
        attributes.REGULARIZERS: RunConfig.regularizers,
        attributes.SEED: plan.study.seed,
        attributes.VERSIONS: versions(),
        attributes.EPOCHS_PLANNED: plan.planned_epochs,
    }
    if plan.kind == "search" and plan.study.gap_at_most is not None:
        facts[attributes.GAP_AT_MOST] = plan.study.gap_at_most
    return facts | ({attributes.NUISANCES: plan.nuisances()} if plan.adaptive else {})


def _unfinished(study: optuna.Study) -> bool:
    """Whether the process that was creating the study ended before it was finished."""
    ours = not study.user_attrs or not PLAN_ATTRIBUTES.isdisjoint(study.user_attrs)
    return attributes.FINGERPRINT not in study.user_attrs and ours and not study.get_trials(deepcopy=False)
