"""Reads the trials and epochs of a study into tables; nothing later needs to know how a study is stored."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from regstudy.config.run_config import flatten
from regstudy.metrics import CLEAN_TRAIN, GAP, METRICS, VALIDATION
from regstudy.records import COLUMNS, FOLD, more_columns
from regstudy.study import attributes
from regstudy.study.passwords import masked
from regstudy.study.ranking import direction_of
from regstudy.study.start import stored_start
from regstudy.study.stored_facts import facts_of
from regstudy.study.tables import EPOCH, PARAM, SERIES, TRIAL_COLUMNS, ParameterRange, Tables


def load_tables(study: optuna.Study) -> Tables:
    """Read a study with one objective. Raises StudyError if it has several."""
    direction = direction_of(study).name.lower()
    attrs = facts_of(study)
    metric = attrs.get(attributes.METRIC)
    trials = [trial for trial in study.get_trials(deepcopy=False) if _has_started(trial)]
    stored = [facts_of(trial) for trial in trials]
    columns = [(facts.get(attributes.EPOCHS) or {}).get("columns", ()) for facts in stored]
    own = [CLEAN_TRAIN + metric.removeprefix(VALIDATION), metric] if metric else []  # even before an epoch has ended
    names = (*COLUMNS, *dict.fromkeys(more_columns([*own, *(name for each in columns for name in each)])))
    records = [_records(facts, names) for facts in stored]
    folds = [_folds(facts) for facts in stored]
    return Tables(
        trials=_trial_table(trials, stored, records, folds, names, metric, maximize=direction == "maximize"),
        epochs=_epoch_table(trials, stored, records, folds if any(FOLD in each for each in columns) else None, names),
        name=study.study_name,
        metric=metric,
        direction=direction,
        space_name=attrs.get(attributes.SPACE_NAME),
        regularizers=dict(attrs.get(attributes.REGULARIZERS) or {}),
        nuisances=list(attrs.get(attributes.NUISANCES) or []),
        data=dict(attrs.get(attributes.DATA) or {}),
        command=masked(attrs.get(attributes.COMMAND) or "") or None,  # older versions masked less
        versions=dict(attrs.get(attributes.VERSIONS) or {}),
        epochs_planned=attrs.get(attributes.EPOCHS_PLANNED),
        seed=attrs.get(attributes.SEED),
        ranges={name: _range(value) for trial in trials for name, value in trial.distributions.items()},
        doctor=dict(attrs.get(attributes.DOCTOR) or {}),
        confusions=_by_trial(trials, stored, attributes.CONFUSION),
        groups=_by_trial(trials, stored, attributes.GROUPS),
        ablation=dict(attrs.get(attributes.ABLATION) or {}),
        race=dict(attrs.get(attributes.RACE) or {}),
        resolution=dict(attrs.get(attributes.RESOLUTION) or {}),
        final_model=dict(attrs.get(attributes.FINAL_MODEL) or {}),
        gap_at_most=attrs.get(attributes.GAP_AT_MOST),
        start=stored_start(study).words(),
        asked=attrs.get(attributes.TRIALS),
        malformed=_malformed(study, trials, attrs, stored),
    )


def _by_trial(trials: list[FrozenTrial], stored: list[dict[str, Any]], name: str) -> dict[int, dict[str, Any]]:
    return {trial.number: facts[name] for trial, facts in zip(trials, stored, strict=True) if facts.get(name)}


def _malformed(
    study: optuna.Study, trials: list[FrozenTrial], attrs: Mapping[str, Any], stored: list[dict[str, Any]]
) -> list[str]:
    """Which attributes are left out because they are not well-formed, such as "regstudy:epochs of trial 3"."""
    found = [f"{name} of the study" for name in study.user_attrs if name not in attrs]
    for trial, facts in zip(trials, stored, strict=True):
        found += [f"{name} of trial {trial.number}" for name in trial.user_attrs if name not in facts]
    return found


def _has_started(trial: FrozenTrial) -> bool:
    """Whether anybody began with a trial; queued ones have not, nor those that were withdrawn from the queue."""
    reason = str(trial.user_attrs.get(attributes.REASON, ""))
    untouched = trial.datetime_start is None or reason.startswith(attributes.WITHDRAWN)
    return trial.state != TrialState.WAITING and not (trial.state == TrialState.FAIL and untouched)


def _records(facts: Mapping[str, Any], names: tuple[str, ...]) -> NDArray[np.float64]:
    """A trial's epochs × ``names``: what `records.parse_records` reads, without an object per epoch."""
    stored = facts.get(attributes.EPOCHS)
    if not stored or not stored["rows"]:
        return np.empty((0, len(names)))
    rows = np.array(stored["rows"], dtype=np.float64)  # the words for what JSON lacks become numbers, too
    if tuple(stored["columns"]) == names:
        return rows
    found = np.full((len(rows), len(names)), math.nan)
    for position, name in enumerate(stored["columns"]):
        if name in names:
            found[:, names.index(name)] = rows[:, position]
    return found


