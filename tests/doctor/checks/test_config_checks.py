"""What a configuration says by itself: its schedule, its augmentation, and how training accuracy is read."""

from __future__ import annotations

from typing import Any

import pytest
from planted import severities
from tiny import make_config

from regstudy.doctor.checks.config_checks import (
    augmentation,
    deciding_metric,
    patience,
    resampling,
    running_accuracy,
    schedule,
)
from regstudy.metrics import METRICS


@pytest.mark.parametrize(
    ("changes", "searched", "found"),
    [
        ({"training.epochs": 30}, (), True),
        ({"training.epochs": 5}, (), False),
        ({"training.epochs": 30, "schedule": {"name": "cosine"}}, (), False),
        ({"training.epochs": 30, "schedule": {"name": "step", "step_size": 5}}, (), False),
        ({"training.epochs": 30}, ("schedule",), False),
        ({"training.epochs": 30}, ("schedule.name",), False),
        ({"training.epochs": 30}, ("optimizer.lr", "model.dropout"), True),
    ],
)
def test_a_rate_that_never_falls(changes: dict[str, Any], searched: tuple[str, ...], found: bool) -> None:
    result = schedule(make_config(changes), searched)
    assert severities(result) == ({"lr-never-decays": "note"} if found else {})
    assert all(dict(finding.changes) == {"schedule": {"name": "cosine"}} for finding in result.findings)


@pytest.mark.parametrize(
    ("changes", "searched", "found"),
    [
        ({}, (), True),
        ({"augmentation": {"strength": 0.5, "ops": ["crop"]}}, (), False),
        ({"augmentation": {"strength": 0.0, "ops": ["crop"]}}, (), True),
        ({"augmentation": {"strength": 0.0, "ops": ["crop"]}}, ("augmentation.strength",), False),
    ],
)
def test_images_that_are_never_varied(changes: dict[str, Any], searched: tuple[str, ...], found: bool) -> None:
    result = augmentation(make_config(changes), searched)
    assert severities(result) == ({"no-augmentation": "note"} if found else {})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"model.dropout": 0.05}, None),
        ({"augmentation": {"strength": 0.0, "ops": ["crop"]}}, None),
        ({"model.dropout": 0.5}, "dropout 0.5"),
        ({"augmentation": {"strength": 0.7, "ops": ["crop"]}}, "augmentation 0.7"),
        ({"regularization.mixup": 0.6}, "mixup on 60% of the batches"),
        ({"regularization.cutmix": 0.4}, "CutMix on 40% of the batches"),
        ({"model.dropout": 0.5, "regularization.mixup": 0.6}, "dropout 0.5, mixup on 60% of the batches"),
    ],
)
def test_accuracy_that_is_measured_while_training_is_harder(changes: dict[str, Any], words: str | None) -> None:
    result = running_accuracy(make_config(changes))
    assert severities(result) == ({"running-accuracy": "note"} if words else {})
    assert words is None or result.findings[0].evidence == (
        f"These settings make training harder than validation: {words}.",
    )


CLASSES = ("a", "b", "c")


@pytest.mark.parametrize(
    ("counts", "severity"),
    [
        ((50, 50), None),
        ((59, 41), None),
        ((60, 40), "note"),
        ((21, 79), "note"),
        ((20, 80), "distorts"),
        ((90, 10), "distorts"),
        ((100, 0), None),  # the doctor names the missing class
        ((50, 50, 17), None),
        ((50, 50, 16), "note"),
        ((51, 50, 17), "note"),
        ((90, 5, 5), "distorts"),
        ((40, 40, 0), None),
        ((40, 12, 0), "note"),
    ],
)
def test_accuracy_hides_classes_where_they_are_unbalanced(counts: tuple[int, ...], severity: str | None) -> None:
    result = deciding_metric(make_config(), counts, CLASSES[: len(counts)], 1)
    assert severities(result) == ({"metric-hides-classes": severity} if severity else {})
    assert all(dict(finding.changes) == {"study.metric": "balanced_accuracy"} for finding in result.findings)


@pytest.mark.parametrize("name", METRICS)
def test_only_accuracy_hides_classes(name: str) -> None:
    config = make_config({"training.metric": f"val_{name}"})
    assert bool(deciding_metric(config, (90, 10), CLASSES[:2], 1).findings) is (name == "accuracy")


@pytest.mark.parametrize(
    ("changes", "counts", "words", "absent"),
    [
        ({}, (90, 10), "`average_precision`, where b counts as positive", "data.positive"),
        ({"data.positive": "b"}, (90, 10), "where b is the positive class, as `data.positive` says", "counts as"),
        ({}, (90, 5, 5), "(`study.metric: balanced_accuracy`).", "average_precision"),
    ],
)
def test_the_advice_names_the_metrics_that_fit(
    changes: dict[str, Any], counts: tuple[int, ...], words: str, absent: str
) -> None:
    finding = deciding_metric(make_config(changes), counts, CLASSES[: len(counts)], 1).findings[0]
    assert words in finding.advice and absent not in finding.advice
    share = 90.0
    assert f"90 of 100 validation images are a, {counts[1]} are b" in finding.evidence[0]
    assert f"gives {share}% accuracy, but {100 / len(counts):.1f}% balanced accuracy" in finding.evidence[0]


@pytest.mark.parametrize(
    ("waits", "epochs", "searched", "advised"),
    [
        (5, 30, (), 10),
        (7, 30, (), 10),
        (8, 30, (), None),
        (5, 20, (), None),
        (5, 50, (), 17),
        (5, 50, ("training.patience",), None),
        (None, 50, (), None),
        (1, 9, (), None),  # too short for anything to be said
    ],
)
def test_a_patience_that_ends_trials_too_soon(
    waits: int | None, epochs: int, searched: tuple[str, ...], advised: int | None
) -> None:
    result = patience(make_config({"training.patience": waits, "training.epochs": epochs}), searched)
    assert severities(result) == ({"short-patience": "note"} if advised else {})
    assert [dict(one.changes) for one in result.findings] == ([{"training.patience": advised}] if advised else [])


@pytest.mark.parametrize(
    ("changes", "per_class", "own", "found"),
    [
        ({}, [500, 500, 500], False, True),
        ({}, [500, 500, 999], False, True),
        ({}, [500, 500, 1000], False, False),
        ({"data.resampling": {"kfold": 3}}, [50, 50, 50], False, False),
        ({}, [50, 50, 50], True, False),  # the data set's own validation part cannot be resampled
        ({}, [50, 50, 4], False, False),  # too few images of a class for five folds
        ({}, [50, 50, 5], False, True),
    ],
)
def test_few_images_call_for_folds(changes: dict[str, Any], per_class: list[int], own: bool, found: bool) -> None:
    result = resampling(make_config(changes), per_class, own_validation=own)
    assert severities(result) == ({"few-images": "note"} if found else {})
    assert all(dict(finding.changes) == {"data.resampling": {"kfold": 5}} for finding in result.findings)
