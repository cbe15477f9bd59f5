"""Tables of images: which rows make which part, and what is said about wrong ones, all together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from regstudy.config.schema import Data
from regstudy.data import check_test, open_test, prepare
from regstudy.data.image_set import ImageSet
from regstudy.data.loading_events import listening
from regstudy.data.own.refusals import MULTI_LABEL, REGRESSION
from regstudy.data.table import load
from regstudy.errors import DataError, RegstudyError

COUNT = 24


def write_images(folder: Path, count: int = COUNT) -> None:
    (folder / "scans").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (10, 10, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "scans" / f"{number}.png")


def rows(sign: str = ",", last: str = "") -> list[str]:
    """Header and rows: path, diagnosis, patient (of three images each), part."""
    lines = [sign.join(["path", "diagnosis", "patient", "part"])]
    for number in range(COUNT):
        part = "test" if number >= 18 else "val" if number >= 12 else "train"
        cells = [f"scans/{number}.png", ("sick", "well")[number % 2], f"p{number // 3}", part]
        lines.append(sign.join(cells) + last)
    return lines


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_images(tmp_path)
    return tmp_path


def config(folder: Path, **changes: Any) -> Data:
    fields = {"file": str(folder / "labels.csv"), "image": "path", "label": "diagnosis", "size": 10, **changes}
    return Data(name="table", **fields)


def write(folder: Path, lines: list[str], name: str = "labels.csv", encoding: str = "utf-8") -> None:
    (folder / name).write_text("\n".join(lines), encoding=encoding)


def loaded(folder: Path, part: str = "train", **changes: Any) -> ImageSet:
    found = load(part, config(folder, **changes), folder / "data")
    assert found is not None
    return found


FILES: dict[str, Callable[[Path], None]] = {
    "commas": lambda folder: write(folder, rows()),
    "semicolons": lambda folder: write(folder, rows(";")),
    "tabs": lambda folder: write(folder, rows("\t")),
    "a byte order mark": lambda folder: write(folder, rows(), encoding="utf-8-sig"),
    "Windows lines": lambda folder: write(folder, [line + "\r" for line in rows()]),
    "quotes and spaces": lambda folder: write(folder, ['"' + line.replace(",", '", "') + '"' for line in rows()]),
    "empty lines": lambda folder: write(folder, [rows()[0], "", *rows()[1:], ",,,", ""]),
    "backslashes": lambda folder: write(folder, [line.replace("scans/", ".\\scans\\") for line in rows()]),
    "absolute paths": lambda folder: write(folder, [line.replace("scans/", f"{folder}/scans/") for line in rows()]),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_several_kinds_are_read_alike(folder: Path, name: str) -> None:
    FILES[name](folder)
    found = loaded(folder)
    assert found.classes == ("sick", "well") and found.labels.tolist() == [0, 1] * 12
    for place in (0, 23):
        assert found.paths[place].endswith(f"scans/{place}.png")
        expected = np.random.default_rng(place).integers(0, 256, (10, 10, 3), dtype=np.uint8)
        assert np.array_equal(found.images[place].numpy(), expected.transpose(2, 0, 1))


def test_parts_come_from_the_split_column_and_the_test_stays_closed(folder: Path) -> None:
    write(folder, rows())
    for number in range(18, COUNT):
        (folder / "scans" / f"{number}.png").write_bytes(b"no image, so reading it would fail")
    splits = prepare(config(folder, split="part"), folder / "data")
    assert (len(splits.train), len(splits.validation)) == (12, 6) and splits.own_validation
    check_test(config(folder, split="part"))
    with pytest.raises(DataError, match="6 of 6 images in the test part cannot be read"):
        open_test(config(folder, split="part"), folder / "data")


def test_groups_stay_together_and_are_counted_over_all_parts(folder: Path) -> None:
    write(folder, rows())
    splits = prepare(config(folder, group="patient", validation=0.3), folder / "data")
    assert splits.grouping is not None and splits.grouping.rule == "patient" and splits.grouping.groups == 8
    assert splits.train.groups is not None and splits.validation.groups is not None
    assert not set(splits.train.groups.tolist()) & set(splits.validation.groups.tolist())
    for part in (splits.train, splits.validation):
        assert part.groups is not None
        patients = [int(Path(path).stem) // 3 for path in part.paths]
        assert patients == part.groups.tolist()
    lines = [line.replace(",p4,", ",p0,") for line in rows()]  # of which some are validation images
    write(folder, lines)
    divided = prepare(config(folder, group="patient", split="part"), folder / "data")
    assert divided.grouping is not None and divided.grouping.in_both_parts == 1


def test_near_duplicates_are_no_column(folder: Path) -> None:
    write(folder, rows())
    splits = prepare(config(folder, group="near_duplicates", validation=0.3), folder / "data")
    assert splits.grouping is not None and splits.grouping.rule == "near_duplicates"


def test_numbers_as_labels_are_classes_in_their_order(folder: Path) -> None:
    write(folder, ["image,label", *(f"scans/{number}.png,{(2, 10)[number % 2]}" for number in range(COUNT))])
    assert loaded(folder, image=None, label=None).classes == ("2", "10")


def test_gray_tables_have_one_channel(folder: Path) -> None:
    write(folder, rows())
    color, gray = loaded(folder), loaded(folder, channels=1)
    assert gray.shape == (1, 10, 10)
    expected = np.asarray(Image.fromarray(color.images[3].permute(1, 2, 0).numpy()).convert("L"))
    assert np.array_equal(gray.images[3, 0].numpy(), expected)


def replaced(old: str, new: str) -> Callable[[Path], None]:
    return lambda folder: write(folder, [line.replace(old, new) for line in rows()])


def broken_image(folder: Path) -> None:
    write(folder, rows())
    (folder / "scans" / "3.png").write_bytes(b"no image")


WRONG: dict[str, tuple[Callable[[Path], Any], dict[str, Any], list[str]]] = {
    "no file": (lambda _: None, {}, ["labels.csv' does not exist (looked in"]),
    "a folder": (lambda folder: (folder / "labels.csv").mkdir(), {}, ["cannot be read: it is a folder"]),
    "an empty file": (lambda folder: write(folder, [""]), {}, ["is empty. The first line must name the columns"]),
    "a header only": (lambda folder: write(folder, rows()[:1]), {}, ["has a header but no rows"]),
    "a workbook": (
        lambda folder: (folder / "labels.csv").write_bytes(b"PK\x03\x04" + b"\xff" * 30),
        {},
        ["not a text file in UTF-8"],
    ),
    "two-byte text": (lambda folder: write(folder, rows(), encoding="utf-16-le"), {}, ["it contains NUL characters"]),
    "open quotes": (lambda folder: write(folder, [*rows(), '"scans']), {}, ["cannot be read as CSV: line"]),
    "unknown columns": (
        lambda folder: write(folder, rows()),
        {"image": "pth", "label": None, "group": "patients", "split": "fold"},
        [
            "data.image is 'pth', but there is no column 'pth'. Did you mean 'path'?",
            "data.label is 'label' (the default), but there is no column 'label'.",
            "data.group is 'patients', but there is no column 'patients'. Did you mean 'patient'?",
            "near_duplicates, which compares pixels",
            "data.split is 'fold', but",
        ],
    ),
    "a column twice": (replaced("patient,part", "path,part"), {}, ["but 2 columns have this name"]),
    "everything": (
        lambda folder: (
            write(
                folder,
                [*rows()[:20], "scans/20.png,,p1,test", "none.png,sick,p1,test", "scans/22.png,sick,p1,fold 2", "a,b"],
            ),
            (folder / "scans" / "3.png").write_bytes(b"no image"),
            (folder / "scans" / "4.png").unlink(),
        ),
        {"split": "part"},
        [
            "labels.csv has 5 problems:",
            "1 row with more or fewer cells than the header: line 24.",
            "1 row without a value in the column 'diagnosis' (data.label): line 21.",
            "1 row whose 'part' is not one of train, validation, test: 'fold 2' (line 23).",
            "2 missing files (paths start in",
            "'scans/4.png' (line 6), 'none.png' (line 22).",
            "1 of 11 images in the train part cannot be read: scans/3.png (not an image).",
            "or set data.unreadable: skip",
        ],
    ),
    "a patient is missing": (
        replaced(",p1,", ",,"),
        {"group": "patient"},
        ["3 rows without a value in the column 'patient' (data.group): line 5, line 6, line 7."],
    ),
    "an image twice": (
        replaced("scans/5.png", "./scans/3.png"),
        {},
        ["1 image is listed more than once: 'scans/3.png' (lines 5 and 7). Give each image one row"],
    ),
    "several labels": (
        replaced("2.png,sick", "2.png,sick|well"),
        {},
        [f"'sick|well' in the column 'diagnosis' has {'s'}everal labels. {MULTI_LABEL}"],
    ),
    "numbers to predict": (
        lambda folder: write(folder, [rows()[0], *(f"scans/{n}.png,{n / 4},p,train" for n in range(COUNT))]),
        {},
        [f"The column 'diagnosis' has numbers such as 0.25. {REGRESSION}"],
    ),
    "one class": (replaced("well", "sick"), {}, ["has only the class 'sick'"]),
    "no training rows": (replaced(",train", ",test"), {"split": "part"}, ["No row of the column 'part' says train"]),
    "a class without training images": (
        lambda folder: write(folder, [line.replace("well", "sick") if "train" in line else line for line in rows()]),
        {"split": "part"},
        ["The train part has no images of 'well'"],
    ),
    "an unreadable image": (broken_image, {}, ["1 of 24 images in the train part cannot be read: scans/3.png"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_all_that_is_wrong_is_said_together(folder: Path, name: str) -> None:
    make, changes, words = WRONG[name]
    make(folder)
    with pytest.raises(RegstudyError) as error:
        loaded(folder, **changes)
    for part in words:
        assert part in str(error.value)


def test_missing_and_unreadable_files_can_be_skipped_and_are_counted(folder: Path) -> None:
    broken_image(folder)
    (folder / "scans" / "4.png").unlink()
    said: list[str] = []
    with listening(lambda event: said.append(str(event))):
        found = loaded(folder, unreadable="skip", group="patient")
    assert len(found) == COUNT - 2 and found.groups is not None
    assert found.groups.tolist() == [n // 3 for n in range(COUNT) if n not in (3, 4)]
    text = "\n".join(said)
    assert "1 missing file (paths start in" in text and "'scans/4.png' (line 6)." in text
    assert "Skipped 1 unreadable file" in text and "scans/3.png (not an image)" in text


def test_a_test_part_that_lacks_a_class_is_told_before_training(folder: Path) -> None:
    write(folder, [line.replace("well", "sick") if ",test" in line else line for line in rows()])
    with pytest.raises(DataError, match="no training was started: it has no images of 'well'"):
        check_test(config(folder, split="part"))
    said: list[str] = []
    with listening(lambda event: said.append(str(event))):
        loaded(folder, split="part")
    assert "A search does not use the test part" in "\n".join(said)


def test_pixels_are_decoded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, rows())
    first = loaded(folder).hash
    monkeypatch.setattr("regstudy.data.pixel_cache.decode", lambda *_: pytest.fail("decoded again"))
    assert loaded(folder).hash == first
