"""The objective against one hyperparameter, with the mean of the best quarter of trials in each part of its range."""

from __future__ import annotations

import html
import math
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from regstudy.analysis.isolation import RangePart, best_part, clear_best, value_label
from regstudy.report import palette
from regstudy.report.figures import MAX_TRIALS_DRAWN, Drawing, finish, strength_axis
from regstudy.report.grids import best_and_newest
from regstudy.report.metric_phrasing import objective_axis
from regstudy.report.phrasing import in_percent, objective, setting
from regstudy.study.tables import Tables
from regstudy.text import counted


def metric_against(tables: Tables, path: str, parts: list[RangePart]) -> Drawing:
    """The objective of every trial against its value; bars show the mean of the best quarter in a part of the range."""
    values = tables.strength(path)
    assert values is not None
    unit = 100 if in_percent(tables.metric) else 1
    trials = tables.trials
    shown = values.notna() & trials["value"].map(math.isfinite) & (trials["outcome"] != "diverged")
    shown &= trials["state"].isin(["COMPLETE", "PRUNED"])
    rows = best_and_newest(replace(tables, trials=trials[shown]), MAX_TRIALS_DRAWN)
    null = tables.regularizers.get(path)
    numeric = parts and any(part.low is not None for part in parts)
    place: Any = str
    axis: dict[str, Any] = {"type": "category", "categoryorder": "array", "categoryarray": [p.label for p in parts]}
    if numeric:
        place, axis = strength_axis(values[shown], null, tables.ranges.get(path))
    else:
        place = partial(value_label, null=null)
    figure = go.Figure()
    heights = _clipped(tables, rows)
    pruned, baseline = rows["state"] == "PRUNED", rows["arm"] == "baseline"
    groups = (
        ("pruned", pruned & ~baseline, "x-thin-open", palette.PRUNED),
        ("search", ~pruned & ~baseline, "circle", palette.SEARCH),
        ("baseline", baseline, "diamond", palette.BASELINE),
    )
    for name, mask, symbol, color in groups:
        if mask.any():
            figure.add_scatter(
                x=values[rows.index][mask].map(place).tolist(), y=(unit * heights[mask]).round(3).tolist(),
                mode="markers", name=name, text=[_hover(tables, row, path, null) for _, row in rows[mask].iterrows()],
                hovertemplate="%{text}<extra></extra>",
                marker={"symbol": symbol, "size": 8, "color": color, "opacity": 0.75,
                        "line": {"width": 1.5, "color": color}},
            )  # fmt: skip
    _add_bars(figure, tables, parts, place, null, unit)
    finish(figure, html.escape(path), html.escape(objective_axis(tables.metric)))
    figure.update_xaxes(**axis)
    return Drawing(f"{path}: {_title(tables, parts)}", figure)


def _clipped(tables: Tables, rows: pd.DataFrame) -> pd.Series:
    """Objectives with pruned trials clipped to the worst finished trial, so that they do not compress the axis."""
    values, seen = rows["value"], rows.loc[rows["state"] == "COMPLETE", "value"]
    if seen.empty:
        return values
    return values.clip(lower=seen.min()) if tables.maximize else values.clip(upper=seen.max())


def _add_bars(figure: go.Figure, tables: Tables, parts: list[RangePart], place: Any, null: Any, unit: int) -> None:
    """A thick line per part of the range at the mean of its best quarter; single values get a wide tick."""
    segments: list[Any] = []
    heights: list[float | None] = []
    texts: list[str | None] = []
    points: list[tuple[Any, float, str]] = []
    for part in parts:
        if not math.isfinite(part.top_quarter):
            continue
        text = (
            f"{html.escape(part.label)}: best quarter {objective(part.top_quarter, tables.metric)}, "
            f"best {objective(part.best, tables.metric)}, {counted(part.observed, 'trial')}"
        )
        if part.low is None or part.high is None:
            points.append((place(null) if part.label == "off" else part.label, unit * part.top_quarter, text))
            continue
        low = place(math.nextafter(part.low, math.inf))  # the off value has its own position
        segments += [low, (low + place(part.high)) / 2, place(part.high), None]
        heights += [unit * part.top_quarter] * 3 + [None]
        texts += [text] * 3 + [None]
    style: dict[str, Any] = {
        "name": "mean of the best quarter", "legendgroup": "top", "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip
    if segments:
        figure.add_scatter(
            x=segments, y=heights, text=texts, mode="lines", line={"color": palette.BEST, "width": 4}, **style
        )
    if points:
        x, y, text_of = zip(*points, strict=True)
        marker = {"symbol": "line-ew", "size": 22, "line": {"width": 4, "color": palette.BEST}}
        figure.add_scatter(
            x=list(x), y=list(y), text=list(text_of), mode="markers", marker=marker, showlegend=not segments, **style
        )


def _title(tables: Tables, parts: list[RangePart]) -> str:
    best = best_part(parts, maximize=tables.maximize)
    if best is None:
        return "too few trials in every part of its range"
    where = best.label if best.label == "off" else f"at {best.label}"
    mean = objective(best.top_quarter, tables.metric)
    if clear_best(parts, maximize=tables.maximize) is None:
        return f"no clear best value (best mean {where}, but others may be as good)"
    return f"works best {where} (mean of the best quarter {mean}, {counted(best.observed, 'trial')})"


def _hover(tables: Tables, row: pd.Series, path: str, null: Any) -> str:
    value = row[path] if path in row.index else row[f"param:{path}"]
    text = setting(value, null, regularizer=path in tables.regularizers)
    status = ", pruned" if row["state"] == "PRUNED" else ""
    return f"trial {row['number']}{status}: {html.escape(text)}<br>{objective(row['value'], tables.metric)}"
