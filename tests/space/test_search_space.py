"""Spaces: parsing, naming, what a trial is asked for, and every mistake a file can hold."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regstudy.config.run_config import RunConfig, flatten
from regstudy.errors import ConfigError, Problem
from regstudy.space.loader import find_space, load_space, shipped_spaces
from regstudy.space.parsing import differences, parse_space
from regstudy.space.ranges import Range
from regstudy.space.search_space import Space
from regstudy.training.validation import CHECKS

optuna.logging.set_verbosity(optuna.logging.ERROR)

FULL: dict[str, Any] = {
    "data": {"name": "digits"},
    "model": {"name": "dropout_cnn", "dropout": {"low": 0.0, "high": 0.6}},
    "optimizer": {
        "choices": [
            {"name": "sgd", "lr": {"low": 1e-3, "high": 0.5, "log": True}, "momentum": {"choices": [0.0, 0.9]}},
            {"name": "adam", "lr": {"low": 1e-4, "high": 1e-2, "log": True, "default": 1e-3}},
        ]
    },
    "regularization": {"l2": {"or": 0, "low": 1e-5, "high": 1e-2, "log": True}, "l1": {"low": 1e-6, "high": 1e-4}},
    "schedule": {
        "choices": [
            {"name": "constant"},
            {"name": "step", "step_size": {"low": 2, "high": 8, "step": 2}, "gamma": {"low": 0.1, "high": 0.5}},
            {"label": "long", "name": "cosine", "warmup_epochs": {"low": 0, "high": 3}},
        ]
    },
    "augmentation": {"strength": {"low": 0.0, "high": 1.0}, "ops": {"choices": [["crop"], ["crop", "rotate"]]}},
    "training": {"batch_size": {"low": 16, "high": 128, "powers_of": 2}, "epochs": 20},
    "study": {"nuisance": ["optimizer", "schedule", "training.batch_size"]},
}


def space_of(**changes: Any) -> Space:
    return parse_space({**FULL, **changes}, "full", "full.yaml")


def suggested(space: Space, seed: int, baseline: bool = False) -> tuple[RunConfig, dict[str, Any]]:
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
    return space.suggest(trial, baseline), trial.params


def test_names_follow_the_path_and_the_choices_on_the_way() -> None:
    assert [parameter.name for parameter in space_of().parameters()] == [
        "model.dropout",
        "optimizer",
        "optimizer.sgd.lr",
        "optimizer.sgd.momentum",
        "optimizer.adam.lr",
        "regularization.l2.on",
        "regularization.l2",
        "regularization.l1",
        "schedule",
        "schedule.step.step_size",
        "schedule.step.gamma",
        "schedule.long.warmup_epochs",
        "augmentation.strength",
        "augmentation.ops",
        "training.batch_size",
    ]
    paths = {parameter.name: parameter.path for parameter in space_of().parameters()}
    assert paths["schedule.long.warmup_epochs"] == "schedule.warmup_epochs"
    assert paths["regularization.l2.on"] == "regularization.l2"


@given(seed=st.integers(0, 2**31))
@settings(max_examples=150)
def test_every_suggestion_is_valid_and_inactive_parameters_never_leak(seed: int) -> None:
    space = space_of()
    config, params = suggested(space, seed)
    chosen = flatten(config.model_dump(mode="json"))
    for parameter in space.parameters():
        active = all(params.get(name) == value for name, value in parameter.conditions.items())
        assert (parameter.name in params) == active
    for name, value in params.items():
        assert space_value(space, name, value, chosen)
    assert config.training.batch_size in (16, 32, 64, 128)
    assert config.regularization.l2 == 0 or 1e-5 <= config.regularization.l2 <= 1e-2


def space_value(space: Space, name: str, value: Any, chosen: dict[str, Any]) -> bool:
    """Whether a parameter's value stands where its path says; switches and choices of mappings show elsewhere."""
    path = next(parameter.path for parameter in space.parameters() if parameter.name == name)
    if name.endswith(".on"):
        return value or chosen[path] == 0
    if path in ("optimizer", "schedule"):
        return chosen[f"{path}.name"] == {"long": "cosine"}.get(value, value)
    if path == "augmentation.ops":
        return "+".join(chosen[path]) == value
    return chosen[path] == value


