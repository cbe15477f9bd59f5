"""Tables of folders: which of them are parts, which are classes, and which are refused with the way out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny import make_config

from regstudy.api import train
from regstudy.config.schema import Data
from regstudy.data import check_test, image_folder, prepare, problems
from regstudy.data.folder_layout import Found, find_part, unusable_test_part
from regstudy.data.folder_parts import kind_of
from regstudy.data.image_set import ImageSet, Splits
from regstudy.data.loading_events import Notice, Progress
from regstudy.errors import DataError, StudyError
from regstudy.search.study_images import rule_of

PAIR = ("cat", "dog")


def tree(root: Path, *places: str, count: int = 2) -> Path:
    """Folders of files that are named like images; a place that ends in a slash is an empty folder."""
    for place in places:
        (root / place).mkdir(parents=True, exist_ok=True)
        for number in range(0 if place.endswith("/") else count):
            (root / place / f"{number}.png").touch()
    return root


def within(folder: str, *classes: str) -> list[str]:
    return [f"{folder}/{name}" for name in classes or PAIR]


def config(root: Path, **changes: Any) -> Data:
    return Data.model_validate({"name": "image_folder", "root": str(root), **changes})


def found_part(root: Path, part: str = "train", rule: int = 2, **changes: Any) -> Found:
    found = find_part(part, config(root, **changes), rule)
    assert found is not None
    return found


GIVEN_TRAIN = {"parts": {"train": "train"}}

# the tree; `data.parts`; the folder of each part ({} if the folders are classes); classes; a remark, if there is one
READ: dict[str, tuple[list[str], Any, dict[str, str], tuple[str, ...], str]] = {
    "classes": (list(PAIR), None, {}, PAIR, ""),
    "parts": ([*within("train"), *within("test")], None, {"train": "train", "test": "test"}, PAIR, ""),
    "all parts, other names": (
        [*within("training"), *within("valid"), *within("test")],
        None,
        {"train": "training", "validation": "valid", "test": "test"},
        PAIR,
        "",
    ),
    "any case": (
        [*within("TRAIN"), *within("Validation"), *within("tEST")],
        None,
        {"train": "TRAIN", "validation": "Validation", "test": "tEST"},
        PAIR,
        "",
    ),
    "classes called test and control": (["test", "control"], None, {}, ("control", "test"), ""),
    "such classes with subfolders of their own": (
        ["test/a", "test/b", "control/c", "control/d"],
        None,
        {},
        ("control", "test"),
        "",
    ),
    "such classes with equal subfolders, as they are": (
        [*within("test", "m", "f"), *within("control", "m", "f")],
        "none",
        {},
        ("control", "test"),
        "",
    ),
    "classes of things": (
        ["train_station", "test_tube", "valley", "bus"],
        None,
        {},
        ("bus", "test_tube", "train_station", "valley"),
        "",
    ),
    "trained and untrained": (["trained", "untrained"], None, {}, ("trained", "untrained"), ""),
    "parts that are classes": (within("train") + within("val"), "none", {}, ("train", "val"), ""),
    "equal subfolders": (
        [*within("benign", "40X", "100X"), *within("malignant", "40X", "100X")],
        None,
        {},
        ("benign", "malignant"),
        r"Each folder of .* \('benign', 'malignant'\) has the subfolders '100X', '40X'\. The folders were read as the",
    ),
    "equal subfolders of the classes of a part": (
        [*within("train/benign", "40X", "100X"), *within("train/malignant", "40X", "100X")],
        None,
        {"train": "train"},
        ("benign", "malignant"),
        "has the subfolders '100X', '40X'",
    ),
    "one equal subfolder": (["cat/winter", "dog/winter"], None, {}, PAIR, ""),
    "a folder without images next to parts": (
        [*within("train"), "labels/"],
        None,
        {"train": "train"},
        PAIR,
        r"Left out in .*: 'labels' \(no images\)\.",
    ),
    "named parts": (
        [*within("train_data"), *within("dev"), *within("final")],
        {"train": "train_data", "validation": "dev", "test": "final"},
        {"train": "train_data", "validation": "dev", "test": "final"},
        PAIR,
        "",
    ),
    "named parts in another case": (
        [*within("Train_Data"), *within("Dev")],
        {"train": "train_data", "validation": "DEV"},
        {"train": "Train_Data", "validation": "Dev"},
        PAIR,
        "",
    ),
    "named parts further below": (
        [*within("set/one"), *within("set/two")],
        {"train": "set/one", "test": "set/two/"},
        {"train": "set/one", "test": "set/two"},
        PAIR,
        "",
    ),
    "unnamed parts": (
        [*within("train"), *within("test")],
        {"train": "train"},
        {"train": "train"},
        PAIR,
        r"Left out in .*: 'test' \(not named in data\.parts\)",
    ),
    "what an archive leaves behind": (
        [*within("train"), *within("__MACOSX/train"), "$RECYCLE.BIN", "@eaDir", ".git"],
        None,
        {"train": "train"},
        PAIR,
        "",
    ),
    "classes that differ in capitals": (
        ["cat", "Cat"],
        None,
        {},
        ("Cat", "cat"),
        "'Cat', 'cat' in .* only in capitals",
    ),
}


@pytest.mark.parametrize("name", READ)
def test_a_folder_is_read_as_parts_or_as_classes(tmp_path: Path, name: str) -> None:
    places, parts, folders, classes, remark = READ[name]
    root = tree(tmp_path / "images", *places)
    section = config(root, parts=parts)
    found = found_part(root, parts=parts)
    assert image_folder.part_folders(section) == folders
    assert found.classes == classes and len(found.names) == len(found.labels) > 0
    if remark:
        assert any(re.search(remark, one) for one in found.remarks), found.remarks
    else:
        assert not found.remarks
    for part in ("validation", "test"):
        assert (find_part(part, section) is not None) is (part in folders)


PARTS_AS_CLASSES = r"look like parts .* data\.parts: \{train: %s.*\}; other folders .* data\.parts: none"
# the tree, `data.parts`, words of the error
REFUSED: dict[str, tuple[list[str], Any, str]] = {
    "parts under other names": (
        [*within("train_data"), *within("val"), *within("test")],
        None,
        PARTS_AS_CLASSES % "train_data, validation: val, test: test",
    ),
    "in any case, with classes in any case": (
        [*within("MyTrain"), *within("HoldOut", "Cat", "Dog")],
        None,
        PARTS_AS_CLASSES % "MyTrain, test: HoldOut",
    ),
    "one of them named like a part": (
        [*within("first"), *within("evaluation")],
        None,
        PARTS_AS_CLASSES % "first, validation: evaluation",
    ),
    "a part that lacks a class": (
        [*within("train_set", "a", "b", "c"), *within("dev_set", "a", "b")],
        None,
        PARTS_AS_CLASSES % "train_set, validation: dev_set",
    ),
    "a part without classes": (
        [*within("train_set"), "test_set"],
        None,
        PARTS_AS_CLASSES % "train_set, test: test_set",
    ),
    "flat parts": (["training_set", "test_set"], None, PARTS_AS_CLASSES % "training_set, test: test_set"),
    "classes that hold parts": (
        [*within("cat", "train", "test"), *within("dog", "train", "test")],
        None,
        "test images would be used for training. Move the parts to the top: train/cat instead of cat/train",
    ),
    "parts within the training part": (
        [*within("train/my_train"), *within("train/my_val")],
        None,
        PARTS_AS_CLASSES % "my_train, validation: my_val",
    ),
    "an unknown part": (
        [*within("train"), *within("dev")],
        None,
        r"parts 'train' and next to them 'dev' with images.*data\.parts: \{train: train, validation: dev\}",
    ),
    "an unknown flat part": ([*within("train"), "extra"], None, "next to them 'extra' with images"),
    "a misspelled part": ([*within("train"), *within("vla")], None, "next to them 'vla' with images"),
    "two of a kind": ([*within("train"), *within("val"), *within("valid")], None, "both 'val' and 'valid'"),
    "parts without training": ([*within("val"), *within("test")], None, "no 'train'.*data.parts: none"),
    "a named part that is not there": (
        within("train_data"),
        {"train": "trian_data"},
        r"data\.parts\.train is 'trian_data', but in .* there is no folder .* Did you mean 'train_data'",
    ),
    "an absolute part": (within("train"), {"train": "/etc"}, "train is '/etc', but it must be a folder within"),
    "a part outside": (within("train"), {"train": "../x"}, "must be a folder within data.root"),
    "the root as a part": (within("train"), {"train": "."}, "must be a folder within data.root"),
    "one folder twice": (
        within("train"),
        {"train": "train", "test": "Train"},
        "train and test must be different folders",
    ),
    "a part within a part": (
        within("train"),
        {"train": "train", "validation": "train/cat"},
        "train and validation must be different folders, and none may lie within another",
    ),
    "the data set one level down": (
        within("photos"),
        None,
        r"only 'photos'\. If 'photos' is .* data\.root to .*photos\.",
    ),
    "a class name that is no text": (["cat", "d\udcffg"], None, r"not UTF-8: 'd\\udcffg'\. Rename"),
    "a class name with a line break": (["cat", "d\ng"], None, r"control characters .*: 'd\\ng'\. Rename"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_folder_that_is_unclear_is_refused_with_the_way_out(tmp_path: Path, name: str) -> None:
    places, parts, words = REFUSED[name]
    root = tree(tmp_path / "images", *places)
    with pytest.raises(DataError, match=words) as error:
        find_part("train", config(root, parts=parts))
    assert (
        "\n" not in str(error.value)
        and str(error.value).endswith(".")
        and ".." not in str(error.value).replace("../x", "")
    )
    str(error.value).encode()


PROPOSALS = [
    "parts under other names",
    "in any case, with classes in any case",
    "one of them named like a part",
    "an unknown part",
    "a misspelled part",
]


@pytest.mark.parametrize("name", PROPOSALS)
def test_the_proposed_parts_are_accepted(tmp_path: Path, name: str) -> None:
    root = tree(tmp_path / "images", *REFUSED[name][0])
    with pytest.raises(DataError) as error:
        find_part("train", config(root))
    proposal = str(error.value).partition("data.parts: {")[2].partition("}")[0]
    assert found_part(root, parts=dict(pair.split(": ") for pair in proposal.split(", "))).classes == PAIR


NAMED = [
    ("training_images", "train"),
    ("TestData", "test"),
    ("my-holdout", "test"),
    ("dev2", "validation"),
    ("x_eval", "validation"),
    ("valid", "validation"),
    ("benign", None),
    ("control", None),
]


@pytest.mark.parametrize(("name", "kind"), NAMED)
def test_a_name_hints_at_a_part(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"name": "digits", "parts": "none"}, "data.parts"),
        ({"name": "image_folder", "root": ".", "parts": {"train": ""}}, "data.parts"),
    ],
)
def test_parts_are_checked_with_the_configuration(data: dict[str, Any], path: str) -> None:
    assert path in [problem.path for problem in problems(make_config({"data": data}))]


# Parts whose classes differ


DIFFERENT = {
    "capitals": (within("val", "Cat", "dog"), r"differ only in capitals: train/cat and val/Cat\. Give .* val/cat\."),
    "missing": (["val/cat"], "'dog' only in train"),
    "extra": (within("val", "cat", "dog", "emu"), "'emu' only in val"),
    "flat": (["val"], "none and 2 images outside of subfolders"),
    "empty": ([*within("val", "cat"), "val/dog/"], "has no images for 'dog'"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_validation_and_test_need_the_classes_of_training(tmp_path: Path, name: str) -> None:
    places, words = DIFFERENT[name]
    root = tree(tmp_path / "images", *within("train"), *places)
    with pytest.raises(DataError, match=words) as error:
        find_part("validation", config(root))
    assert "leave this part out: data.parts: {train: train}" in str(error.value)
    other = tree(tmp_path / "others", *within("train"), *(place.replace("val", "test") for place in places))
    with pytest.raises(DataError, match=words.replace("val", "test")) as error:
        check_test(config(other))
    assert "no training was started" in str(error.value)
    check_test(config(other, parts={"train": "train"}))


def test_the_test_part_is_judged_by_names_and_its_files_stay_closed(tmp_path: Path) -> None:
    root = tree(tmp_path / "images", *within("train"), *within("test"))
    for path in (root / "test").rglob("*.png"):
        path.chmod(0)  # root may read it nevertheless, so the format is one that only its content would tell
        path.rename(path.with_suffix(""))
    found = found_part(root)
    assert "test has no images for 'cat', 'dog'" in str(unusable_test_part(found, config(root)))
    for path in (root / "train").rglob("*.png"):
        path.write_bytes(b"GIF89a")
        path.rename(path.with_suffix(""))  # as in the training part, images have no suffix
    assert unusable_test_part(found_part(root), config(root)) is None


def test_a_search_hears_of_an_unusable_test_part_at_its_start(tmp_path: Path) -> None:
    root = tree(tmp_path / "images", *within("train"), "test", count=4)
    for number, path in enumerate(sorted((root / "train").rglob("*.png"))):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    heard: list[Progress | Notice] = []
    splits = prepare(config(root, size=8, validation=2), tmp_path / "data", heard.append)
    (notice,) = (event for event in heard if isinstance(event, Notice))
    assert "`regstudy train` will, and it cannot be used" in notice.text and "4 images outside" in notice.text
    facts = splits.describe()
    assert facts["parts"] == {"train": "train", "test": "test"} and facts["file_rule"] == 2
    assert "6 for training (from train), 2 for validation (from train)" in splits.in_words()
    assert "2 classes, training + validation: cat (3 + 1), dog (3 + 1)" in splits.in_words()


def test_many_classes_are_named_up_to_ten() -> None:
    part = ImageSet(torch.zeros(24, 1, 4, 4, dtype=torch.uint8), torch.arange(24) % 12, tuple("abcdefghijkl"))
    words = Splits(part, part, part, "letters", 0).in_words()
    assert "12 classes, training + validation: a (2 + 2), b (2 + 2)" in words
    assert words.endswith("j (2 + 2), and 2 more") and "k (" not in words


def test_train_refuses_an_unusable_test_part_before_it_trains(tmp_path: Path) -> None:
    root = tree(tmp_path / "images", *within("train"), "test")
    changes = {"data": {"name": "image_folder", "root": str(root)}}
    with pytest.raises(DataError, match=r"no training was started: .* 2 images outside"):
        train(make_config(changes), tmp_path / "out", data_dir=tmp_path / "data")
    assert not (tmp_path / "out").exists()


# Studies of version 0.1.0


RULES = [
    (None, 2),
    ({"name": "image_folder"}, 1),
    ({"name": "image_folder", "file_rule": 1}, 1),
    ({"name": "image_folder", "file_rule": 2}, 2),
    ({"name": "digits"}, 2),
    ({"name": "digits", "file_rule": None}, 2),
]


@pytest.mark.parametrize(("known", "rule"), RULES)
def test_a_study_keeps_the_rule_that_it_stored(known: dict[str, Any] | None, rule: int) -> None:
    assert rule_of(known) == rule


@pytest.mark.parametrize("rule", [0, 3, "2"])
def test_a_rule_of_a_later_version_is_an_error(rule: Any) -> None:
    with pytest.raises(StudyError, match="Use the version that created the study"):
        rule_of({"name": "image_folder", "file_rule": rule})


def test_an_older_rule_reads_what_it_read_and_says_what_is_odd(tmp_path: Path) -> None:
    root = tree(tmp_path / "images", *within("train"), *within("dev"))
    found = found_part(root, rule=1)
    assert len(found.names) == 4 and any("'dev' with images" in one for one in found.remarks)
    other = tree(tmp_path / "others", *within("train_data"), *within("val"))
    found = found_part(other, rule=1)
    assert found.classes == ("train_data", "val") and any("look like parts" in one for one in found.remarks)
