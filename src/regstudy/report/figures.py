"""Plotly figures of the analysis: every title states the finding, every axis its unit.

Backgrounds are transparent and colors are midtones, so that the page can style text and grid for light and dark mode.
User text inside figures is escaped because Plotly renders some HTML. A drawing's title is plain text, which the page
shows as a heading.
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from regstudy.analysis.curves import epochs_of
from regstudy.analysis.gap import Relation
from regstudy.analysis.learned import Qualification
from regstudy.metrics import Metric
from regstudy.report import palette
from regstudy.report.grids import best_and_newest
from regstudy.report.metric_phrasing import axis, gap_of, objective_axis, scale, score, unit, validation_name
from regstudy.report.phrasing import capital, in_percent, metric_name, objective, setting
from regstudy.study.tables import ParameterRange, Tables
from regstudy.text import counted

FIGURE_HEIGHT = 340  # pixels
MAX_TRIALS_DRAWN = 1000  # per figure: the best and the newest
MAX_INTEGER_TICKS = 12  # up to this many integers on an axis, each gets a tick


def series_lines(of: Metric) -> tuple[tuple[str, str, str, str], ...]:
    """The curves of a metric: series, name, color, dash."""
    return (
        (of.train, "train (train mode)", palette.TRAIN_MODE, "dot"),
        (of.clean_train, "train (eval mode)", palette.TRAIN, "solid"),
        (of.val, "validation", palette.VALIDATION, "solid"),
    )


@dataclass(frozen=True)
class Drawing:
    """A figure and its heading."""

    title: str
    figure: go.Figure


def learning_curves(tables: Tables, number: int, label: str) -> Drawing:
    """The study's metric of one trial by epoch, in training and validation, best epoch marked."""
    of = tables.measured
    epochs = epochs_of(tables, number)
    row = tables.trials.set_index("number").loc[number]
    figure = go.Figure()
    for column, name, color, dash in series_lines(of):
        if column not in epochs:
            continue  # only accuracy and loss are measured in train mode
        rows = epochs[np.isfinite(epochs[column])]  # a line connects the epochs in which it was measured
        figure.add_scatter(
            x=rows["epoch"].tolist(),
            y=(scale(of) * rows[column]).round(2 if of.percent else 4).tolist(),
            name=name,
            mode="lines+markers" if len(rows) < 3 else "lines",
            line={"color": color, "dash": dash, "width": 2},
            hovertemplate="%{y:.1f} %" if of.percent else "%{y:.3f}",
        )
    best_epoch = row["best_epoch"]
    if pd.notna(best_epoch) and best_epoch > 0:
        figure.add_vline(x=int(best_epoch), line={"color": palette.BEST_EPOCH, "dash": "dash", "width": 1})
        left = best_epoch > epochs["epoch"].max() / 2
        figure.add_annotation(
            x=int(best_epoch), y=0, yref="paper", yanchor="bottom", xanchor="right" if left else "left",
            text=f" best epoch {int(best_epoch)} ", showarrow=False, font={"color": palette.BEST_EPOCH},
        )  # fmt: skip
    finish(figure, "epoch", axis(of), hovermode="x unified")
    whole_ticks(figure, 1, int(epochs["epoch"].max()))
    return Drawing(
        f"{label}, trial {number}: {validation_name(of)} {score(row[of.val], of)}, gap {gap_of(row, of)}", figure
    )


def gap_against(tables: Tables, relation: Relation, qualification: Qualification) -> Drawing:
    """Gap of each trial against one regularizer's strength, with “off” at the left."""
    trials, of = tables.trials, tables.measured
    strength = tables.strength(relation.path)
    assert strength is not None
    shown = tables.observed() & trials[tables.gap].notna() & strength.notna()
    if shown.sum() > MAX_TRIALS_DRAWN:  # all baseline trials, the best and the newest of the others
        wanted = best_and_newest(replace(tables, trials=trials[shown]), MAX_TRIALS_DRAWN)["number"]
        shown &= trials["number"].isin(wanted) | (trials["arm"] == "baseline")
    place, x_axis = strength_axis(strength[shown], relation.null, tables.ranges.get(relation.path))
    x = strength[shown].map(place)
    rows = trials[shown]
    good = qualification.mask[shown]
    baseline = rows["arm"] == "baseline"
    texts = [_hover(row, relation, value, of) for (_, row), value in zip(rows.iterrows(), strength[shown], strict=True)]
    hover = pd.Series(texts, index=rows.index, dtype="object")
    figure = go.Figure()
    for name, mask, symbol, color in (
        ("search", good & ~baseline, "circle", palette.SEARCH),
        ("baseline", good & baseline, "diamond", palette.BASELINE),
    ):
        figure.add_scatter(
            x=x[mask].tolist(), y=(scale(of) * rows.loc[mask, tables.gap]).round(3).tolist(), mode="markers", name=name,
            text=hover[mask].tolist(), hovertemplate="%{text}<extra></extra>",
            marker={
                "symbol": symbol, "size": 9 if len(rows) <= 200 else 6, "color": color, "opacity": 0.75,
            },
        )  # fmt: skip
    if (~good).any():
        figure.add_scatter(
            x=x[~good].tolist(), y=(scale(of) * rows.loc[~good, tables.gap]).tolist(), mode="markers",
            name="excluded", text=hover[~good].tolist(), hovertemplate="%{text}<extra></extra>",
            marker={"symbol": "circle-open", "size": 9, "color": palette.EXCLUDED, "line": {"width": 1.5}},
        )  # fmt: skip
    finish(figure, html.escape(relation.path), f"gap ({unit(of)})")
    figure.update_xaxes(**x_axis)
    return Drawing(f"{relation.path}: {_short(relation)}", figure)


