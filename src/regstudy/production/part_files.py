"""The files that show what a model says about one part: predictions.csv, confusion.csv and classes.csv."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

from regstudy.files import write_atomically
from regstudy.production.class_table import class_table
from regstudy.production.part_scores import PartScores
from regstudy.production.training_folder import CLASSES_FILE, CONFUSION_FILE, PREDICTIONS_FILE


def write_part_files(out: Path, scores: PartScores) -> None:
    """Write the three tables; the column ``part`` says which images they are about."""
    tables = {
        PREDICTIONS_FILE: predictions(scores),
        CONFUSION_FILE: confusion_table(scores),
        CLASSES_FILE: classes_table(scores),
    }
    for name, table in tables.items():
        write_atomically(out / name, csv_content(table))


def image_names(scores: PartScores) -> list[str]:
    """The file of each image, or its position in the part, from 0."""
    return list(scores.images.paths) or [str(number) for number in range(len(scores.images))]


def predictions(scores: PartScores) -> pd.DataFrame:
    """A row per image: its name, true and predicted class, the latter's probability, and those of all classes."""
    classes = scores.images.classes
    chosen = scores.probabilities.argmax(1)
    columns: dict[str, object] = {
        "file": image_names(scores),
        "part": scores.part,
        "true_class": [classes[number] for number in scores.images.labels.tolist()],
        "class": [classes[number] for number in chosen.tolist()],
        "probability": scores.probabilities.amax(1).numpy(),
    }
    of_classes = {f"p({name})": scores.probabilities[:, number].numpy() for number, name in enumerate(classes)}
    return pd.DataFrame({**columns, **of_classes})


def confusion_table(scores: PartScores) -> pd.DataFrame:
    """Images by true class (rows) and predicted class (columns)."""
    classes, counts = scores.images.classes, scores.measured.confusion.numpy()
    table = pd.DataFrame(counts, columns=list(classes))
    table.insert(0, "true_class", list(classes), allow_duplicates=True)
    table.insert(0, "part", scores.part, allow_duplicates=True)
    return table


def classes_table(scores: PartScores) -> pd.DataFrame:
    """A row per class."""
    table = class_table(scores.measured.confusion, scores.images.classes, scores.recall, scores.precision)
    table.insert(0, "part", scores.part)
    return table


def csv_content(table: pd.DataFrame) -> bytes:
    """The content of a CSV file; bytes of file names that are no text are escaped."""
    buffer = io.StringIO()
    table.to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue().encode(errors="backslashreplace")