@given(seed=st.integers(0, 2**31))
@settings(max_examples=30)
def test_the_baseline_arm_has_every_regularizer_off(seed: int) -> None:
    config, _ = suggested(space_of(), seed, baseline=True)
    values = flatten(config.model_dump(mode="json"))
    assert {path: values[path] for path in RunConfig.regularizers} == RunConfig.regularizers


def test_nulls_are_given_only_where_the_search_can_draw_them() -> None:
    assert space_of().off_values() == {
        "model.dropout": 0.0,
        "regularization.l2.on": False,
        "augmentation.strength": 0.0,
    }
    l2 = {"or": 1e-3, "low": 1e-2, "high": 1e-1}
    assert "regularization.l2.on" not in space_of(regularization={"l2": l2}).off_values()


def test_the_first_trial_is_at_the_defaults_with_regularizers_off() -> None:
    assert space_of().start() == {
        "model.dropout": 0.0,
        "optimizer": "sgd",
        "optimizer.sgd.lr": 0.05,
        "optimizer.sgd.momentum": 0.9,
        "regularization.l2.on": False,
        "regularization.l1": pytest.approx(5.05e-5),
        "schedule": "constant",
        "augmentation.strength": 0.0,
        "augmentation.ops": "crop",
        "training.batch_size": 128,
    }


@pytest.mark.parametrize("name", ["full", *shipped_spaces()])
def test_writing_and_parsing_again_gives_an_equal_space(name: str) -> None:
    space = space_of() if name == "full" else load_space(find_space(name))
    again = parse_space(space.plain(), space.name, "again")
    assert again == space
    assert again.fingerprint == space.fingerprint


@given(low=st.floats(1e-6, 1.0), factor=st.floats(1.1, 100.0), log=st.booleans(), off=st.booleans())
@settings(max_examples=60)
def test_any_range_survives_the_round_trip(low: float, factor: float, log: bool, off: bool) -> None:
    l2: dict[str, Any] = {"low": low, "high": low * factor, "log": log} | ({"or": 0} if off else {})
    space = space_of(regularization={"l2": l2})
    assert parse_space(space.plain(), "full", "") == space


def test_the_fingerprint_changes_with_anything_that_decides_a_trial() -> None:
    changed = [
        space_of(training={"batch_size": 64}, study={}),
        space_of(study={"seed": 1}),
        space_of(model={"name": "x"}),
    ]
    assert len({space_of().fingerprint, *(space.fingerprint for space in changed)}) == 4
    assert space_of().fingerprint == space_of().fingerprint


def test_differences_name_both_values() -> None:
    lines = differences(space_of().plain(), space_of(training={"batch_size": 64}, study={}).plain())
    assert "training.epochs: 20 → absent" in lines
    assert "training.batch_size.low: 16 → absent" in lines
    assert "training.batch_size: absent → 64" in lines


def with_range(path: str, value: Any) -> dict[str, Any]:
    """A small valid space with one value replaced."""
    tree: dict[str, Any] = {
        "data": {"name": "digits"},
        "model": {"name": "x"},
        "optimizer": {"name": "sgd"},
        "training": {},
    }
    section, key = path.split(".")
    tree.setdefault(section, {})[key] = value
    return tree


