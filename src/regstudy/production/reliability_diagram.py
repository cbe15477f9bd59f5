"""A reliability diagram as an SVG file: accuracy against confidence, a panel per set of images.

DeGroot and Fienberg, "The comparison and evaluation of forecasters", 1983.
"""

from __future__ import annotations

import html
from collections.abc import Mapping

from regstudy.analysis.calibration import calibration, reliability_curve
from regstudy.files.outputs import mark
from regstudy.records import Reliability
from regstudy.report import palette
from regstudy.report.calibration_phrasing import calibration_words

PANEL, LEFT, TOP, BELOW = 300, 56, 44, 50  # pixels: the side of a plot, and the room around it
TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SMALLEST_RADIUS, LARGEST_RADIUS = 2.5, 10.0  # pixels: the area of a dot follows its share of the images


def reliability_svg(parts: Mapping[str, Reliability]) -> str:
    """The diagram of each set of images by its name."""
    width, height = len(parts) * (LEFT + PANEL) + 24, TOP + PANEL + BELOW
    panels = [_panel(name, found, i * (LEFT + PANEL) + LEFT) for i, (name, found) in enumerate(parts.items())]
    return (
        f"<!-- Written by {mark('train')} -->\n"
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' font-family="sans-serif" font-size="11" fill="#333"><title>Reliability diagram</title>\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{"".join(panels)}</svg>\n'
    )


def _panel(name: str, found: Reliability, left: int) -> str:
    """One plot; dots that lie on the diagonal belong to a calibrated model."""

    def at(x: float, y: float) -> tuple[str, str]:
        return f"{left + PANEL * x:.1f}", f"{TOP + PANEL * (1 - y):.1f}"

    lines = [f'<text x="{left}" y="16" font-size="13">{html.escape(name)}</text>']
    lines.append(f'<text x="{left}" y="32">{calibration_words(calibration(found))}</text>')
    lines.append(f'<rect x="{left}" y="{TOP}" width="{PANEL}" height="{PANEL}" fill="none" stroke="#bbb"/>')
    for tick in TICKS:
        (x, bottom), (_, y) = at(tick, 0), at(0, tick)
        lines.append(f'<text x="{x}" y="{float(bottom) + 15}" text-anchor="middle">{tick:.0%}</text>')
        lines.append(f'<text x="{left - 6}" y="{float(y) + 4}" text-anchor="end">{tick:.0%}</text>')
    middle = left + PANEL / 2
    lines.append(f'<text x="{middle}" y="{TOP + PANEL + 34}" text-anchor="middle">confidence</text>')
    turned = f"rotate(-90 {left - 42} {TOP + PANEL / 2})"
    lines.append(
        f'<text x="{left - 42}" y="{TOP + PANEL / 2}" text-anchor="middle" transform="{turned}">accuracy</text>'
    )
    (x0, y0), (x1, y1) = at(0, 0), at(1, 1)
    lines.append(f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" stroke="{palette.TEXT}" stroke-dasharray="4 4"/>')
    curve = reliability_curve(found)
    total = sum(images for *_, images in curve)
    points = [at(confidence, accuracy) for confidence, accuracy, _ in curve]
    joined = " ".join(",".join(point) for point in points)
    lines.append(f'<polyline points="{joined}" fill="none" stroke="{palette.VALIDATION}" stroke-width="1.5"/>')
    for (x, y), (confidence, accuracy, images) in zip(points, curve, strict=True):
        radius = max(SMALLEST_RADIUS, LARGEST_RADIUS * (images / total) ** 0.5)
        words = f"{images:,} images: confidence {confidence:.1%}, accuracy {accuracy:.1%}"
        lines.append(
            f'<circle cx="{x}" cy="{y}" r="{radius:.1f}" fill="{palette.VALIDATION}" fill-opacity=".8">'
            f"<title>{words}</title></circle>"
        )
    return "\n".join(lines) + "\n"
