"""`regstudy.predict`: image files to a table of classes, with scores if the folders name the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch

from regstudy.data.loading_events import Notice, OnProgress, listening, tell
from regstudy.errors import ArgumentError, DataError
from regstudy.files import outputs, write_atomically
from regstudy.files.paths import given_path
from regstudy.production.classifier import Classifier, load
from regstudy.production.folder_scores import FolderScores, folder_labels, folder_scores
from regstudy.production.image_input import decoded_files, image_files, unreadable_words
from regstudy.production.part_files import csv_content

CSV_COLUMNS = rb'\A(?:\xef\xbb\xbf)?file,(?:true_class,)?class,probability,"?p\('  # how each such file begins


@dataclass(frozen=True)
class Predictions:
    """``table`` has a row per image: file, true_class (if known), class, probability, and p(<class>) of each class.

    ``unreadable`` has the reason by file. ``scores`` is None unless the images lie in folders named like the classes.
    """

    table: pd.DataFrame
    unreadable: Mapping[str, str] = field(default_factory=dict)
    scores: FolderScores | None = None

    def __str__(self) -> str:
        return str(self.table.to_string(index=False))


def predict(
    out: str | Path,
    images: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    device: str | None = None,
    progress: OnProgress | None = None,
    overwrite: bool = False,
) -> Predictions:
    """Classify image files, and all images in and below folders, with the network in a folder of `regstudy train`.

    Files that cannot be read are skipped; the result lists them. In a folder whose subfolders are named like the
    classes, the answers are scored, too. ``output`` is a CSV file to write; one of other origin is replaced only with
    ``overwrite``. Raises RegstudyError if not a single image can be read.
    """
    given = [images] if isinstance(images, str | Path) else images
    if not isinstance(given, Sequence) or not given or not all(isinstance(one, str | Path) for one in given):
        raise ArgumentError("images must be paths of image files and folders. For arrays: regstudy.load(out).predict.")
    target = None if output is None else given_path(output, "output")
    if target is not None:
        if target.suffix.lower() != ".csv":
            raise ArgumentError(f"output (-o): the name of the file must end in .csv, but it is {target}.")
        outputs.check_outputs({target: [CSV_COLUMNS]}, "predict", overwrite)
    with listening(progress):
        found = _predicted(load(out, device), [given_path(one, "The path of an image") for one in given])
    if target is not None:
        write_atomically(target, csv_content(found.table))
    return found


def _predicted(classifier: Classifier, paths: Sequence[Path]) -> Predictions:
    files = image_files(paths)
    _tell_about_decoding(classifier)
    unreadable: dict[str, str] = {}
    batches = decoded_files(files, classifier.facts, classifier.batch_size, unreadable)
    found = [(names, classifier.probabilities(pixels)) for names, pixels in batches]
    if not found:
        raise DataError(f"No image was classified: {unreadable_words(unreadable)}")
    names, probabilities = [name for some, _ in found for name in some], torch.cat([some for _, some in found])
    table = classifier.table(probabilities, names)
    folders = [path for path in paths if path.is_dir()]
    labels = folder_labels(folders, [Path(name) for name in names], classifier.classes)
    if labels.note:
        tell(Notice(labels.note, warning=True))
    if not labels.classes:
        return Predictions(table, unreadable)
    table.insert(1, "true_class", [labels.classes.get(name) for name in names])
    rows = [row for row, name in enumerate(names) if name in labels.classes]
    scores = folder_scores(probabilities[rows], [labels.classes[names[row]] for row in rows], classifier.facts)
    return Predictions(table, unreadable, scores)


def _tell_about_decoding(classifier: Classifier) -> None:
    """Images of the user's own code may have been read in another way than files are here."""
    facts = classifier.facts
    if ":" not in facts.data:
        return
    how = f"{'gray' if facts.channels == 1 else 'RGB'}, {facts.size}×{facts.size} pixels, fit {facts.fit}"
    tell(
        Notice(
            f"The training images came from your own code ({facts.data}), so regstudy cannot know how it read files."
            f" Here they are read as in image_folder: {how}. If that differs, give arrays to"
            " regstudy.load('out').predict.",
            warning=True,
        )
    )