MISTAKES = [
    ("optimizer.lr", {"low": 0.1, "high": 0.01}, "low (0.1) must be smaller than high (0.01)"),
    ("optimizer.lr", {"low": 0.1}, "also needs 'high'"),
    ("optimizer.lr", {"high": 0.1}, "also needs 'low'"),
    ("optimizer.lr", {"low": 0, "high": 0.1, "log": True}, "log range needs low above 0"),
    ("optimizer.lr", {"low": 0.1, "high": 0.2, "log": "yes"}, "must be true or false"),
    ("optimizer.lr", {"low": "a", "high": 0.2}, "must be a finite number"),
    ("optimizer.lr", {"low": 0.1, "high": 0.2, "hihg": 1}, "Did you mean 'high'?"),
    ("optimizer.lr", {"low": 0.1, "high": 0.2, "step": 0.03}, "must divide high - low"),
    ("optimizer.lr", {"low": 0.1, "high": 0.2, "step": 0}, "must be above 0"),
    ("optimizer.lr", {"low": 0.1, "high": 0.2, "step": 0.1, "log": True}, "cannot have both log and step"),
    ("optimizer.lr", {"low": 0.1, "high": 0.2, "default": 0.3}, "must lie between"),
    ("optimizer.lr", {"low": -0.1, "high": 0.2}, "must be above 0"),
    ("model.dropout", {"low": 0.0, "high": 1.5}, "must be below 1"),
    ("training.batch_size", {"low": 10, "high": 64, "powers_of": 2}, "must be powers of 2"),
    ("training.batch_size", {"low": 16, "high": 64, "powers_of": 1}, "at least 2"),
    ("training.batch_size", {"low": 16.5, "high": 64}, "whole numbers"),
    ("model.name", {"low": 1, "high": 2}, "takes text, so it cannot be a range"),
    ("training.monitor", {"low": 1, "high": 2}, "takes text"),
    ("training.monitor", {"choices": ["val_loss"]}, "at least two"),
    ("training.monitor", {"choices": ["val_loss", "val_loss"]}, "two choices are called 'val_loss'"),
    ("training.monitor", {"choices": ["val_loss", "val_los"]}, "Did you mean 'loss'?"),
    ("training.monitor", {"choices": ["val_loss", "val_accuracy"], "default": "x"}, "no choice 'x'"),
    ("data.train_limit", {"low": 100, "high": 200}, "must be a single value"),
    ("study.metric", "val_acc", "accuracy"),
    ("study.direction", "minimize", "must be maximize"),
    ("study.nuisance", ["optimizer.lrr"], "no hyperparameter 'optimizer.lrr'"),
    ("study.metrik", "val_loss", "Did you mean 'metric'?"),
]


