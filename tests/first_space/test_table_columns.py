"""What the columns of a table mean, guessed by names and content."""

from __future__ import annotations

from pathlib import Path

import pytest

from regstudy.errors import DataError
from regstudy.first_space.table_columns import guess_columns

FILES = ["1.png", "2.png", "3.png", "4.png", "5.png", "6.png", "7.png", "8.png", "9.png", "10.png"]
KINDS = ["ill", "well"] * 5
PATIENTS = ["p1", "p1", "p2", "p2", "p3", "p3", "p4", "p4", "p5", "p5"]
PARTS = ["train"] * 7 + ["val"] * 3
AGES = [str(30 + number) for number in range(10)]


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"image": FILES, "label": KINDS}, {"image": "image", "label": "label"}),
        ({"x": KINDS, "y": FILES}, {"image": "y", "label": "x"}),
        (
            {"path": FILES, "age": AGES, "patient_id": PATIENTS, "diagnosis": KINDS, "part": PARTS},
            {"image": "path", "label": "diagnosis", "group": "patient_id", "split": "part"},
        ),
        ({"mask_path": FILES, "image_path": FILES, "class": KINDS}, {"image": "image_path", "label": "class"}),
        ({"file": FILES, "PatientID": FILES[::-1], "kind": KINDS}, {"image": "file", "label": "kind"}),
        ({"file": FILES, "case": AGES, "kind": KINDS}, {"image": "file", "label": "kind"}),
        ({"file": FILES, "set": KINDS, "label": KINDS}, {"image": "file", "label": "label"}),
    ],
)
def test_guessed_columns(columns: dict[str, list[str]], found: dict[str, str], tmp_path: Path) -> None:
    assert guess_columns(columns, tmp_path) == found


@pytest.mark.parametrize(
    ("columns", "lacking"),
    [
        ({"a": AGES, "b": AGES}, "a column with the paths"),
        ({"image": FILES, "age": AGES}, "a column with the classes"),
    ],
)
def test_columns_that_cannot_be_recognized(columns: dict[str, list[str]], lacking: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=lacking):
        guess_columns(columns, tmp_path)
