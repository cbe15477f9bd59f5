"""What a configuration says by itself: its schedule, its augmentation, and how training accuracy is read."""

from __future__ import annotations

from typing import Any

import pytest
from planted import severities
from tiny import make_config

from regstudy.doctor.checks.config_checks import augmentation, resampling, running_accuracy, schedule


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
