"""Curves over epochs: the gap of the two trials that the report compares, and the objective of every trial."""

from __future__ import annotations

import html
import math

import numpy as np
import plotly.graph_objects as go

from regstudy.analysis.curves import epochs_of
from regstudy.report import palette
from regstudy.report.figures import Drawing, finish, whole_ticks
from regstudy.report.grids import best_and_newest, state_words
from regstudy.report.metric_phrasing import gap_definition, gap_of, objective_axis, scale, unit
from regstudy.report.phrasing import capital, in_percent, metric_name
from regstudy.study.tables import Tables
from regstudy.text import counted

MAX_CURVES_DRAWN = 200  # the best, then the newest
CURVE_STYLES = {  # colors differ in lightness too, and dashes mark trials that did not finish
    "finished": (palette.FINISHED, "solid"),
    "stopped early": (palette.STOPPED, "solid"),
    "complete": (palette.FINISHED, "solid"),
    "pruned": (palette.PRUNED, "dot"),
    "diverged": (palette.DIVERGED, "dash"),
    "running": (palette.RUNNING, "solid"),
}


def gap_curves(tables: Tables, shown: list[tuple[str, int]]) -> Drawing:
    """Gap (train in eval mode against validation) by epoch, for trials given as (label, number)."""
    of = tables.measured
    arms = tables.trials.set_index("number")["arm"]
    figure, ends, trials = go.Figure(), [], tables.trials.set_index("number")
    for label, number in shown:
        baseline = arms[number] == "baseline"
        color, dash = (palette.BASELINE, "dash") if baseline else (palette.SEARCH, "solid")
        epochs = epochs_of(tables, number)
        epochs = epochs[np.isfinite(epochs[tables.gap])]  # a line connects the epochs in which it was measured
        figure.add_scatter(
            x=epochs["epoch"].tolist(), y=(scale(of) * epochs[tables.gap]).round(2 if of.percent else 4).tolist(),
            name=f"{label}, trial {number}", mode="lines+markers" if len(epochs) < 3 else "lines",
            line={"color": color, "dash": dash, "width": 2},
            hovertemplate="%{y:.1f} points" if of.percent else "%{y:.3f} nats",
        )  # fmt: skip
        ends.append(f"{gap_of(trials.loc[number], of)} in the {label}")
    last = int(tables.curves.loc[tables.curves["number"].isin([number for _, number in shown]), "epoch"].max())
    finish(figure, "epoch", f"{gap_definition(of, short=True)} ({unit(of)})", hovermode="x unified")
    whole_ticks(figure, 1, last)
    return Drawing(f"Gap at the best epoch: {', '.join(ends)}", figure)


def all_curves(tables: Tables) -> Drawing | None:
    """The objective of every trial by epoch, one trace per status; None without records."""
    if tables.metric is None or tables.metric not in tables.epochs.columns or tables.epochs.empty:
        return None
    factor = 100 if in_percent(tables.metric) else 1
    trials, rows = tables.trials, best_and_newest(tables, MAX_CURVES_DRAWN)
    words = rows.apply(state_words, axis=1)
    curves = dict(tuple(tables.curves.groupby("number")))
    figure = go.Figure()
    order = [*CURVE_STYLES, *sorted(set(words) - set(CURVE_STYLES))]
    for word in [word for word in order if (words == word).any()]:
        color, dash = CURVE_STYLES.get(word, (palette.FAILED, "dashdot"))
        x: list[int | None] = []
        y: list[float | None] = []
        texts: list[str | None] = []
        for number in rows.loc[words == word, "number"]:
            if number not in curves:
                continue
            curve = curves[number]
            x += [*curve["epoch"].tolist(), None]
            heights = (factor * curve[tables.metric]).round(3)
            y += [*(value if math.isfinite(value) else None for value in heights.tolist()), None]
            texts += [f"trial {number}, {html.escape(word)}"] * len(curve) + [None]
        figure.add_scatter(
            x=x, y=y, text=texts, mode="lines", name=word, connectgaps=False, opacity=0.6, meta=word,
            line={"color": color, "dash": dash, "width": 1.3},
            hovertemplate="%{text}, epoch %{x}: %{y}<extra></extra>",
        )  # fmt: skip
    name = metric_name(tables.metric)
    finish(figure, "epoch", html.escape(objective_axis(tables.metric)), hovermode="closest")
    whole_ticks(figure, 1, int(tables.curves["epoch"].max()))
    figure.update_layout(height=420)
    if factor == 1:  # one exploding loss must not hide the others
        finite = tables.curves[tables.metric][tables.curves[tables.metric].map(math.isfinite)]
        low, high = float(finite.min()), float(finite.quantile(0.98))
        figure.update_yaxes(range=[low - 0.05 * (high - low), high])
    part = (
        f"{MAX_CURVES_DRAWN} of {len(trials):,} trials (the best and the newest)"
        if len(trials) > MAX_CURVES_DRAWN
        else ""
    )
    fold = "in the first fold " if tables.folds else ""
    title = f"{capital(name)} {fold}by epoch, {part or counted(len(trials), 'trial')}"
    return Drawing(title, figure)