@pytest.mark.parametrize(("path", "value", "words"), MISTAKES, ids=[f"{p} {w}" for p, _, w in MISTAKES])
def test_each_mistake_in_a_space_is_one_problem_with_its_path(path: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_space(with_range(path, value), "x", "x.yaml")
    message = str(error.value)
    assert message.startswith("x.yaml has 1 problem:"), message
    assert path.partition(".")[0] in message
    assert words in message


def test_a_mistake_under_one_choice_only_is_found() -> None:
    schedule = {"choices": [{"name": "constant"}, {"name": "step", "step_size": {"low": 0, "high": 3}}]}
    with pytest.raises(ConfigError, match=r"schedule\.step_size.*at least 1"):
        space_of(schedule=schedule, study={})


def test_checks_see_every_end_of_every_range() -> None:
    seen = []

    def check(config: RunConfig) -> list[Problem]:
        seen.append(config)
        return [Problem("model.dropout", "too much")] if config.model.dropout == 0.6 else []

    with pytest.raises(ConfigError, match=r"model\.dropout: too much"):
        parse_space(FULL, "full", "", [check])
    assert {config.training.batch_size for config in seen} == {16, 128}  # both ends; the default is one of them
    assert {config.schedule.name for config in seen} == {"constant", "step", "cosine"}


def test_a_plain_configuration_is_a_space_without_parameters() -> None:
    space = parse_space({"data": {"name": "digits"}, "model": {"name": "dropout_cnn"}}, "plain", "")
    assert space.parameters() == []
    assert suggested(space, 0)[1] == {}


SHIPPED = {
    "binary_cnn",
    "binary_resnet50",
    "cifar10_dropout",
    "digits_cnn",
    "smear_resnet18",
    "street_digits_resnet",
    "svhn_resnet",
    "svhn_resnet_deep",
    "svhn_vgg",
}


def test_the_shipped_spaces_are_these() -> None:
    assert set(shipped_spaces()) == SHIPPED


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_space_says_its_question_source_cost_and_expectation(name: str) -> None:
    heading = [line for line in shipped_spaces()[name].read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert heading[0].endswith("?")
    for label in ("Source: ", "Cost: ", "Expect: "):
        assert any(line.startswith(f"# {label}") and len(line) > 30 for line in heading), label


@pytest.mark.parametrize("name", sorted(SHIPPED))
@pytest.mark.parametrize("fallback", [False, True])
def test_a_shipped_space_passes_every_check_and_has_something_to_search(name: str, fallback: bool) -> None:
    space = load_space(shipped_spaces()[name], checks=CHECKS)
    if fallback:
        space = space.fallback or space
    assert space.parameters()
    assert set(RunConfig.regularizers) & {parameter.path for parameter in space.parameters()}


def test_ranges_and_choices_directly_within_a_choice_are_parameters_and_are_checked() -> None:
    def space_with(high: float) -> Space:
        dropout = {"choices": [0.0, {"label": "on", "low": 0.1, "high": high}]}
        return space_of(model={"name": "x", "dropout": dropout})

    assert "model.dropout.on" in [parameter.name for parameter in space_with(0.5).parameters()]
    with pytest.raises(ConfigError, match=r"model\.dropout.*below 1"):
        space_with(1.5)


def test_defaults_within_a_choice_are_those_of_its_own_member() -> None:
    optimizer = {"choices": [{"name": "sgd"}, {"name": "adamw", "lr": {"low": 1e-4, "high": 0.1, "log": True}}]}
    lr = next(p for p in space_of(optimizer=optimizer).parameters() if p.name == "optimizer.adamw.lr")
    assert isinstance(lr.spec, Range)
    assert lr.spec.default == 1e-3


def test_the_baseline_arm_does_not_ask_for_regularizers_whose_null_cannot_be_drawn() -> None:
    _, params = suggested(space_of(), 0, baseline=True)
    assert "regularization.l1" not in params
    assert "model.dropout" in params


def test_nuisances_named_by_a_section_stand_for_all_open_values_in_it() -> None:
    assert space_of().nuisances() == [
        "optimizer",
        "optimizer.lr",
        "optimizer.momentum",
        "schedule",
        "schedule.step_size",
        "schedule.gamma",
        "schedule.warmup_epochs",
        "training.batch_size",
    ]


@pytest.mark.parametrize("seed", [3, {"low": 0, "high": 9}, {"choices": [1, 2]}])
def test_a_space_has_what_its_file_gives_whether_value_range_or_choice(seed: Any) -> None:
    space = space_of(training={"batch_size": 64, "seed": seed}, study={})
    assert space.has("training.seed")
    assert not space.has("training.epochs")


def test_whole_numbers_may_be_written_with_a_point() -> None:
    space = space_of(
        training={"batch_size": {"low": 16.0, "high": 64, "powers_of": 2}, "epochs": {"low": 2, "high": 1e2}}, study={}
    )
    assert isinstance(suggested(space, 0)[0].training.epochs, int)


def test_a_nuisance_that_an_override_has_closed_is_left_out() -> None:
    nuisances = space_of(training={"batch_size": 32}).nuisances()
    assert "training.batch_size" not in nuisances
    assert "optimizer.lr" in nuisances


def test_shares_of_mixed_batches_that_exceed_1_only_together_are_refused() -> None:
    shares = {"mixup": {"low": 0.0, "high": 0.8}, "cutmix": {"low": 0.0, "high": 0.8}}
    with pytest.raises(ConfigError, match=r"must not exceed 1"):
        space_of(regularization=shares)
    space_of(regularization={**shares, "cutmix": {"low": 0.0, "high": 0.2}})
