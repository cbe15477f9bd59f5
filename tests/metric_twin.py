"""The same study measured in another metric: what was accuracy becomes that metric, and accuracy tells nothing.

A share takes the values of accuracy, a loss 1 minus them, so that every gap keeps its size.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import optuna
from optuna.trial import TrialState

from regstudy.metrics import METRICS, Metric
from regstudy.records import EpochRecord, dump_records, parse_records
from regstudy.study import attributes

NO_NEWS = 0.5  # the accuracy of every epoch


def twin(study: optuna.Study, name: str) -> optuna.Study:
    """A study by the metric ``name`` with the gaps that the given one has in accuracy."""
    of = METRICS[name]
    made = optuna.create_study(study_name=study.study_name, direction="maximize" if of.maximize else "minimize")
    for key, value in {**study.user_attrs, attributes.METRIC: of.val}.items():
        made.set_user_attr(key, value)
    for trial in study.get_trials(deepcopy=False):
        facts = dict(trial.user_attrs)
        if attributes.EPOCHS in facts:
            facts[attributes.EPOCHS] = dump_records(
                [_record(one, of) for one in parse_records(facts[attributes.EPOCHS])]
            )
        if attributes.BEST_VALUE in facts:
            facts[attributes.BEST_VALUE] = _of(facts[attributes.BEST_VALUE], of)
        made.add_trial(
            optuna.create_trial(
                state=trial.state,
                value=_of(trial.value, of) if trial.state == TrialState.COMPLETE and trial.value is not None else None,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs=facts,
                intermediate_values={step: _of(value, of) for step, value in trial.intermediate_values.items()},
            )
        )
    return made


def with_more(study: optuna.Study, name: str, values: Iterable[float]) -> optuna.Study:
    """The study with a further recorded share, whose validation value is the same in all epochs of a trial."""
    made = optuna.create_study(study_name=study.study_name, direction=study.direction.name.lower())
    for key, value in study.user_attrs.items():
        made.set_user_attr(key, value)
    of = METRICS[name]
    for trial, value in zip(study.get_trials(deepcopy=True), values, strict=True):
        found = parse_records(trial.user_attrs[attributes.EPOCHS])
        found = [replace(one, more={of.clean_train: 1.0, of.val: value}) for one in found]
        trial.user_attrs = {**trial.user_attrs, attributes.EPOCHS: dump_records(found)}
        made.add_trial(trial)
    return made


def _record(record: EpochRecord, of: Metric) -> EpochRecord:
    train, clean, val = (
        _of(value, of) for value in (record.train_accuracy, record.clean_train_accuracy, record.val_accuracy)
    )
    hidden = replace(record, train_accuracy=NO_NEWS, clean_train_accuracy=NO_NEWS, val_accuracy=NO_NEWS)
    if of.name == "accuracy":
        return record
    if of.name == "loss":
        return replace(hidden, train_loss=train, clean_train_loss=clean, val_loss=val)
    return replace(hidden, more={of.clean_train: clean, of.val: val})


def _of(value: float, of: Metric) -> float:
    return value if of.maximize else 1 - value