def importance_bars(importances: pd.DataFrame, target: str, label: str) -> Drawing:
    """Importance of each parameter for one target, with its chance threshold."""
    rows = importances[(importances["target"] == target) & importances["importance"].notna()].iloc[::-1]
    named = rows["above_chance"]
    texts = [html.escape(str(name)) for name in rows["parameter"]]
    figure = go.Figure()
    figure.add_bar(
        x=rows["importance"].tolist(), y=texts, orientation="h", name="importance", showlegend=False,
        marker={"color": [palette.SIGNIFICANT if above else palette.NOT_SIGNIFICANT for above in named]},
        text=[_importance_hover(row) for row in rows.itertuples()], textposition="none",
        hovertemplate="%{y}: %{x:.4f}<br>%{text}<extra></extra>",
        error_x={
            "type": "data", "symmetric": False, "color": palette.TEXT, "thickness": 1, "width": 3,
            "array": (rows["stable_high"] - rows["importance"]).clip(lower=0).fillna(0).tolist(),
            "arrayminus": (rows["importance"] - rows["stable_low"]).clip(lower=0).fillna(0).tolist(),
        },
    )  # fmt: skip
    figure.add_scatter(
        x=rows["null_95"].tolist(), y=texts, mode="markers", name="chance threshold",
        marker={"symbol": "line-ns", "size": 14, "line": {"width": 2, "color": palette.THRESHOLD}},
        hovertemplate="%{y}: chance threshold %{x:.4f}<extra></extra>",
    )  # fmt: skip
    count = int(named.sum())
    finding = f"{counted(count, 'parameter')} above chance" if count else "no parameter above chance"
    finish(figure, "PED-ANOVA importance", "")
    figure.update_xaxes(rangemode="tozero")
    figure.update_layout(height=130 + 26 * max(len(rows), 3), bargap=0.35)
    return Drawing(f"{label}: {finding}", figure)


def _importance_hover(row: Any) -> str:
    return f"{row.note}<br>stability range {row.stable_low:.4f} to {row.stable_high:.4f}"


def history(tables: Tables) -> Drawing:
    """Objective of each trial in the order of their start, with the best so far."""
    trials = tables.trials[np.isfinite(tables.trials["value"])]
    observed = tables.observed()[trials.index]
    sign, factor = 1 if tables.maximize else -1, 100 if in_percent(tables.metric) else 1
    competed = trials["state"].isin(["COMPLETE", "PRUNED"]) & (trials["outcome"] != "diverged")
    # a few outliers must not compress the axis: trials more than twice as far below the median as the 10 % quantile are
    # drawn at the edge
    low, middle = np.quantile(sign * trials.loc[competed, "value"], (0.1, 0.5)) if competed.any() else (-math.inf, 0.0)
    worst = float(2 * low - middle)
    height = (sign * trials["value"]).clip(lower=worst) * sign * factor
    baseline = trials["arm"] == "baseline"
    diverged = trials["outcome"] == "diverged"
    groups = (
        ("search", observed & ~baseline, "circle", palette.SEARCH),
        ("baseline", observed & baseline, "diamond", palette.BASELINE),
        ("pruned", trials["state"] == "PRUNED", "x-thin-open", palette.PRUNED),
        ("diverged", diverged, "x", palette.DIVERGED),
        ("running", trials["state"] == "RUNNING", "circle-open", palette.RUNNING),
    )
    kinds, colors = pd.Series("", index=trials.index), pd.Series(palette.TEXT, index=trials.index)
    for name, mask, _, color in groups:
        kinds[mask], colors[mask] = name, color
    poor = (sign * trials["value"] < worst) & (kinds != "")
    edge = "triangle-down" if tables.maximize else "triangle-up"
    drawn = [(name, mask & ~poor, symbol) for name, mask, symbol, _ in groups]
    figure = go.Figure()
    for name, mask, symbol in [*drawn, ("outside the axis", poor, edge)]:
        if mask.any():
            text = [
                f"trial {row.number}, {kinds[row.Index]}"
                + (": no result" if diverged[row.Index] else f": {objective(row.value, tables.metric)}")
                + (" (drawn at the edge)" if poor[row.Index] else "")
                + ("" if pd.isna(row.reason) else f"<br>{html.escape(row.reason)}")
                for row in trials.loc[mask, ["number", "value", "reason"]].itertuples()
            ]
            color = colors[mask].tolist()
            figure.add_scatter(
                x=trials.loc[mask, "number"].tolist(), y=height[mask].tolist(), mode="markers", name=name, text=text,
                hovertemplate="%{text}<extra></extra>",
                showlegend=mask is not poor,  # outliers have the colors of their kinds
                marker={"symbol": symbol, "size": 9, "color": color, "line": {"width": 1.5, "color": color}},
            )  # fmt: skip
    if (allowed := tables.eligible()[trials.index]).any():
        seen = trials[allowed]
        running = (sign * seen["value"]).cummax().clip(lower=worst) * sign
        figure.add_scatter(
            x=seen["number"].tolist(), y=(factor * running).tolist(), mode="lines", name="best so far",
            hoverinfo="skip", line={"color": palette.BEST, "shape": "hv", "width": 2},
        )  # fmt: skip
    clipped = int(poor.sum())
    note = f" ({counted(clipped, 'outlier')} at the edge)" if clipped else ""
    name = metric_name(tables.metric)
    finish(figure, "trial", html.escape(objective_axis(tables.metric)))
    whole_ticks(figure, int(tables.trials["number"].min()), int(tables.trials["number"].max()))
    return Drawing(f"{capital(name)} by trial{note}", figure)