def _folds(facts: Mapping[str, Any]) -> NDArray[np.int64]:
    """The fold of each of a trial's epochs; without folds, all are of the first."""
    stored = facts.get(attributes.EPOCHS) or {"columns": [], "rows": []}
    if FOLD not in stored["columns"]:
        return np.ones(len(stored["rows"]), np.int64)
    return np.array([row[stored["columns"].index(FOLD)] for row in stored["rows"]], np.int64)


def _range(distribution: BaseDistribution) -> ParameterRange:
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return ParameterRange(float(distribution.low), float(distribution.high), distribution.log)
    if isinstance(distribution, CategoricalDistribution):
        return ParameterRange(choices=tuple(map(_cell, distribution.choices)))
    return ParameterRange()


def _trial_table(
    trials: list[FrozenTrial],
    stored: list[dict[str, Any]],
    records: list[NDArray[np.float64]],
    folds: list[NDArray[np.int64]],
    names: tuple[str, ...],
    metric: str | None,
    *,
    maximize: bool,
) -> pd.DataFrame:
    fixed = [_trial_row(*each, names, metric, maximize) for each in zip(trials, stored, records, folds, strict=True)]
    configs = [settings_of(facts.get(attributes.CONFIG) or {}) for facts in stored]
    params = [{PARAM + name: _cell(value) for name, value in trial.params.items()} for trial in trials]
    types = TRIAL_COLUMNS | dict.fromkeys(_gaps_of(names[len(COLUMNS) :]), "float64")
    columns = {name: pd.Series([row[name] for row in fixed], dtype=dtype) for name, dtype in types.items()}
    for rows in (configs, params):
        for name in _names(rows):
            columns.setdefault(name, pd.Series([row.get(name) for row in rows]))
    return pd.DataFrame(columns)


def _trial_row(
    trial: FrozenTrial,
    attrs: Mapping[str, Any],
    all_records: NDArray[np.float64],
    folds: NDArray[np.int64],
    names: tuple[str, ...],
    metric: str | None,
    maximize: bool,
) -> dict[str, Any]:
    best_epoch, records = attrs.get(attributes.BEST_EPOCH), all_records[folds == 1]
    if best_epoch is None:
        best_epoch = _best_epoch(records, names, metric, maximize)
    best_epochs = [one["best_epoch"] for one in attrs.get(attributes.FOLDS) or ()] or [best_epoch]
    at_best = [
        row
        for fold, epoch in enumerate(best_epochs, start=1)
        for row in all_records[(folds == fold) & (all_records[:, EPOCH] == epoch)][:1]
    ]
    return {
        "number": trial.number,
        "slot": attrs.get(attributes.SLOT),
        "arm": attrs.get(attributes.ARM),
        "state": trial.state.name,
        "outcome": attrs.get(attributes.OUTCOME),
        "reason": attrs.get(attributes.REASON),
        "fault": attrs.get(attributes.FAULT),
        "resumed": attrs.get(attributes.RESUMED),
        "shadow": (attrs.get(attributes.SHADOW) or {}).get("epoch"),
        "value": _value(trial, attrs, maximize),
        "best_epoch": best_epoch,
        "epochs": len(records) or len(trial.intermediate_values),
        "seconds": sum(all_records[:, COLUMNS.index("seconds")].tolist()) if len(records) else math.nan,
        **dict.fromkeys((*SERIES, *_gaps_of(names[len(COLUMNS) :])), math.nan),
        **(_with_gaps(_mean(at_best), names) if at_best else {}),
    }


