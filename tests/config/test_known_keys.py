"""Keys that do not exist: what people mean by them."""

from __future__ import annotations

from typing import Any

import pytest

from regstudy.config.fields import field_paths
from regstudy.config.known_keys import RANGE_SYNONYMS, SYNONYMS, unknown_key
from regstudy.config.run_config import STUDY_PATHS, RunConfig
from regstudy.errors import ConfigError
from regstudy.space.loader import space_from_tree
from regstudy.space.ranges import CHOICE_KEYS, RANGE_KEYS
from regstudy.space.study_section import StudySection

MINIMAL: dict[str, Any] = {"data": {"name": "digits"}, "model": {"name": "dropout_cnn"}}

MEANT = {
    ("optimizer", "weight_decay"): "regularization.l2",
    ("training", "weight_decay"): "regularization.l2",
    ("", "weight_decay"): "regularization.l2",
    ("data", "path"): "data.root",
    ("data", "folder"): "data.root",
    ("optimizer", "learning_rate"): "optimizer.lr",
    ("training", "learning-rate"): "optimizer.lr",
    ("training", "lr"): "optimizer.lr",
    ("", "lr"): "optimizer.lr",
    ("", "epochs"): "training.epochs",
    ("study", "epochs"): "training.epochs",
    ("model", "batch_size"): "training.batch_size",
    ("training", "dropout"): "model.dropout",
    ("regularization", "dropout"): "model.dropout",
    ("", "seed"): "study.seed or training.seed",
    ("data", "seed"): "study.seed or training.seed",
    ("training", "early_stopping"): "training.patience",
    ("", "Early Stopping"): "training.patience",
    ("regularization", "patience"): "schedule.patience or training.patience",
    ("regularization", "augment"): "augmentation.strength",
    ("training", "momentum"): "optimizer.momentum",
    ("training", "label_smoothing"): "regularization.label_smoothing",
    ("augmentation", "mixup"): "regularization.mixup",
    ("augmentation", "cutmix"): "regularization.cutmix",
    ("training", "metric_name"): "'metric'",
    ("data", "val_split"): "data.validation",
    ("", "trials"): "--trials of `regstudy study`",
    ("study", "trials"): "--trials of `regstudy study`",
    ("", "optimizer.lr"): "optimizer: {lr: …}",
    ("training", "epoch"): "'epochs'",
    ("data", "xyzzy"): None,
}


@pytest.mark.parametrize(("section", "key"), MEANT)
def test_a_key_that_does_not_exist_names_what_is_meant(section: str, key: str) -> None:
    meant = MEANT[section, key]
    tree = {name: dict(value) for name, value in MINIMAL.items()}
    if section == "optimizer":
        tree["optimizer"] = {"name": "sgd"}
    (tree.setdefault(section, {}) if section else tree)[key] = 3
    with pytest.raises(ConfigError) as error:
        space_from_tree(tree, "x", "x.yaml")
    message = str(error.value)
    assert message.startswith("x.yaml has 1 problem:") and f"there is no key '{key}'" in message
    assert (f"Did you mean {meant}?" in message) if meant else ("Did you mean" not in message)
    assert "Allowed: " in message


def test_every_synonym_leads_to_a_setting_that_exists() -> None:
    known = {*field_paths(RunConfig), *STUDY_PATHS}
    for key, path in SYNONYMS.items():
        assert path.startswith("--") or path in known, key
        assert key == key.lower()
    assert set(RANGE_SYNONYMS.values()) <= RANGE_KEYS | CHOICE_KEYS
    assert {path.removeprefix("study.") for path in STUDY_PATHS} <= set(StudySection.model_fields)