def strength_axis(values: pd.Series, null: Any, span: ParameterRange | None) -> tuple[Any, dict[str, Any]]:
    """How a strength maps to a horizontal position, and the axis: with ``off`` at its left if there is an off value."""
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.isna().any():
        return str, {"type": "category"}
    on = numbers if null is None else numbers[numbers != null]
    low, high = (float(on.min()), float(on.max())) if len(on) else (0.0, 1.0)
    if (
        span
        and span.low is not None
        and span.high is not None
        and (not len(on) or span.low <= low <= high <= span.high)
    ):
        low, high = span.low, span.high  # unless the values were transformed after they were drawn
    log = bool(span and span.log and low > 0)
    start, end = (math.log10(low), math.log10(high)) if log else (low, high)
    width = (end - start) or 1.0
    off = start - 0.17 * width
    left = [] if null is None else [off]
    first, last = math.ceil(start - 1e-9), math.floor(end + 1e-9)
    ticks = range(first, last + 1, 1 if last - first < 4 else 2) if log else np.linspace(low, high, 5)
    labels = [f"1e{t}" if log else f"{t:.3g}" for t in ticks]

    def place(value: float) -> float:
        if null is not None and value == null:
            return off
        return math.log10(value) if log and value > 0 else float(value)

    return place, {
        "tickvals": [*left, *map(float, ticks)], "ticktext": ["off"] * len(left) + labels,
        "range": [min([start, *left]) - 0.06 * width, end + 0.05 * width], "zeroline": False, "tickangle": 0,
    }  # fmt: skip


def _short(relation: Relation) -> str:
    match relation.kind:
        case "significant":
            return f"the gap {relation.verb} as it increases"
        case "unadjusted":
            return f"unadjusted, the gap {relation.verb}; too few trials to separate it from the others"
        case "chance":
            return "no significant correlation with the gap"
    return "not enough data"


def _hover(row: pd.Series, relation: Relation, value: Any, of: Metric) -> str:
    strength = setting(value, relation.null, regularizer=True)
    return (
        f"trial {row['number']}: {html.escape(relation.path)} {html.escape(strength)}<br>"
        f"gap {gap_of(row, of)}, {validation_name(of)} {score(row[of.val], of)}, "
        f"train (eval mode) {score(row[of.clean_train], of)}"
    )


def whole_ticks(figure: go.Figure, first: int, last: int) -> None:
    """Ticks at integers only, if there are few of them."""
    if last - first < MAX_INTEGER_TICKS:
        figure.update_xaxes(tickmode="linear", tick0=first, dtick=1, tickformat="d")
    if last - first < 2:
        figure.update_xaxes(range=[first - 0.5, last + 0.5])


def finish(figure: go.Figure, x: str, y: str, **layout: Any) -> None:
    """Axis titles and the style that all figures share."""
    figure.update_layout(
        template="none", height=FIGURE_HEIGHT, margin={"l": 56, "r": 12, "t": 12, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", font={"color": palette.TEXT, "size": 12},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0}, **layout,
    )  # fmt: skip
    figure.update_xaxes(title={"text": x}, gridcolor="rgba(128,128,128,.2)", zeroline=False, automargin=True)
    figure.update_yaxes(title={"text": y}, gridcolor="rgba(128,128,128,.2)", zeroline=False, automargin=True)