def _mean(rows: list[NDArray[np.float64]]) -> list[float]:
    """The mean of rows; of a single one, the row itself to the bit."""
    mean = rows[0] if len(rows) == 1 else np.mean(rows, axis=0)
    return [float(value) for value in mean]


def _with_gaps(row: list[float], names: tuple[str, ...]) -> dict[str, float]:
    """One epoch's series by name, with the gap of each metric."""
    of = dict(zip(names, row, strict=True))
    wanted = {*SERIES, *_gaps_of(names[len(COLUMNS) :])}
    return {name: value for name, value in {**of, **_gaps(of)}.items() if name in wanted}


def _gaps_of(more: Iterable[str]) -> list[str]:
    """The further columns of some studies, with the gap of each of their metrics."""
    found = list(more)
    return found + [GAP + name.removeprefix(VALIDATION) for name in found if name.startswith(VALIDATION)]


def _gaps(of: Mapping[str, Any]) -> dict[str, Any]:
    """The gap of every metric in one epoch (numbers) or in many (arrays), by name."""
    measured = [name.removeprefix(VALIDATION) for name in of if name.startswith(VALIDATION)]
    return {GAP + name: METRICS[name].gap(of[CLEAN_TRAIN + name], of[VALIDATION + name]) for name in measured}


def _value(trial: FrozenTrial, attrs: Mapping[str, Any], maximize: bool) -> float:
    """Objective at the best epoch; Optuna itself keeps the last report of a pruned trial, which is not it."""
    if trial.state == TrialState.COMPLETE and trial.value is not None:
        return trial.value
    stored = attrs.get(attributes.BEST_VALUE)
    if stored is not None:
        return float(stored)
    reported = [value for value in trial.intermediate_values.values() if math.isfinite(value)]
    if not reported:
        return math.nan
    return max(reported) if maximize else min(reported)


def _best_epoch(records: NDArray[np.float64], names: tuple[str, ...], metric: str | None, maximize: bool) -> int | None:
    if metric is None or metric not in names:
        return None
    usable = records[np.isfinite(records[:, names.index(metric)])]
    if not len(usable):
        return None
    values = usable[:, names.index(metric)]
    return int(usable[values.argmax() if maximize else values.argmin(), EPOCH])


def _epoch_table(
    trials: list[FrozenTrial],
    stored: list[dict[str, Any]],
    records: list[NDArray[np.float64]],
    folds: list[NDArray[np.int64]] | None,
    names: tuple[str, ...],
) -> pd.DataFrame:
    ran = [len(rows) for rows in records]
    first: dict[str, tuple[list[Any], Any]] = {
        "number": ([trial.number for trial in trials], "int64"),
        "slot": ([facts.get(attributes.SLOT) for facts in stored], "Int64"),
        "arm": ([facts.get(attributes.ARM) for facts in stored], "str"),
    }
    columns = {
        name: pd.Series(values, dtype=dtype).repeat(ran).reset_index(drop=True)
        for name, (values, dtype) in first.items()
    }
    if folds is not None:
        columns[FOLD] = pd.Series(np.concatenate(folds))
    values = np.concatenate([np.empty((0, len(names))), *records])
    of = {name: values[:, i].astype("int64") if i == EPOCH else values[:, i] for i, name in enumerate(names)}
    return pd.DataFrame({**columns, **of, **_gaps(of)})


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Nested configuration as ``{dotted path: value}``; whatever is not a single value becomes text."""
    return {path: _cell(value) for path, value in flatten(config).items()}


def _cell(value: Any) -> Any:
    if isinstance(value, list | tuple) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(map(str, value))
    return json.dumps(value) if isinstance(value, list | tuple | dict) else value


def _names(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))
