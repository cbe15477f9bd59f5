"""Figures of a comparison: every seed of every arm, and mean curves with the range over the seeds."""

from __future__ import annotations

import html
import textwrap

import plotly.graph_objects as go

from regstudy.analysis.arm_statistics import RUNNING_GAP, Arm, Comparison
from regstudy.report import palette
from regstudy.report.comparison.comparison_phrasing import gap_words, mean_words
from regstudy.report.figures import Drawing, finish, series_lines, whole_ticks
from regstudy.report.metric_phrasing import axis, scale, unit, validation_name
from regstudy.report.phrasing import capital
from regstudy.text import counted

MAX_ARMS_IN_TITLE = 3  # with more arms, the title gives only the range
NAME_WRAP_CHARS = 18  # characters per line of an arm's name below the axis
MOMENT_OFFSET = 0.16  # of the first and last epoch from the arm's position
SEED_SPREAD_WIDTH = 0.09  # width over which the seeds of an arm are spread


def seed_points(found: Comparison) -> Drawing:
    """Validation value of every seed at the first and the last epoch, with the mean as a line."""
    figure, of = go.Figure(), found.metric
    hover = "%{y:.2f} %" if of.percent else "%{y:.4f}"
    repeats = max((arm.asked for arm in found.arms), default=1)
    for moment, name, color, side in (
        ("first", "first epoch", palette.FIRST_EPOCH, -MOMENT_OFFSET),
        ("last", "last epoch", palette.LAST_EPOCH, MOMENT_OFFSET),
    ):
        x, y, texts = [], [], []
        means: dict[str, list[float | None]] = {"x": [], "y": []}
        for position, arm in enumerate(found.arms):
            rows = found.runs[found.runs["arm"] == arm.name]
            for row in rows.itertuples():
                share = (row.repeat - 1) / (repeats - 1) - 0.5 if repeats > 1 else 0.0
                x.append(position + side + SEED_SPREAD_WIDTH * share)
                y.append(scale(of) * getattr(row, found.key("val", moment)))
                texts.append(f"{html.escape(arm.name)}, repeat {row.repeat}, {name}")
            spread = arm.spreads[found.key("val", moment)]
            if spread.n:
                means["x"] += [position + side - 0.11, position + side + 0.11, None]
                means["y"] += [scale(of) * spread.mean] * 2 + [None]
        figure.add_scatter(
            x=x, y=y, text=texts, mode="markers", name=name, hovertemplate=f"%{{text}}: {hover}<extra></extra>",
            marker={"size": 8, "color": color, "opacity": 0.75},
        )  # fmt: skip
        figure.add_scatter(
            x=means["x"], y=means["y"], mode="lines", name="mean", showlegend=False,
            line={"color": color, "width": 3}, hovertemplate=f"mean: {hover}<extra></extra>",
        )  # fmt: skip
    finish(figure, "arm", f"validation {axis(of)}")
    names = ["<br>".join(map(html.escape, textwrap.wrap(arm.name, NAME_WRAP_CHARS))) for arm in found.arms]
    figure.update_xaxes(
        tickvals=list(range(len(names))), ticktext=names, range=[-0.5, len(names) - 0.5], showgrid=False, tickangle=0
    )
    return Drawing(_points_title(found), figure)


def _points_title(found: Comparison) -> str:
    shown = [arm for arm in found.arms if arm.used]
    of, named = found.metric, capital(validation_name(found.metric))
    first, last = (
        {arm.name: mean_words(arm.spreads[found.key("val", m)], of) for arm in shown} for m in ("first", "last")
    )
    sign = "\N{NO-BREAK SPACE}%" if of.percent else ""
    if len(shown) > MAX_ARMS_IN_TITLE:
        ranked = sorted(shown, key=lambda arm: arm.spreads[found.key("val", "last")].mean)
        low, high = (f"{arm.name} {last[arm.name]}{sign}" for arm in (ranked[0], ranked[-1]))
        return f"{named} at the last epoch ranges from {low} to {high}"
    parts = [f"{name} {first[name]} → {last[name]}{sign}" for name in first]
    return f"{named}, first → last epoch: {'; '.join(parts)}"


def mean_curves(found: Comparison) -> list[Drawing]:
    """Per arm the means of the study's metric in training and validation by epoch, ranges as bands.

    All have the same axes, so that they can be compared by eye.
    """
    shown = [arm for arm in found.arms if arm.used]
    frames = [frame for arm in shown for frame in arm.curves.values() if not frame.empty]  # nothing was recorded
    low = min((float(frame["min"].min()) for frame in frames), default=0.0)
    high = max((float(frame["max"].max()) for frame in frames), default=1.0)
    room = 0.04 * max(high - low, 0.01)
    last = max((int(frame.index.max()) for frame in frames), default=1)
    factor = scale(found.metric)
    return [_curve(found, arm, (factor * (low - room), factor * (high + room)), last) for arm in shown]


def _curve(found: Comparison, arm: Arm, span: tuple[float, float], last: int) -> Drawing:
    figure, of = go.Figure(), found.metric
    for series, name, color, dash in series_lines(of):
        if series not in arm.curves:
            continue  # only accuracy and loss are measured in train mode
        frame = arm.curves[series]
        epochs = frame.index.tolist()
        if arm.used > 1:
            band = [*frame["max"], *frame["min"][::-1]]
            figure.add_scatter(
                x=[*epochs, *epochs[::-1]], y=[scale(of) * value for value in band], fill="toself",
                fillcolor=palette.faint(color),
                line={"width": 0}, mode="lines", hoverinfo="skip", showlegend=False, name=f"range of {name}",
            )  # fmt: skip
        figure.add_scatter(
            x=epochs, y=[scale(of) * value for value in frame["mean"]], name=name,
            hovertemplate="%{y:.2f} %" if of.percent else "%{y:.4f}",
            mode="lines+markers" if len(epochs) < 3 else "lines", line={"color": color, "dash": dash, "width": 2},
        )  # fmt: skip
    finish(figure, "epoch", axis(of), hovermode="x unified")
    figure.update_yaxes(range=list(span))
    figure.update_xaxes(range=[1 - 0.02 * last, last + 0.02 * last])
    whole_ticks(figure, 1, last)
    running, clean = (
        gap_words(arm.spreads[measure].mean, of) if measure in arm.spreads else ""
        for measure in (f"{RUNNING_GAP}_last", found.key("gap", "last"))
    )
    in_train_mode = f", {running} (train mode)" if running else ""
    title = f"{arm.name}, {counted(arm.used, 'seed')}: gap {clean} {unit(of)} (eval mode){in_train_mode}"
    return Drawing(title, figure)
