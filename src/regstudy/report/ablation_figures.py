"""Figures of an ablation: from the baseline to the winner in steps, and mean curves per arm."""

from __future__ import annotations

import html
import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from regstudy.analysis.curves import connected_runs
from regstudy.report import palette
from regstudy.report.ablation_findings import AblationFindings
from regstudy.report.figures import Drawing, finish, series_lines, whole_ticks
from regstudy.report.metric_phrasing import axis, scale, unit
from regstudy.report.phrasing import capital, listing
from regstudy.report.range_phrasing import number
from regstudy.text import counted

REST = "rest"


def waterfall(found: AblationFindings) -> Drawing | None:
    """From the baseline to the winner: what is lost without each regularizer, and what belongs to none of them alone.

    None with a single regularizer, or before both ends have run.
    """
    total, of, single = found.together, found.metric, found.single
    values = found.runs.trials[found.runs.trials["state"] == "COMPLETE"]
    base = float(values.loc[values["arm"] == "baseline", "value"].mean())
    if total is None or not all(math.isfinite(x) for x in (base, *(one.metric.mean for one in (*single, total)))):
        return None
    factor, sign = scale(of), 1 if of.maximize else -1
    steps = [(one.name, sign * one.metric.mean) for one in single]
    rest = sign * total.metric.mean - sum(step for _, step in steps)
    end = base + sign * total.metric.mean
    names, starts, heights, colors = ["baseline"], [0.0], [base], [palette.BASELINE]
    reached = base
    for name, step in [*steps, (REST, rest)]:
        names.append(name)
        starts.append(reached)
        heights.append(step)
        decided = name != REST and abs(step) > found.result.margin and _decided(found, name)
        good = sign * step > 0
        colors.append((palette.SIGNIFICANT if good else palette.FAILED) if decided else palette.NOT_SIGNIFICANT)
        reached += step
    names.append("winner")
    starts.append(0.0)
    heights.append(end)
    colors.append(palette.SEARCH)
    tops = [max(start, start + height) for start, height in zip(starts, heights, strict=True)]
    lows = [base, end, *(min(start, start + height) for start, height in zip(starts[1:-1], heights[1:-1], strict=True))]
    low, high = min(lows), max(tops)
    texts = [
        number(height, of) if place in (0, len(names) - 1) else number(height, of, signed=True)
        for place, height in enumerate(heights)
    ]
    free = 0.25 * max(high - low, 1e-9)
    figure = go.Figure()
    figure.add_bar(
        x=[html.escape(name) for name in names], y=[factor * height for height in heights],
        base=[factor * start for start in starts], marker={"color": colors}, showlegend=False,
        customdata=texts, hovertemplate="%{x}: %{customdata}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=[html.escape(name) for name in names], y=[factor * top for top in tops], mode="text", text=texts,
        textposition="top center", textfont={"color": palette.TEXT, "size": 12}, showlegend=False, hoverinfo="skip",
    )  # fmt: skip
    finish(figure, "", axis(of))
    figure.update_yaxes(range=[factor * (low - free), factor * (high + free)])
    return Drawing(_steps_title(found, rest), figure)


def _decided(found: AblationFindings, name: str) -> bool:
    return found.result.effect(name).verdict != "undecided"


def _steps_title(found: AblationFindings, rest: float) -> str:
    of, total = found.metric, found.together
    assert total is not None
    sign = 1 if of.maximize else -1
    kept = [
        one
        for one in found.single
        if one.verdict not in ("undecided", "no effect") and abs(one.metric.mean) > found.result.margin
    ]
    head = f"From the baseline to the winner: {number(total.metric.mean, of, signed=True)} {unit(of)}"
    parts = [f"{one.name} {number(one.metric.mean, of, signed=True)}" for one in kept]
    own = f", of which {listing(parts)}" if parts else ""
    return f"{head}{own}; the rest, {number(sign * rest, of, signed=True)}, belongs to no regularizer alone"


def arm_curves(found: AblationFindings) -> list[Drawing]:
    """Per arm the mean metric in training (eval mode) and validation by epoch, with the range of its runs as a band.

    All have the same axes, so that they can be compared by eye.
    """
    of, runs = found.metric, found.runs
    ended = runs.trials.loc[runs.trials["state"] == "COMPLETE", ["number", "arm"]]
    epochs = runs.curves[runs.curves["number"].isin(ended["number"])]
    lines = [line for line in series_lines(of) if line[0] != of.train and line[0] in epochs.columns]
    arms = [arm for arm in found.arms if arm in set(epochs["arm"])]
    epochs = connected_runs(epochs, [name for name, *_ in lines])
    frames = {(arm, name): _frame(epochs[epochs["arm"] == arm], name, scale(of)) for arm in arms for name, *_ in lines}
    known = [frame for frame in frames.values() if not frame.empty]
    if not known:
        return []
    low, high = (
        float(pd.concat([frame[end] for frame in known]).quantile(share))
        for end, share in (("min", 0.02), ("max", 0.98))
    )
    room, last = 0.06 * max(high - low, 1e-9), max(int(frame.index.max()) for frame in known)
    drawn = []
    for arm in arms:
        figure = go.Figure()
        for name, label, color, dash in lines:
            frame = frames[arm, name]
            x = frame.index.tolist()
            figure.add_scatter(
                x=[*x, *x[::-1]], y=[*frame["max"], *frame["min"][::-1]], fill="toself", mode="lines",
                fillcolor=palette.faint(color), line={"width": 0}, hoverinfo="skip", showlegend=False,
                name=f"range of {label}",
            )  # fmt: skip
            figure.add_scatter(
                x=x, y=frame["mean"].tolist(), name=label, line={"color": color, "dash": dash, "width": 2},
                mode="lines+markers" if len(x) < 3 else "lines",
                hovertemplate="%{y:.2f} %" if of.percent else "%{y:.4f}",
            )  # fmt: skip
        finish(figure, "epoch", axis(of), hovermode="x unified")
        figure.update_yaxes(range=[low - room, high + room])
        whole_ticks(figure, 1, last)
        drawn.append(Drawing(_curves_title(found, arm, int((ended["arm"] == arm).sum())), figure))
    return drawn


def _frame(epochs: pd.DataFrame, name: str, factor: int) -> pd.DataFrame:
    """Mean and range over the runs by epoch, over the epochs that all of them have."""
    rows = epochs[np.isfinite(epochs[name])]
    if rows.empty:
        return pd.DataFrame(columns=["mean", "min", "max"])
    frame = rows.groupby("epoch")[name].agg(["mean", "min", "max", "count"])
    return (factor * frame[frame["count"] == frame["count"].max()])[["mean", "min", "max"]]


def _curves_title(found: AblationFindings, arm: str, runs: int) -> str:
    of = found.metric
    rows = found.runs.trials[(found.runs.trials["arm"] == arm) & (found.runs.trials["state"] == "COMPLETE")]
    gap = float(rows[found.runs.gap].mean())
    shown = f": mean gap {number(gap, of)} {unit(of)}" if math.isfinite(gap) else ""
    return f"{capital(arm)}, {counted(runs, 'run')}{shown}"
