"""What `regstudy predict` does: call the library, then show a few answers, or a summary of many, and the scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from regstudy.cli.listener import ConsoleListener
from regstudy.files.paths import shown
from regstudy.metrics import METRICS
from regstudy.production.folder_scores import FolderScores
from regstudy.production.image_input import unreadable_words
from regstudy.production.prediction import predict
from regstudy.text import counted

ROWS_SHOWN = 20  # images; of more, a summary is shown
LEAST_SURE = 5
CLASSES_SHOWN = 30


def execute(
    console: Console, out: Path, images: list[Path], output: Path | None, device: str | None, overwrite: bool
) -> int:
    """Classify and show. Returns the exit code, 0 if any image could be read; raises RegstudyError otherwise."""
    with ConsoleListener(console) as listener:
        found = predict(out, images, output, device=device, progress=listener, overwrite=overwrite)
    for line in _answers(found.table):
        console.print(line)
    if found.unreadable:
        console.print(f"Skipped: {unreadable_words(dict(found.unreadable))}", style="yellow")
    if found.scores is not None:
        for line in _scores(found.scores):
            console.print(line)
    if output is not None:
        console.print(f"Wrote {counted(len(found.table), 'row')} to {output}.")
    elif len(found.table) > ROWS_SHOWN:
        console.print("With -o predictions.csv, every image has a row in a file.")
    return 0


def _answers(table: pd.DataFrame) -> Iterator[str]:
    """A line per image, or how often each class was the answer."""
    if len(table) <= ROWS_SHOWN:
        yield from _columns(
            [("file", "class", "probability")] + [(shown(file), name, f"{p:.1%}") for file, name, p in _rows(table)],
        )
        return
    yield f"{counted(len(table), 'image')} classified, mean probability {table['probability'].mean():.1%}:"
    counts = table["class"].value_counts()
    lines = [(name, f"{count:,}", f"{count / len(table):.1%}") for name, count in counts.head(CLASSES_SHOWN).items()]
    yield from _columns([("class", "images", "share"), *lines])
    if len(counts) > CLASSES_SHOWN:
        yield f"and {len(counts) - CLASSES_SHOWN:,} more classes"
    least = _rows(table.nsmallest(LEAST_SURE, "probability"))
    yield "Least sure: " + ", ".join(f"{shown(file)} ({name} {p:.1%})" for file, name, p in least)


def _rows(table: pd.DataFrame) -> Iterator[tuple[str, str, float]]:
    return zip(table["file"], table["class"], table["probability"], strict=True)


def _scores(scores: FolderScores) -> Iterator[str]:
    """Every metric, and a line per class."""
    yield f"Scores on {counted(scores.images, 'image')}, whose folders name their classes:"
    named = [(METRICS[name], value) for name, value in scores.metrics.items()]
    yield "; ".join(f"{one.label} {value:.1%}" if one.percent else f"{one.label} {value:.4g}" for one, value in named)
    table = scores.classes[scores.classes["images"] > 0]
    lines = [("class", "images", "recall", "95 % interval", "precision", "F1", "most often taken for")]
    for row in table.head(CLASSES_SHOWN).to_dict("records"):
        interval = f"{row['recall_low']:.1%} to {row['recall_high']:.1%}"
        measures = [_share(row[name]) for name in ("precision", "f1")]
        cells = (row["class"], f"{row['images']:,}", _share(row["recall"]), interval, *measures)
        lines.append((*cells, row["most_often_taken_for"]))
    yield from _columns(lines)
    if len(table) > CLASSES_SHOWN:
        yield f"and {len(table) - CLASSES_SHOWN:,} more classes"
    absent = len(scores.classes) - len(table)
    if absent:
        yield "1 class has no image here." if absent == 1 else f"{absent:,} classes have no image here."


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1%}"


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Rows of text under each other; the first column is aligned left, and so is the last one of words."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