def test_a_key_of_many_sections_is_not_guessed() -> None:
    paths = ["a.name", "b.name", "c.name", "d.name"]
    assert "Did you mean" not in unknown_key("x", "name", ["other"], paths)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"min": 0.1, "max": 0.2}, "Write 'low' instead of 'min' and 'high' instead of 'max'."),
        ({"low": 0.1, "max": 0.2}, "there is no key of a range 'max'. Did you mean 'high'?"),
        ({"values": [0.1, 0.2]}, "Write 'choices' instead of 'values'."),
        ({"choices": [0.1, 0.2], "initial": 0.1}, "there is no key of a choice 'initial'. Did you mean 'default'?"),
        ({}, "but it is a mapping of nothing"),
        ([0.1, 0.2], "must be a number, but it is [0.1, 0.2]. To search several values, write {choices: [a, b]}."),
        ("fast", "must be a number, but it is 'fast'."),
        (None, "must be a number, but it is null."),
        (True, "must be a number, but it is true."),
        (-1, "must be above 0, but it is -1."),
    ],
)
def test_what_is_no_range_says_how_a_range_is_written(value: Any, words: str) -> None:
    tree = {**MINIMAL, "optimizer": {"name": "sgd", "lr": value}}
    with pytest.raises(ConfigError) as error:
        space_from_tree(tree, "x", "x.yaml")
    assert "optimizer.lr: " in str(error.value) and words in str(error.value)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("training.patience", "5", "must be a whole number, but it is '5'."),
        ("training.patience", 0, "must be at least 1, but it is 0."),
        ("data.root", 3, "must be text, but it is 3."),
        ("data.validation", "x", "must be a number, but it is 'x'."),
        ("data.options", [1], "must be a mapping of keys to values, but it is [1]."),
        ("model.options.a", [1], "must be text or a number or true or false, but it is [1]."),
        ("optimizer.nesterov", "yes", "must be true or false, but it is 'yes'."),
        ("augmentation.ops", "flip", "must be a list, but it is 'flip'."),
        ("augmentation.ops", [3], "there is no value '3'"),
        ("phases", 3, "must be a list, but it is 3."),
        ("phases", [3], "must be a mapping of keys to values, but it is 3."),
        ("preprocessing.normalize", {"mean": 0.5, "std": [0.5]}, "must be a list, but it is 0.5."),
        ("schedule.milestones", [], "must hold at least 1 value"),
        ("training.epochs", 10**6, "must be at most 100000, but it is 1000000."),
        ("study.seed", "x", "must be a whole number, but it is 'x'."),
        ("study.nuisance", "model.dropout", "must be a list, but it is 'model.dropout'."),
        ("study.metric", "acc", "Allowed: accuracy, auroc, average_precision, balanced_accuracy, loss,"),
    ],
)
def test_wrong_values_are_told_without_the_words_of_a_library(path: str, value: Any, words: str) -> None:
    tree: dict[str, Any] = {name: dict(section) for name, section in MINIMAL.items()}
    *parents, last = path.split(".")
    here = tree
    names = {"optimizer": {"name": "sgd"}, "schedule": {"name": "multi_step"}}
    for key in parents:
        here = here.setdefault(key, names.get(key, {}))
    here[last] = value
    with pytest.raises(ConfigError) as error:
        space_from_tree(tree, "x", "x.yaml")
    message = str(error.value)
    assert words in message, message
    assert message.startswith("x.yaml has 1 problem:"), message
    assert not any(
        word in message for word in ("Input", "input should", "tuple", "dictionary", "string", "valid integer")
    )


@pytest.mark.parametrize(
    "phases",
    [
        [{"training": {"epochs": 0}}],
        [{}, {"optimizer": {"name": "sgd", "lr": -1}, "training": {"epohcs": 1}}],
        [{"data": {"name": "svhn"}}],
        [{"schedule": {"name": "constant", "warmup_epochs": 30}}],
    ],
)
def test_problems_of_phases_end_with_one_full_stop(phases: list[Any]) -> None:
    with pytest.raises(ConfigError) as error:
        space_from_tree({**MINIMAL, "phases": phases}, "x", "x.yaml")
    message = str(error.value)
    assert "phase " in message and message.endswith(".")
    assert ".." not in message and ".;" not in message
