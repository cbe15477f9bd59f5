"""How right a classifier is about images whose folders name their classes: ``<folder>/<class>/*``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from regstudy.analysis.share_error import ShareError, share_error
from regstudy.data.folder_walk import printable, quoted
from regstudy.metrics import METRICS
from regstudy.production.class_table import class_table
from regstudy.production.preprocessing_file import StoredPreprocessing
from regstudy.text import counted
from regstudy.training.scores import confusion, extra_scores

STRANGERS_NAMED = 5  # folders that are no classes


@dataclass(frozen=True)
class FolderLabels:
    """The class of each file that lies in the folder of a class.

    ``note`` is a sentence about files that have no class, and about folders that are no classes: then none is known.
    """

    classes: Mapping[str, str]
    note: str = ""


@dataclass(frozen=True)
class FolderScores:
    """``metrics`` by name, those of `regstudy.metrics` that are defined; ``classes`` has a row per class.

    ``confusion`` counts the images of each class (rows) that were taken for each class (columns).
    """

    images: int
    metrics: Mapping[str, float]
    classes: pd.DataFrame
    confusion: pd.DataFrame


def folder_labels(folders: Sequence[Path], files: Sequence[Path], known: Sequence[str]) -> FolderLabels:
    """The classes of files, by the names of the folders that they lie in within the given folders."""
    found: dict[str, str] = {}
    loose, strangers = 0, Counter[str]()
    for file in files:
        folder = next((one for one in folders if file.is_relative_to(one)), None)
        name = file.relative_to(folder).parts[0] if folder is not None else ""
        if folder is None or file == folder / name:
            loose += 1
        elif name in known:
            found[str(file)] = name
        else:
            strangers[name] += 1
    if strangers and not found:
        return FolderLabels({}, f"Not scored: no folder is named like a class ({quoted(list(strangers), 3)}).")
    if strangers:
        words = [f"'{printable(name)}'{_near(name, known)}" for name in list(strangers)[:STRANGERS_NAMED]]
        words += [f"and {len(strangers) - STRANGERS_NAMED:,} more"] if len(strangers) > STRANGERS_NAMED else []
        images = counted(strangers.total(), "image")
        return FolderLabels({}, f"Not scored: the folders of {images} are not named like classes: {', '.join(words)}.")
    note = f"Not scored: {counted(loose, 'image')} outside of the class folders." if loose and found else ""
    return FolderLabels(found, note)


def _near(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""


def folder_scores(probabilities: Tensor, truth: Sequence[str], facts: StoredPreprocessing) -> FolderScores:
    """Scores of probabilities N×classes of images whose true classes are known; N is at least 1."""
    classes = list(facts.classes)
    labels = torch.tensor([classes.index(name) for name in truth])
    counts = confusion(probabilities.argmax(1), labels, len(classes))
    logs = probabilities.double().clamp(min=torch.finfo(torch.float32).tiny).log()
    names = [one.name for one in METRICS.values() if one.name not in ("accuracy", "loss")]
    names = [name for name in names if len(classes) == 2 or not METRICS[name].binary]
    others = extra_scores(names, counts, logs, labels, facts.positive_number).tolist()
    metrics = {"accuracy": float(counts.trace()) / len(labels), **dict(zip(names, others, strict=True))}
    metrics["loss"] = float(nll_loss(logs, labels))
    defined = {name: value for name, value in metrics.items() if math.isfinite(value)}
    matrix = pd.DataFrame(counts.numpy(), index=classes, columns=classes)
    return FolderScores(len(labels), defined, _by_class(counts, classes), matrix)


def _by_class(counts: Tensor, classes: Sequence[str]) -> pd.DataFrame:
    """The table of classes, of images that are taken for independent."""

    def recall(label: int) -> ShareError:
        return share_error(int(counts[label, label]), int(counts[label].sum()))

    def precision(label: int) -> ShareError:
        return share_error(int(counts[label, label]), int(counts[:, label].sum()))

    return class_table(counts, classes, recall, precision)
