"""The run configuration: what it accepts, and what it says about what it does not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from regstudy.config.fields import field_default, value_types
from regstudy.config.run_config import RunConfig, config_problems, flatten, parse_config
from regstudy.errors import ConfigError

MINIMAL: dict[str, Any] = {"data": {"name": "digits"}, "model": {"name": "dropout_cnn"}}

WRONG = {
    "misspelt key": ({"data": {"validaton": 0.1}}, "data.validaton", "Did you mean 'validation'?"),
    "misspelt section": ({"trainng": {}}, "trainng", "Did you mean 'training'?"),
    "misspelt word": ({"training": {"monitor": "val_los"}}, "training.monitor", "Did you mean 'loss'?"),
    "misspelt schedule": ({"schedule": {"name": "cosin"}}, "schedule", "Did you mean 'cosine'?"),
    "key of another schedule": ({"schedule": {"name": "constant", "gamma": 0.1}}, "schedule.gamma", "no key 'gamma'"),
    "key of another optimizer": ({"optimizer": {"name": "adam", "alpha": 0.9}}, "optimizer.alpha", "no key 'alpha'"),
    "schedule without a name": ({"schedule": {"gamma": 0.5}}, "schedule", "needs a name"),
    "missing key": ({"schedule": {"name": "step"}}, "schedule.step_size", "required"),
    "too large": ({"model": {"dropout": 1.0}}, "model.dropout", "must be below 1, but it is 1.0"),
    "word for a number": (
        {"optimizer": {"name": "sgd", "lr": "fast"}},
        "optimizer.lr",
        "must be a number, but it is 'fast'",
    ),
    "true for a count": ({"training": {"epochs": True}}, "training.epochs", "must be a whole number, but it is true"),
    "broken count": (
        {"training": {"batch_size": 12.5}},
        "training.batch_size",
        "must be a whole number, but it is 12.5",
    ),
    "infinite": ({"optimizer": {"name": "sgd", "lr": float("inf")}}, "optimizer.lr", "finite"),
    "share and more": ({"data": {"validation": 1.5}}, "data.validation", "a share between 0 and 1"),
    "operation": ({"augmentation": {"ops": ["crop", "rotat"]}}, "augmentation.ops", "Did you mean 'rotate'?"),
    "normalization word": ({"preprocessing": {"normalize": "imagnet"}}, "preprocessing.normalize", "'imagenet'"),
    "normalization numbers": (
        {"preprocessing": {"normalize": {"mean": [0.5], "std": [0.0]}}},
        "preprocessing.normalize.std",
        "must be above 0",
    ),
    "not a mapping": ({"model": 3}, "model", "mapping of keys to values"),
}


def merged(changes: dict[str, Any]) -> dict[str, Any]:
    """The minimal configuration with sections changed key by key."""
    tree = {name: dict(section) for name, section in MINIMAL.items()}
    for name, section in changes.items():
        tree[name] = {**tree.get(name, {}), **section} if isinstance(section, dict) else section
    return tree


@pytest.mark.parametrize("name", WRONG)
def test_each_mistake_is_one_problem_with_its_path_and_a_way_out(name: str) -> None:
    changes, path, words = WRONG[name]
    problems = config_problems(merged(changes))
    assert [problem.path for problem in problems] == [path]
    assert words in problems[0].message


def test_all_mistakes_are_reported_together() -> None:
    both = merged({"training": {"monitor": "x", "epochs": 0}, "model": {"dropout": -1.0}})
    with pytest.raises(ConfigError, match="my file has 3 problems") as error:
        parse_config(both, "my file")
    assert all(path in str(error.value) for path in ("training.monitor", "training.epochs", "model.dropout"))


def test_warm_up_must_leave_room() -> None:
    problems = config_problems(merged({"schedule": {"name": "constant", "warmup_epochs": 30}}))
    assert "smaller than training.epochs" in str(problems[0])


def test_a_configuration_cannot_be_changed() -> None:
    config = parse_config(MINIMAL, "")
    with pytest.raises(ValidationError):
        config.training.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    "changes",
    [{}, {"preprocessing": {"normalize": {"mean": [0.1], "std": [0.2]}}}, {"schedule": {"name": "cosine"}}],
)
def test_writing_and_reading_gives_the_same_configuration(changes: dict[str, Any]) -> None:
    config = parse_config(merged(changes), "")
    assert parse_config(config.model_dump(mode="json"), "") == config


def test_every_regularizer_declares_its_null_and_can_be_turned_off() -> None:
    assert set(RunConfig.regularizers) == {
        "model.dropout",
        "model.block_dropout",
        "model.stochastic_depth",
        "regularization.l1",
        "regularization.l2",
        "regularization.label_smoothing",
        "regularization.mixup",
        "regularization.cutmix",
        "regularization.cutout",
        "regularization.random_erasing",
        "regularization.ema",
        "augmentation.strength",
    }
    strengths = dict.fromkeys(RunConfig.regularizers, 0.3) | {"regularization.cutout": 4}
    strong = parse_config(MINIMAL, "").replaced(strengths)
    off = flatten(strong.without_regularizers().model_dump(mode="json"))
    assert all(off[path] == null for path, null in RunConfig.regularizers.items())
    assert strong.without_regularizers().optimizer == strong.optimizer


def test_replaced_values_are_validated() -> None:
    with pytest.raises(ConfigError, match=r"model\.dropout"):
        parse_config(MINIMAL, "").replaced({"model.dropout": 2.0})


@pytest.mark.parametrize(
    ("path", "types"),
    [
        ("optimizer.lr", {float}),
        ("schedule.step_size", {int}),
        ("data.validation", {int, float}),
        ("model.name", {str}),
        ("training.patience", {int}),
        ("model.options.width", None),
        ("nowhere.at_all", None),
    ],
)
def test_the_types_of_a_path(path: str, types: set[type] | None) -> None:
    assert value_types(RunConfig, path) == types


def test_defaults_follow_the_chosen_name() -> None:
    assert field_default(RunConfig, "optimizer.lr", {"optimizer": {"name": "sgd"}}) == 0.05
    assert field_default(RunConfig, "optimizer.lr", {"optimizer": {"name": "rmsprop"}}) == 0.001
