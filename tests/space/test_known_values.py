"""A configuration finds its point in a space again; what does not lie in it is named."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
import pytest

from regstudy.space.known_values import nested, values_in
from regstudy.space.loader import load_space, shipped_spaces, space_from_tree
from regstudy.space.search_space import Space

TREE: dict[str, Any] = {
    "data": {"name": "digits"},
    "model": {"name": "small_cnn", "dropout": {"low": 0.0, "high": 0.5, "step": 0.1}},
    "optimizer": {"name": "adamw", "lr": {"low": 1e-4, "high": 1e-2, "log": True}},
    "regularization": {"l2": {"or": 0, "low": 1e-3, "high": 0.1, "log": True}},
    "augmentation": {"strength": 0.5, "ops": {"choices": [["crop"], ["crop", "rotate"]]}},
    "schedule": {
        "choices": [
            {"name": "constant"},
            {"name": "step", "step_size": {"low": 2, "high": 6}, "gamma": 0.5},
            {"label": "short", "name": "cosine", "warmup_epochs": 1},
            {"label": "long", "name": "cosine", "warmup_epochs": 5},
        ]
    },
    "training": {"batch_size": {"low": 16, "high": 64, "powers_of": 2}, "epochs": 10},
}


def space() -> Space:
    return space_from_tree(TREE, "s", "s")


@pytest.mark.parametrize(
    ("name", "baseline"), [("mine", False), *((name, on) for name in shipped_spaces() for on in (False, True))]
)
def test_every_point_is_found_again(name: str, baseline: bool) -> None:
    one = space() if name == "mine" else load_space(shipped_spaces()[name])
    for seed in range(12):
        trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = one.suggest(trial, baseline)
        found = values_in(one, config.model_dump(mode="json"))
        assert (found.outside, found.fixed, found.missing) == ([], {}, [])
        assert found.params.items() >= trial.params.items() or baseline
        assert one.resolve(lambda parameter, v=found.params: v[parameter.name]) == config  # type: ignore[misc]


@pytest.mark.parametrize(
    ("given", "params"),
    [
        ({"model.dropout": 0.3}, {"model.dropout": 0.3}),
        ({"regularization": {"l2": 0}}, {"regularization.l2.on": False}),
        ({"regularization.l2": 0.01}, {"regularization.l2.on": True, "regularization.l2": 0.01}),
        ({"training.batch_size": 32.0}, {"training.batch_size": 32}),
        ({"schedule": {"name": "cosine", "warmup_epochs": 5}}, {"schedule": "long"}),
        ({"schedule": {"name": "step", "step_size": 3}}, {"schedule": "step", "schedule.step.step_size": 3}),
        ({"schedule": "constant"}, {"schedule": "constant"}),
        ({"augmentation.ops": ["crop", "rotate"]}, {"augmentation.ops": "crop+rotate"}),
        ({"data.name": "cifar10", "training.seed": 3, "study.metric": "val_loss"}, {}),
    ],
)
def test_values_that_the_space_can_draw(given: dict[str, Any], params: dict[str, Any]) -> None:
    found = values_in(space(), nested(given)[0])
    assert found.params == params
    assert (found.outside, found.fixed) == ([], {})


@pytest.mark.parametrize(
    ("given", "path", "words"),
    [
        ({"model.dropout": 0.6}, "model.dropout", "is 0.6, but the space has 0 to 0.5 in steps of 0.1."),
        ({"model.dropout": 0.25}, "model.dropout", "is 0.25, but the space has 0 to 0.5 in steps of 0.1."),
        ({"regularization.l2": 0.5}, "regularization.l2", "is 0.5, but the space has 0.001 to 0.1, or 0."),
        ({"regularization.l2": False}, "regularization.l2", "is False, but"),
        ({"training.batch_size": 48}, "training.batch_size", "is 48, but the space has 16, 32, 64."),
        (
            {"schedule.name": "step", "schedule.step_size": 2.5},
            "schedule.step_size",
            "is 2.5, but the space has 2 to 6",
        ),
        ({"schedule.name": "plateau"}, "schedule", "is plateau, but the space has constant, step, short, long."),
        ({"augmentation.ops": ["flip"]}, "augmentation.ops", "is ['flip'], but the space has crop, crop+rotate."),
        ({"optimizer.lrr": 1}, "optimizer.lrr", "there is no setting 'optimizer.lrr'. Did you mean 'optimizer.lr'?"),
        ({"model.dropot": 1}, "model.dropot", "Did you mean 'model.dropout'?"),
    ],
)
def test_values_that_it_cannot_draw(given: dict[str, Any], path: str, words: str) -> None:
    (problem,) = values_in(space(), nested(given)[0]).outside
    assert problem.path == path
    assert words in problem.message


@pytest.mark.parametrize(
    ("given", "fixed"),
    [
        ({"training.epochs": 20}, {"training.epochs": (10, 20)}),
        ({"training.epochs": 10}, {}),
        ({"training.precision": "bf16"}, {}),  # auto: the machine decides
        ({"regularization.l1": 0.1}, {"regularization.l1": (0.0, 0.1)}),
        ({"schedule": {"name": "step", "gamma": 0.1}}, {"schedule.gamma": (0.5, 0.1)}),
        ({"schedule": {"name": "constant", "gamma": 0.1}}, {"schedule.gamma": ("absent", 0.1)}),
        (
            {"model": {"name": "svhn_vgg", "depth": 3}},
            {"model.name": ("small_cnn", "svhn_vgg"), "model.depth": ("absent", 3)},
        ),
    ],
)  # fmt: skip
def test_values_that_it_fixes(given: dict[str, Any], fixed: dict[str, Any]) -> None:
    found = values_in(space(), nested(given)[0])
    assert (found.fixed, found.outside) == (fixed, [])


def test_what_is_not_given_is_missing() -> None:
    found = values_in(space(), nested({"model.dropout": 0.1, "schedule": {"name": "step"}})[0])
    missing = ["optimizer.lr", "regularization.l2", "augmentation.ops", "schedule.step_size", "training.batch_size"]
    assert found.missing == missing


def test_values_that_cannot_stand_together_are_outside() -> None:
    tree = {**TREE, "regularization": {"mixup": {"low": 0, "high": 0.5}, "cutmix": 0.5}}
    one = space_from_tree(tree, "s", "s")
    assert values_in(one, {"regularization": {"mixup": 0.5}}).outside == []


@pytest.mark.parametrize(
    ("given", "made", "twice"),
    [
        ({"a": {"b.c": 1}, "a.b": {"d": 2}}, {"a": {"b": {"c": 1, "d": 2}}}, []),
        ({"a.b": 1, "a": {"b": 2}}, {"a": {"b": 1}}, ["a.b"]),
        ({"a": 1, "a.b": 2}, {"a": 1}, ["a.b"]),
        ({"a.b": 2, "a": 1}, {"a": {"b": 2}}, ["a"]),
        ({"a.b": 2, "a": {}}, {"a": {"b": 2}}, ["a"]),
    ],
)
def test_no_value_replaces_another_without_a_word(
    given: dict[str, Any], made: dict[str, Any], twice: list[str]
) -> None:
    tree, problems = nested(given)
    assert (tree, [(one.path, one.message) for one in problems]) == (
        made,
        [(path, "is given twice.") for path in twice],
    )
