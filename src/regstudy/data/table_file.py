"""Reads a table of images, CSV or TSV: its header, and the cells of the columns that a configuration names."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from regstudy.config.schema import Data
from regstudy.errors import DataError, unknown
from regstudy.files import read_bytes
from regstudy.files.paths import given_path, shown

SEPARATORS = (",", ";", "\t")
DEFAULT_COLUMNS = {"image": "image", "label": "label"}
NEAR_DUPLICATES = "near_duplicates"  # of data.group, no column
LONGEST_CELL = 1_000_000


@dataclass(frozen=True)
class Row:
    """One line of a table: its number in the file, and its cells by their use: image, label, group, split."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """The rows of a table, and the lines that have more or fewer cells than the header."""

    path: Path
    rows: tuple[Row, ...]
    uneven: tuple[int, ...]

    @property
    def folder(self) -> Path:
        """The folder in which the paths of images start."""
        return self.path.parent


def columns_of(config: Data) -> dict[str, str]:
    """The column of each use: image and label always, group and split where they are set."""
    group = None if config.group == NEAR_DUPLICATES else config.group
    asked = {"image": config.image, "label": config.label, "group": group, "split": config.split}
    return {use: name for use, column in asked.items() if (name := column or DEFAULT_COLUMNS.get(use)) is not None}


def read_table(config: Data) -> Table:
    """The table of a configuration. DataError if it cannot be read, or if it lacks columns; all of them are named."""
    path = given_path(config.file or "", "data.file")
    if not path.exists():
        raise DataError(f"data.file '{shown(path)}' does not exist (looked in {path.absolute().parent}).")
    lines = table_lines(path)
    where = {use: _position(lines[0][1], use, name) for use, name in columns_of(config).items()}
    wrong = [place for place in where.values() if isinstance(place, str)]
    if wrong:
        raise DataError(f"{shown(path)} cannot be used: {' '.join(wrong)}")
    rows, uneven = [], []
    for line, cells in lines[1:]:
        if len(cells) != len(lines[0][1]):
            uneven.append(line)
        else:
            rows.append(Row(line, {use: cells[int(place)].strip() for use, place in where.items()}))
    if not rows and not uneven:
        raise DataError(f"{shown(path)} has a header but no rows. Each row names one image and its label.")
    return Table(path, tuple(rows), tuple(uneven))


def table_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Each line that is not empty with its number, the header first. DataError if the file is no table."""
    content = read_bytes(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{shown(path)} is not a text file in UTF-8 (byte {error.start:,}). Save it as CSV in UTF-8."
        ) from None
    if "\0" in text:
        raise DataError(f"{shown(path)} is not a text file: it contains NUL characters. Save it as CSV in UTF-8.")
    header = text.lstrip().partition("\n")[0]
    sign = max(SEPARATORS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign, strict=True, skipinitialspace=True)
    lines: list[tuple[int, list[str]]] = []
    csv.field_size_limit(LONGEST_CELL)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                lines.append((reader.line_num, cells))
    except csv.Error as error:
        raise DataError(f"{shown(path)} cannot be read as CSV: line {reader.line_num}: {error}.") from None
    if not lines:
        raise DataError(f"{shown(path)} is empty. The first line must name the columns, such as image,label.")
    return lines


def _position(header: list[str], use: str, name: str) -> int | str:
    """The place of a column, or a sentence about what is wrong with it."""
    names = [cell.strip() for cell in header]
    if names.count(name) == 1:
        return names.index(name)
    if name in names:
        return f"data.{use} is '{name}', but {names.count(name)} columns have this name. Rename the others."
    default = " (the default)" if DEFAULT_COLUMNS.get(use) == name else ""
    also = f" A group can also be {NEAR_DUPLICATES}, which compares pixels." if use == "group" else ""
    return f"data.{use} is '{name}'{default}, but {unknown('column', name, names)}{also}"
