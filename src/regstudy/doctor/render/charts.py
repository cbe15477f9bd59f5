"""Draws the charts of an examination with Plotly; user-chosen names are escaped because Plotly interprets HTML."""

from __future__ import annotations

import html
import math
from typing import Any

import plotly.graph_objects as go

from regstudy.doctor.findings import Chart
from regstudy.report import palette
from regstudy.report.figures import Drawing, finish

OTHER_DASHES = ("solid", "dash", "dot")  # of series without a meaning, once their colors repeat
MAX_LABEL_LETTERS = 24  # of a name on an axis; hovering shows the full name


def draw(chart: Chart) -> Drawing:
    """A chart with axis titles and hover texts."""
    figure = go.Figure()
    named = any(isinstance(x, str) for xs, _ in chart.series.values() for x in xs)
    for number, (name, (xs, ys)) in enumerate(chart.series.items()):
        color, dash = style_of(name, number)
        heights = [float(y) if math.isfinite(y) and (y > 0 or not chart.log_y) else None for y in ys]
        texts = [
            f"{html.escape(name)}<br>{html.escape(chart.x)}: {html.escape(_value_text(x))}<br>"
            f"{html.escape(chart.y)}: {y:,.4g}"
            for x, y in zip(xs, ys, strict=True)
        ]
        common: dict[str, Any] = {
            "x": [html.escape(str(x)) for x in xs] if named else [float(x) for x in xs], "y": heights,
            "name": html.escape(name), "text": texts, "hovertemplate": "%{text}<extra></extra>",
            "showlegend": len(chart.series) > 1,
        }  # fmt: skip
        if chart.kind == "bars":
            figure.add_bar(**common, textposition="none", marker={"color": color})
        else:
            line = {"color": color, "width": 2, "dash": dash}
            figure.add_scatter(**common, mode="lines+markers" if len(xs) < 40 else "lines", line=line)
    finish(figure, html.escape(chart.x), html.escape(chart.y), hovermode="closest")
    if named:
        labels = list(dict.fromkeys(html.escape(str(x)) for xs, _ in chart.series.values() for x in xs))
        figure.update_xaxes(type="category", tickvals=labels, ticktext=[_short(label) for label in labels])
    elif chart.log_x:
        figure.update_xaxes(type="log")
    if chart.log_y:
        figure.update_yaxes(type="log", exponentformat="power")
    return Drawing(chart.title, figure)


def style_of(name: str, number: int) -> tuple[str, str]:
    """Color and dash of a series: by the channel or the meaning in its name, else by its position.

    Of a channel in both parts, as in “validation green”, the validation part is dashed.
    """
    part, _, channel = name.rpartition(" ")
    if channel in palette.CHANNELS:
        return palette.CHANNELS[channel], "dash" if part == "validation" else "solid"
    if name in palette.SERIES:
        return palette.SERIES[name], "solid"
    times, position = divmod(number, len(palette.OTHERS))
    return palette.OTHERS[position], OTHER_DASHES[times % len(OTHER_DASHES)]


def _value_text(x: Any) -> str:
    return f"{x:,.4g}" if isinstance(x, int | float) else str(x)


def _short(escaped: str) -> str:
    name = html.unescape(escaped)
    return escaped if len(name) <= MAX_LABEL_LETTERS else html.escape(f"{name[: MAX_LABEL_LETTERS - 1]}…")
