"""A comparison's study made of curves by hand, without training."""

from __future__ import annotations

from collections.abc import Mapping

import optuna
from optuna.trial import TrialState
from tiny import make_config

from regstudy.records import EpochRecord, dump_records
from regstudy.space.fixed_plan import FixedPlan, make_plan
from regstudy.space.loader import yaml_text
from regstudy.space.study_section import StudySection
from regstudy.study import attributes

Curve = list[tuple[float, float, float]]  # running training, clean training and validation accuracy by epoch


def records(curve: Curve) -> list[EpochRecord]:
    return [EpochRecord(e, 1.0, t, 1.0, c, 1.0, v, 0.1, 1.0, 2.0 + e) for e, (t, c, v) in enumerate(curve, start=1)]


def plan_study(
    runs: Mapping[int, Curve | str],
    arms: tuple[str, ...] = ("a", "b"),
    repeats: int = 2,
    reliabilities: Mapping[int, object] | None = None,
    changes: Mapping[str, dict[str, object]] | None = None,
    **facts: object,
) -> optuna.Study:
    """A study of a plan: by slot a curve, or the word for what became of the run instead.

    ``reliabilities`` are stored by slot; ``changes`` are settings by arm, in place of the dropout in which arms differ.
    """
    configs = {name: make_config((changes or {}).get(name, {"model.dropout": 0.1 * i})) for i, name in enumerate(arms)}
    plan: FixedPlan = make_plan("p", configs, StudySection(metric="val_accuracy"), "x")
    study = optuna.create_study(direction="maximize", study_name="a comparison")
    described = {
        attributes.PLAN: yaml_text(plan.plain()),
        attributes.METRIC: "val_accuracy",
        attributes.TRIALS: plan.slots(repeats),
        attributes.PARAMETERS: {name: [1234, 1234 - i] for i, name in enumerate(arms)},
        attributes.REGULARIZERS: {"model.dropout": 0.0},
        attributes.DATA: {"name": "digits", "split_seed": 5, "split_hash": "abc", "train": 10, "validation": 10},
        attributes.FINGERPRINT: plan.fingerprint,
        **facts,
    }
    for name, value in described.items():
        study.set_user_attr(name, value)
    for slot, run in runs.items():
        attrs = {attributes.SLOT: slot, attributes.ARM: plan.task(slot).arm, attributes.WORKERS: 2}
        if slot in (reliabilities or {}):
            attrs[attributes.RELIABILITY] = (reliabilities or {})[slot]
        if run == "failed":
            attrs |= {attributes.FAULT: "error", attributes.REASON: "RuntimeError: on purpose"}
            study.add_trial(optuna.create_trial(state=TrialState.FAIL, user_attrs=attrs))
        elif run == "running":
            study.add_trial(optuna.create_trial(state=TrialState.RUNNING, user_attrs=attrs))
        elif run == "diverged":
            attrs |= {attributes.OUTCOME: "diverged", attributes.REASON: "not finite"}
            study.add_trial(optuna.create_trial(state=TrialState.COMPLETE, value=0.1, user_attrs=attrs))
        else:
            assert not isinstance(run, str)
            best = max(range(len(run)), key=lambda epoch: run[epoch][2])
            attrs |= {attributes.OUTCOME: "finished", attributes.EPOCHS: dump_records(records(run))}
            attrs |= {attributes.BEST_EPOCH: best + 1, attributes.BEST_VALUE: run[best][2]}
            study.add_trial(optuna.create_trial(state=TrialState.COMPLETE, value=run[best][2], user_attrs=attrs))
    return study


A1: Curve = [(0.2, 0.3, 0.30), (0.8, 0.8, 0.60), (0.9, 0.9, 0.50)]
A2: Curve = [(0.2, 0.3, 0.40), (0.8, 0.8, 0.70), (0.9, 0.9, 0.60)]
B1: Curve = [(0.1, 0.3, 0.20), (0.4, 0.7, 0.65), (0.5, 0.8, 0.56)]
B2: Curve = [(0.1, 0.3, 0.30), (0.4, 0.7, 0.75), (0.5, 0.8, 0.68), (0.5, 0.8, 0.62)]
WHOLE = {0: A1, 1: B1, 2: A2, 3: B2}
