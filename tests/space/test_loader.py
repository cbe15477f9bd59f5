"""Reading space files: YAML 1.2, overrides, look-up by name, fallback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import make_config

from regstudy.errors import ConfigError
from regstudy.space import loader
from regstudy.space.loader import (
    apply_overrides,
    config_text,
    find_space,
    known_spaces,
    load_config,
    load_space,
    question,
    read_text,
    read_yaml_text,
)

MINIMAL = "data: {name: digits}\nmodel: {name: dropout_cnn}\n"


def write(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_yaml_is_read_as_version_1_2(tmp_path: Path) -> None:
    path = write(tmp_path, "a: 1e-4\nb: off\nc: yes\nd: 010\ne: true\n")
    assert read_yaml_text(read_text(path), "x") == {"a": 1e-4, "b": "off", "c": "yes", "d": 10, "e": True}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2\n", r"mine\.yaml, line 2 is not valid YAML.*duplicate key"),
        ("a: [1\n", "is not valid YAML"),
        ("a: !!python/object/apply:os.system [ls]\n", "is not valid YAML"),
        ("\x00", "is not valid YAML"),
    ],
)
def test_what_is_not_plain_yaml_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_space(write(tmp_path, text))


@pytest.mark.parametrize("text", ["", "3\n", "[1, 2]\n", "words\n"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="must be a mapping"):
        load_space(write(tmp_path, text))


def test_overrides_are_yaml_and_may_be_ranges(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    sets = ["training.epochs=3", "preprocessing.normalize=half", "model.dropout={low: 0.1, high: 0.2}"]
    space = load_space(path, sets)
    assert space.defaults().training.epochs == 3
    assert space.defaults().preprocessing.normalize == "half"
    assert [parameter.name for parameter in space.parameters()] == ["model.dropout"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.epochs", r"of the form a\.b=value"),
        ("=3", r"of the form a\.b=value"),
        ("a..b=3", r"of the form a\.b=value"),
        ("training.epochs=[", "not valid YAML"),
        ("data.name.first=3", "is a single value in this space and has no keys"),
    ],
)
def test_wrong_overrides_are_named(override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        apply_overrides({"data": {"name": "digits"}}, [override])


def test_an_override_of_an_unknown_path_is_refused_like_one_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training\.epoch.*Did you mean 'epochs'"):
        load_space(write(tmp_path, MINIMAL), ["training.epoch=3"])


def test_names_are_looked_up_as_a_path_then_here_then_in_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "search_spaces").mkdir()
    own = write(tmp_path / "search_spaces", "# Mine?\n" + MINIMAL, "digits_cnn.yaml")
    assert find_space("digits_cnn").samefile(own)
    assert find_space(str(own)) == own
    assert find_space("svhn_resnet").is_file()
    assert question(own) == "Mine?"
    assert set(known_spaces()) >= {"digits_cnn", "svhn_resnet"}


@pytest.mark.parametrize(
    ("name", "words"), [("svhn_rsnet", "Did you mean 'svhn_resnet'?"), ("no/such.yaml", "no space")]
)
def test_unknown_spaces_get_the_nearest_name(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        find_space(name)


def test_the_fallback_replaces_keys_of_the_data_section_and_overrides_win(tmp_path: Path) -> None:
    text = (
        "data: {name: svhn, validation: 0.2, fallback: {name: street_digits, train_limit: 5000}}\n"
        "model: {name: svhn_resnet}\n"
    )
    path = write(tmp_path, text, "case.yaml")
    assert load_space(path).name == "case"
    assert load_space(path).defaults().data.name == "svhn"
    substitute = load_space(path, ["data.train_limit=70"]).fallback
    assert substitute is not None
    assert substitute.name == "case@street_digits"
    assert substitute.defaults().data.model_dump(include={"name", "validation", "train_limit"}) == {
        "name": "street_digits",
        "validation": 0.2,
        "train_limit": 70,
    }


def test_a_fallback_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.fallback.*name of a data set"):
        load_space(write(tmp_path, "data: {name: svhn, fallback: {train_limit: 5}}\nmodel: {name: svhn_resnet}\n"))


def test_an_override_of_an_alias_changes_one_place_only(tmp_path: Path) -> None:
    text = MINIMAL + "regularization: {l1: &r {low: 1e-6, high: 1e-4}, l2: *r}\n"
    space = load_space(write(tmp_path, text), ["regularization.l2.low=1e-5"])
    lows = {parameter.path: parameter.ends[0] for parameter in space.parameters()}
    assert lows == {"regularization.l1": 1e-6, "regularization.l2": 1e-5}


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("training: {epochs: 3}", "val_accuracy"),
        ("training: {metric: val_loss}", "val_loss"),
        ("study: {metric: val_loss}", "val_loss"),
        ("training: {metric: val_loss}\nstudy: {seed: 3}", "val_loss"),
        ("training: {metric: val_loss}\nstudy: {metric: val_loss}", "val_loss"),
    ],
)
def test_the_metric_may_stand_at_its_old_place(text: str, metric: str, tmp_path: Path) -> None:
    path = write(tmp_path, f"data: {{name: digits}}\nmodel: {{name: small_cnn}}\n{text}\n")
    space = load_space(path)
    assert space.study.metric == space.defaults().training.metric == metric
    if "seed" not in text:
        assert load_config(path).training.metric == metric
    assert "metric" not in space.tree.get("training", {})


@pytest.mark.parametrize("load", [load_space, load_config])
def test_two_different_metrics_are_refused(load: Callable[[Path], object], tmp_path: Path) -> None:
    text = "data: {name: digits}\nmodel: {name: x}\ntraining: {metric: val_loss}\nstudy: {metric: val_accuracy}\n"
    with pytest.raises(ConfigError, match=r"training\.metric: is val_loss, but study\.metric is val_accuracy"):
        load(write(tmp_path, text))


def test_what_is_exported_is_read_back(tmp_path: Path) -> None:
    config = make_config({"training.metric": "val_loss", "data.split_seed": 7})
    path = write(tmp_path, config_text(config.model_dump(mode="json")))
    assert load_config(path) == load_space(path).defaults() == config
    assert read_yaml_text(path.read_text(), "x")["study"] == {"metric": "val_loss"}


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "data: {name: svhn, fallback: {name: digits}}\nmodel: {name: small_cnn}\n")
    read: list[Path] = []
    original = loader.read_bytes
    monkeypatch.setattr(loader, "read_bytes", lambda path, limit: read.append(path) or original(path, limit))
    assert load_space(path).fallback is not None
    assert read == [path]


@pytest.mark.parametrize("stored", ["training: {metric: val_accuracy}", "study: {metric: val_accuracy}", "{}"])
@pytest.mark.parametrize("path", ["training.metric", "study.metric"])
def test_an_override_of_the_metric_wins_wherever_it_stands(stored: str, path: str, tmp_path: Path) -> None:
    text = "data: {name: digits}\nmodel: {name: small_cnn}\n" + (f"{stored}\n" if stored != "{}" else "")
    file = write(tmp_path, text)
    assert load_space(file, [f"{path}=val_loss"]).study.metric == "val_loss"
    assert load_config(file, [f"{path}=val_loss"]).training.metric == "val_loss"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("study: {seed: 7}", "study.seed: is only for studies"),
        ("study: {nuisance: [optimizer.lr]}", "study.nuisance: is only for studies"),
        ("study: []", "study: must be a mapping"),
        ("study: 3", "study: must be a mapping"),
        ("training: [1]\nstudy: {}", "training: must be a mapping"),
        ("training: 5\nstudy: {metric: val_loss}", "training: must be a mapping"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_one_error(text: str, words: str, tmp_path: Path) -> None:
    path = write(tmp_path, f"data: {{name: digits}}\nmodel: {{name: small_cnn}}\n{text}\n")
    with pytest.raises(ConfigError, match=words):
        load_config(path)


def test_an_empty_study_section_is_an_empty_one(tmp_path: Path) -> None:
    path = write(tmp_path, "data: {name: digits}\nmodel: {name: small_cnn}\nstudy:\n")
    assert load_space(path).study.metric == load_config(path).training.metric == "val_accuracy"
