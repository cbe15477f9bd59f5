"""Tables of the report: every trial with its status, and lists of facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from regstudy.analysis.isolation import RangePart
from regstudy.report.metric_phrasing import gap_of, gap_score, score
from regstudy.report.phrasing import NONE, metric_name, objective, setting
from regstudy.study.tables import PARAM, Tables, best

MAX_TRIAL_ROWS = 2000  # rows of the table of trials


@dataclass(frozen=True)
class Grid:
    """A table of texts; ``numeric``: right-aligned columns; ``strong``: rows in bold, all by position."""

    head: list[str]
    rows: list[list[str]]
    numeric: frozenset[int] = frozenset()
    strong: frozenset[int] = frozenset()
    tall: bool = False  # scrolls in a box of limited height
    folded: str = ""  # the title of a table that is collapsed at first
    stacked: bool = False  # on a narrow screen, the third column goes below the second
    kinds: int | None = None  # position of the column that filters rows


def best_and_newest(tables: Tables, count: int) -> pd.DataFrame:
    """At most ``count`` rows of the trial table, in its order: half of them the best trials, the rest the newest."""
    trials = tables.trials
    if len(trials) <= count:
        return trials
    ranked = trials.sort_values("value", ascending=not tables.maximize)["number"].tolist()
    newest = trials["number"].tolist()[::-1]
    chosen = list(dict.fromkeys([*ranked[: count // 2], *newest]))[:count]
    return trials[trials["number"].isin(chosen)]


def trial_grid(tables: Tables) -> Grid:
    """Every trial: arm, status, scores at its best epoch, the strength of each regularizer, and why it ended."""
    trials, of, others = best_and_newest(tables, MAX_TRIAL_ROWS), tables.measured, tables.others
    paths = tables.searched()
    if not paths and not tables.regularizers:
        paths = [column for column in trials.columns if column.startswith(PARAM)]
    head = ["trial", "arm", "status", metric_name(tables.metric), "gap", "train (eval mode)"]
    head += [*(f"validation {each.label}" for each in others), "best epoch / epochs run"]
    short = [path.removeprefix(PARAM).removeprefix("regularization.") for path in paths]
    rows = []
    for _, row in trials.iterrows():
        epoch = NONE if pd.isna(row["best_epoch"]) else str(row["best_epoch"])
        arm, reason = (NONE if pd.isna(row[column]) else str(row[column]) for column in ("arm", "reason"))
        diverged = row["outcome"] == "diverged"  # its value is a placeholder for the sampler
        scores = [NONE if diverged else objective(row["value"], tables.metric), gap_of(row, of)]
        scores += [score(row[of.clean_train], of), *(score(row[each.val], each) for each in others)]
        scores.append(f"{epoch} / {row['epochs']}")
        values = [_strength(tables, row, path) for path in paths]
        rows.append([str(row["number"]), arm, state_words(row), *scores, *values, reason])
    winner = best(tables)
    strong = [i for i, number in enumerate(trials["number"]) if winner is not None and number == winner["number"]]
    numeric = frozenset(range(len(head) + len(paths))) - {1, 2}
    return Grid([*head, *short, "reason"], rows, numeric, frozenset(strong), tall=True, kinds=2)


PART_HEAD = ["part of the range", "finished", "pruned", "best", "mean of the best quarter", "median gap"]


def part_row(tables: Tables, path: str, part: RangePart) -> list[str]:
    """Results within one part of a hyperparameter's range; see `PART_HEAD`."""
    scores = [objective(part.best, tables.metric), objective(part.top_quarter, tables.metric)]
    scores.append(gap_score(part.gap, tables.measured))
    return [path, part.label, str(part.observed), str(part.pruned), *scores]


DATA_LABELS = {
    "name": "image set",
    "shape": "image size (channels × height × width)",
    "train": "training images",
    "clean_train": "training images measured in eval mode",
    "validation": "validation images",
    "validation_per_class": "validation images per class",
    "positive": "positive class",
    "group": "groups by",
    "groups_in_both_parts": "groups in both parts",
    "validation_groups": "groups in the validation part",
    "parts": "images read from",
    "file_rule": "version of the rule for image files",
    "own_validation": "validation part comes with the images",
    "requested": "requested image set",
    "fallback_reason": "why another image set was used",
}


def data_facts(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a study stores about its images, for readers: the images of each class stand next to its name."""
    labels = {key: DATA_LABELS.get(key, key.replace("_", " ")) for key in data}
    facts = {
        labels[key]: value for key, value in data.items() if not (key == "requested" and value == data.get("name"))
    }
    classes, counts = data.get("classes"), data.get("validation_per_class")
    if isinstance(classes, list) and isinstance(counts, list) and len(classes) == len(counts):
        facts[DATA_LABELS["validation_per_class"]] = ", ".join(
            f"{name}: {n:,}" for name, n in zip(classes, counts, strict=True)
        )
    return facts


def fact_grid(facts: Mapping[str, Any]) -> Grid:
    """Facts by name, one per row; None values are left out."""
    return Grid(["", ""], [[key, fact_cell(key, value)] for key, value in facts.items() if value is not None])


def state_words(row: pd.Series) -> str:
    """The status of a trial, for readers."""
    if row["outcome"] == "diverged":
        return "diverged"
    if row["state"] == "COMPLETE":
        return {"finished": "finished", "stopped": "stopped early"}.get(str(row["outcome"]), "complete")
    if row["state"] == "FAIL" and not pd.isna(row["slot"]):
        return {"error": "failed", "killed": "killed", "timeout": "timed out"}.get(str(row["fault"]), "interrupted")
    return {"PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}.get(str(row["state"]), str(row["state"]))


def _strength(tables: Tables, row: pd.Series, path: str) -> str:
    column = path if path in row.index else PARAM + path
    return setting(row[column], tables.regularizers.get(path), regularizer=path in tables.regularizers)


def fact_cell(label: str, value: Any) -> str:
    """A fact's value in the words of a page."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return (
            " × ".join(map(str, value))
            if label == DATA_LABELS["shape"]
            else f"{len(value)}: " + ", ".join(map(str, value))
        )
    if isinstance(value, dict):
        return ", ".join(f"{key}: {item}" for key, item in value.items()) or NONE
    return f"{value:,}" if isinstance(value, int) and "seed" not in label else str(value)
