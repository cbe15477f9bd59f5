"""FixResult files: what changes, what stays to the character, and that they are still valid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regstudy.doctor.findings import Finding
from regstudy.doctor.fix import NOTHING_TO_FIX, fix, fixed_text
from regstudy.doctor.yaml_edits import with_value, without_value
from regstudy.errors import ConfigError
from regstudy.space.loader import load_space, read_yaml_text, shipped_spaces, space_from_text, yaml_text
from regstudy.space.search_space import Space
from regstudy.training.validation import CHECKS

TEXT = """\
# Which one?  A question.
# Source: nowhere.

data:
  name: digits
  # only few
  train_limit: 200   # images
schedule:   # why
  choices:   # a choice
    # constant first
    - name: constant
    - {name: step, step_size: {low: 3, high: 10}}   # three
# before the model
model:
  name: dropout_cnn
  dropout: 0.1
  options:
    channels: [8, 16]   # WIDTH
training:
  batch_size:
    low: 4
    high: 64
    powers_of: 2
  epochs: 5   # few
study: {nuisance: [training.batch_size]}
# the end
""".replace("  options:\n    channels: [8, 16]   # WIDTH\n", "")


def finding(name: str = "fault", **changes: Any) -> Finding:
    """Changes with two underscores for the dots of their paths."""
    paths = {path.replace("__", "."): value for path, value in changes.items()}
    return Finding(name, "data", "blocks", f"What {name} is.", changes=paths)


def space(text: str) -> Space:
    return space_from_text(text, "fixed", "fixed", checks=CHECKS)


def comments(text: str) -> list[str]:
    return [line[line.index("#") :] for line in text.splitlines() if "#" in line]


@pytest.mark.parametrize("name", sorted(shipped_spaces()))
def test_every_shipped_space_can_be_mended_and_keeps_its_comments(name: str, tmp_path: Path) -> None:
    path = shipped_spaces()[name]
    text = path.read_text(encoding="utf-8")
    found = [
        finding("copies", data__group="near_duplicates"),
        finding("scale", preprocessing__normalize="train"),
        finding("rate", optimizer__lr=0.0007),
        finding("constant", schedule={"name": "cosine"}),
        finding("uneven", training__balance="weights"),
    ]
    done = fix(text, found, ["training.epochs=17"])
    assert not done.refused
    (tmp_path / "fixed.yaml").write_text(done.text, encoding="utf-8")
    config = load_space(tmp_path / "fixed.yaml").defaults()
    assert (config.data.group, config.training.epochs, config.schedule.name) == ("near_duplicates", 17, "cosine")
    assert (config.preprocessing.normalize, config.training.balance) == ("train", "weights")
    assert config.optimizer.lr == pytest.approx(0.0007)
    assert set(comments(text)) <= set(comments(done.text))
    for one in done.made:
        assert f"# doctor, {one}: What {one} is." in done.text
    assert done.made[0] in ("copies", "scale")


def test_everything_else_stays_as_it_is_to_the_character() -> None:
    done = fix(TEXT, [finding("copies", data__group="near_duplicates"), finding("rate", model__dropout=0.2)])
    new = [line for line in done.text.splitlines() if line not in TEXT.splitlines()]
    assert new == [
        "  # doctor, copies: What copies is.",
        "  group: near_duplicates",
        "  # doctor, rate: What rate is.",
        "  # before: 0.1",
        "  dropout: 0.2",
    ]
    kept = [line for line in done.text.splitlines() if line in TEXT.splitlines()]
    assert kept == [line for line in TEXT.splitlines() if line != "  dropout: 0.1"]


def test_a_section_that_is_replaced_survives_as_comments() -> None:
    text = fixed_text(TEXT, [finding("constant", schedule={"name": "cosine"})])
    assert space(text).tree["schedule"] == {"name": "cosine"}
    for words in ("# why", "# a choice", "# constant first", "# three", "# before the model"):
        assert words in text
    assert "schedule: {name: cosine}   # three\n" in text


RANGES = {
    "raised": ("{low: 4, high: 64}", 16, {"low": 16, "high": 64}),
    "raised with its default": ("{low: 4, high: 64, default: 8}", 16, {"low": 16, "high": 64, "default": 16}),
    "to a power": ("{low: 4, high: 64, powers_of: 2, default: 4}", 20, {"low": 32, "powers_of": 2, "default": 32}),
    "by whole steps": ("{low: 4, high: 64, step: 12}", 17, {"low": 28, "high": 64, "step": 12}),
    "the upper end": ("{low: 4, high: 16}", 16, 16),
    "above": ("{low: 4, high: 8}", 16, 16),
    "below": ("{low: 32, high: 64}", 16, 16),
    "no power fits": ("{low: 4, high: 16, powers_of: 2}", 15, 16),
    "a choice that has it": ("{choices: [4, 16, 32]}", 16, {"choices": [4, 16, 32], "default": 16}),
    "a choice without it": ("{choices: [4, 8]}", 16, 16),
    "a value": ("4", 16, 16),
}


@pytest.mark.parametrize(("old", "value", "wanted"), RANGES.values(), ids=RANGES)
def test_a_range_stays_one_where_the_value_lies_in_it(old: str, value: int, wanted: Any) -> None:
    text = f"data: {{name: digits}}\nmodel: {{name: dropout_cnn}}\ntraining: {{batch_size: {old}, epochs: 5}}  # end\n"
    done = fix(text, [finding("batch", training__batch_size=value)])
    assert not done.refused
    tree = read_yaml_text(done.text, "")
    given = tree["training"]["batch_size"]
    assert given == wanted if not isinstance(wanted, dict) else wanted.items() <= given.items()
    assert tree["training"]["epochs"] == 5 and "# end" in done.text
    assert space(done.text).defaults().training.batch_size >= value


def test_a_learning_rate_within_its_range_becomes_where_the_search_starts() -> None:
    text = TEXT + "optimizer: {name: sgd, lr: {low: 1e-4, high: 10.0, log: true, default: 5.0}}\n"
    tree = read_yaml_text(fixed_text(text, [finding("rate", optimizer__lr=0.01)]), "")
    assert tree["optimizer"]["lr"] == {"low": 1e-4, "high": 10.0, "log": True, "default": 0.01}


def test_missing_sections_are_added_with_the_name_that_they_need() -> None:
    found = [finding("rate", optimizer__lr=0.01), finding("scale", preprocessing__normalize="train")]
    done = fix(TEXT, found)
    config = space(done.text).defaults()
    assert (config.optimizer.name, config.optimizer.lr) == ("adamw", 0.01)
    assert done.made == ("rate", "scale") and done.text.endswith("# the end\n")


def test_a_key_under_a_choice_goes_to_its_default() -> None:
    tree = read_yaml_text(fixed_text(TEXT, [finding("warm", schedule__warmup_epochs=1)]), "")
    assert tree["schedule"]["choices"][0] == {"name": "constant", "warmup_epochs": 1}


@pytest.mark.parametrize("options", ["{wide: 3}", "{wide: 3, deep: 4}", "{deep: 4, wide: 3}", "{a: 1, wide: 3, b: 2}"])
def test_an_option_is_removed(options: str) -> None:
    for text in (
        f"model: {{name: x, options: {options}}}  # end\n",
        yaml_text(read_yaml_text(f"model: {{options: {options}}}", "")),
    ):
        changed = without_value(text, ["model", "options", "wide"], ["why"])
        rest = {key: value for key, value in read_yaml_text(options, "").items() if key != "wide"}
        assert read_yaml_text(changed, "")["model"]["options"] == rest
        assert "# why" in changed


def test_a_removal_is_made_by_a_null_under_options_only() -> None:
    text = TEXT.replace("dropout: 0.1", "dropout: 0.1\n  options: {width: 8}")
    text = text.replace("dropout_cnn", "tiny:cnn")
    done = fix(text, [finding("head", model__options__width=None), finding("end", training__patience=None)])
    assert not done.refused
    tree = read_yaml_text(done.text, "")
    assert tree["model"]["options"] == {} and tree["training"]["patience"] is None
    assert fix(text, [finding("head", model__options__other=None)]).text == NOTHING_TO_FIX + text


def test_what_validation_refuses_is_left_out_and_told() -> None:
    found = [
        finding("bad", training__epochs=-1),
        finding("typo", data__grup="x"),
        finding("good", data__train_limit=100),
    ]
    done = fix(TEXT, found)
    assert done.made == ("good",)
    assert "training.epochs" in done.refused[0] and "data.grup" in done.refused[1]
    assert space(done.text).defaults().training.epochs == 5


def test_an_anchor_that_two_places_share_is_left_alone() -> None:
    model = "{name: svhn_resnet, dropout: &d {low: 0.0, high: 0.5, default: 0.1}, block_dropout: *d}"
    text = f"data: {{name: digits, size: 32}}\nmodel: {model}\ntraining: {{epochs: 5}}\n"
    done = fix(text, [finding("shared", model__block_dropout=0.2)])
    assert not done.made and "model.dropout.default would change as well" in done.refused[0]
    assert space(done.text).defaults().model.dropout == 0.1
    assert fix(
        text.replace("&d {low: 0.0, high: 0.5, default: 0.1}", "&d 0.1"), [finding("x", model__block_dropout=0.2)]
    ).refused


def test_overrides_are_part_of_the_file_and_the_first_finding_decides() -> None:
    found = [finding("one", training__epochs=9), finding("two", training__epochs=3)]
    done = fix(TEXT, found, ["data.train_limit=50", "optimizer.name=sgd", "training.epochs=7"])
    config = space(done.text).defaults()
    assert (config.data.train_limit, config.optimizer.name, config.training.epochs) == (50, "sgd", 9)
    assert "# set on the command line: data.train_limit=50" in done.text and done.made == ("one",)
    with pytest.raises(ConfigError, match=r"training\.epoch"):
        fix(TEXT, [], ["training.epoch=3"])


def test_without_anything_to_mend_the_file_says_so_and_is_else_the_same() -> None:
    assert fixed_text(TEXT, []) == NOTHING_TO_FIX + TEXT
    assert fixed_text(TEXT, [finding("same", training__epochs=5)]) == NOTHING_TO_FIX + TEXT
    assert NOTHING_TO_FIX.startswith("#") and space(NOTHING_TO_FIX + TEXT)


def test_what_is_found_about_a_substitute_is_changed_in_it() -> None:
    text = TEXT.replace("name: digits", "name: svhn\n  fallback: {name: street_digits, train_limit: 300}")
    found = [finding("copies", data__group="near_duplicates"), finding("limit", training__epochs=4)]
    done = fix(text, found, ["data.train_limit=90"], fallback=True)
    data = read_yaml_text(done.text, "")["data"]
    assert data["fallback"] == {"name": "street_digits", "train_limit": 90, "group": "near_duplicates"}
    assert "group" not in data and data["train_limit"] == 90


def test_an_exported_configuration_can_be_mended() -> None:
    tree = space(TEXT).defaults().model_dump(mode="json")
    text = "# Trial 3\n" + yaml_text(tree)
    done = fix(text, [finding("copies", data__group="near_duplicates")])
    assert not done.refused
    changed = read_yaml_text(done.text, "")
    assert changed["data"].pop("group") == "near_duplicates" and tree["data"].pop("group") is None
    assert changed == tree


def test_sentences_of_findings_cannot_leave_their_comment() -> None:
    odd = Finding("odd", "data", "blocks", "a\ntraining: {epochs: 1}\x00", changes={"data.train_limit": 100})
    assert space(fixed_text(TEXT, [odd])).defaults().training.epochs == 5


def test_a_path_through_a_value_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        with_value(TEXT, ["data", "name", "inner"], 1)


HEAD = "data: {name: digits}\nmodel: {name: dropout_cnn}\n"
METRICS_WRITTEN = {
    "no section": (HEAD, "study: {metric: balanced_accuracy}"),
    "another key": (HEAD + "study: {seed: 3}\n", "study: {seed: 3, metric: balanced_accuracy}"),
    "named": (HEAD + "study:\n  metric: accuracy  # why\n", "  metric: balanced_accuracy  # why"),
    "with a direction": (HEAD + "study: {metric: val_accuracy, direction: maximize}\n", "{metric: balanced_accuracy,"),
    "in its old place": (
        HEAD + "training: {metric: val_accuracy, epochs: 3}\n",
        "training: {metric: balanced_accuracy,",
    ),
}


@pytest.mark.parametrize(("text", "line"), METRICS_WRITTEN.values(), ids=METRICS_WRITTEN)
def test_the_metric_of_a_study_is_written_where_the_file_states_it(text: str, line: str) -> None:
    done = fix(text, [finding("metric-hides-classes", study__metric="balanced_accuracy")])
    assert not done.refused and done.made == ("metric-hides-classes",)
    assert line in done.text
    assert space(done.text).study.metric == "val_balanced_accuracy"
    assert space(done.text).defaults().training.metric == "val_balanced_accuracy"
