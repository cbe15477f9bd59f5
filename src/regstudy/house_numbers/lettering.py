"""The digits of a house number and what they hang on, as masks.

Lettering is either Pillow's built-in typeface or strokes of the skeletons below, drawn with a pen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

DIGIT_HEIGHT = 96  # pixels, while lettering
CANVAS_SIZE = (5 * DIGIT_HEIGHT, 3 * DIGIT_HEIGHT)  # width and height of the lettering canvas

Rng = np.random.Generator

# Variants of each digit; x 0..60, y 0..100. Strokes are split by "|": c open curve, C closed curve, l straight lines.
SIX = (
    "c 52,15 38,1 20,8 6,30 1,65 8,90 30,100 52,90 59,68 50,46 30,40 11,50 2,68",
    "c 46,0 22,24 6,52 2,72 10,94 30,100 51,93 58,70 50,49 30,43 12,50 3,68",
    "c 55,4 30,4 10,25 2,62 8,90 30,100 52,90 59,70 50,50 30,45 10,52 2,68",
)
SKELETONS: tuple[tuple[str, ...], ...] = (
    ("C 30,0 8,14 0,50 8,86 30,100 52,86 60,50 52,14", "C 30,0 5,6 0,30 0,70 5,94 30,100 55,94 60,70 60,30 55,6"),
    (
        "l 30,0 30,100",
        "l 12,22 34,0 34,100",
        "l 10,20 32,0 32,100|l 8,100 56,100",
        "l 14,10 32,0 32,100|l 16,100 48,100",
    ),
    (
        "c 4,27 10,8 30,0 50,8 57,27 45,50 20,75 2,100|l 2,100 58,100",
        "c 4,25 12,5 30,0 52,7 56,26 42,52 18,80 3,98|c 3,98 15,88 30,93 46,100 58,86",
        "c 5,22 12,4 30,0 51,6 56,25 46,43 12,66 3,100|l 3,100 57,100",
    ),
    (
        "c 4,20 14,4 30,0 50,8 54,26 46,42 24,48|c 24,48 50,53 58,73 50,93 28,100 10,95 2,78",
        "l 6,0 55,0 26,40|c 26,40 50,46 58,70 48,93 27,100 10,95 2,80",
        "c 4,14 28,0 52,12 50,38 26,47|c 26,47 56,54 56,88 30,100 2,88",
    ),
    ("l 44,100 44,0 2,70 60,70", "l 14,0 4,58 58,58|l 44,26 44,100", "l 42,100 42,0 2,68 60,68|l 28,100 56,100"),
    (
        "l 53,0 12,0 7,46|c 7,46 30,36 52,46 58,68 50,92 28,100 10,96 2,84",
        "l 50,0 10,0 10,44|c 10,44 34,38 54,48 57,74 46,96 24,100 3,93",
        "c 54,2 40,5 26,2 12,2|l 12,2 8,48|c 8,48 30,38 54,50 57,75 44,97 24,100 3,88",
    ),
    SIX,
    (
        "l 2,0 58,0 22,100",
        "l 2,0 58,0|c 58,0 36,35 25,70 23,100",
        "l 3,18 3,0 58,0 24,100",
        "c 3,14 10,2 30,7 46,9 58,0|c 58,0 36,35 24,66 22,100",
    ),
    (
        "C 30,0 10,7 6,25 14,41 30,47 46,41 54,25 50,7|C 30,47 8,56 1,75 10,94 30,100 50,94 59,75 52,56",
        "C 52,14 30,0 8,14 14,36 46,60 58,80 30,100 2,80 14,60 46,36",
    ),
    tuple(SIX),  # turned by half in `strokes`
)


@dataclass(frozen=True)
class Hand:
    """How one house number is lettered; lengths are shares of the digit's height."""

    typeface: bool  # the built-in font, else a skeleton
    variant: int  # which form a digit has where there are several
    weight: float  # width of the pen
    thin: float  # width of horizontal strokes over that of vertical ones
    width: float  # stretch of a digit
    square: float  # 1 round as given, smaller: boxier
    serifs: bool  # bars and balls at the ends
    round: bool  # round corners and ends
    shake: float  # displacement of the skeleton's points


def choose_hand(rng: Rng) -> Hand:
    """A lettering style."""
    bold = rng.random() < 0.45
    return Hand(
        typeface=rng.random() < 0.35,
        variant=int(rng.integers(12)),
        weight=float(rng.uniform(0.14, 0.21) if bold else rng.uniform(0.08, 0.14)),
        thin=float(rng.uniform(0.35, 0.8) if rng.random() < 0.4 else rng.uniform(0.85, 1.05)),
        width=float(rng.uniform(0.68, 1.3)),
        square=float(rng.uniform(0.6, 1.0) if rng.random() < 0.35 else 1.0),
        serifs=bool(rng.random() < 0.3),
        round=bool(rng.random() < 0.5),
        shake=float(rng.uniform(0.0, 0.035)),
    )


@lru_cache(maxsize=256)
def typeface_glyph(digit: int, pen: int) -> Image.Image:
    """Mask of a digit in the built-in font, strokes wider by `pen` pixels on each side, cropped to the ink."""
    font = ImageFont.load_default(size=DIGIT_HEIGHT * 1.35)
    mask = Image.new("L", (2 * DIGIT_HEIGHT, 2 * DIGIT_HEIGHT))
    ImageDraw.Draw(mask).text(
        (DIGIT_HEIGHT // 2, DIGIT_HEIGHT // 4), str(digit), font=font, fill=255, stroke_width=max(pen, 0)
    )
    if pen < 0:
        mask = mask.filter(ImageFilter.MinFilter(1 - 2 * pen))
    return mask.crop(mask.getbbox())


@lru_cache(maxsize=64)
def strokes(digit: int, variant: int) -> tuple[tuple[str, NDArray[np.float64]], ...]:
    """The strokes of a skeleton: kind and points n x 2, in shares of the height."""
    variants = SKELETONS[digit]
    parts = [part.split() for part in variants[variant % len(variants)].split("|")]
    points = [(kind, np.array([p.split(",") for p in rest], dtype=float) / 100) for kind, *rest in parts]
    return tuple((kind, np.array([0.6, 1.0]) - p if digit == 9 else p) for kind, p in points)


def smooth(points: NDArray[np.float64], closed: bool, steps: int = 5) -> NDArray[np.float64]:
    """Catmull-Rom curve through points n x 2."""
    ends = (points[-1:], points[:2]) if closed else (2 * points[:1] - points[1:2], 2 * points[-1:] - points[-2:-1])
    p = np.concatenate([ends[0], points, ends[1]])
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    a, b, c, d = (p[i : len(p) - 3 + i, None] for i in range(4))
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return np.concatenate([curve.reshape(-1, 2), points[:1] if closed else points[-1:]])


def pen_glyph(rng: Rng, digit: int, hand: Hand) -> Image.Image:
    """Mask of a digit drawn along its skeleton, cropped to the ink."""
    mask = Image.new("L", (2 * DIGIT_HEIGHT, 2 * DIGIT_HEIGHT))
    pen = ImageDraw.Draw(mask)
    parts = strokes(digit, hand.variant)
    ends = [tuple(end) for _, points in parts for end in (points[0], points[-1])]
    for kind, exact in parts:
        loose = [ends.count(tuple(end)) == 1 for end in (exact[0], exact[-1])]
        given = exact + rng.normal(0, hand.shake, exact.shape)
        path = smooth(given, kind == "C") if kind in "cC" else given
        centerd = (path - (0.3, 0.5)) / (0.3, 0.5)
        boxy = np.sign(centerd) * np.abs(centerd) ** hand.square if kind in "cC" else centerd
        xy = boxy * (0.3 * hand.width, 0.5) * (1 - 0.7 * hand.weight) * DIGIT_HEIGHT + DIGIT_HEIGHT
        draw_stroke(pen, xy, kind, hand, loose)
    return mask.crop(mask.getbbox())


def draw_stroke(pen: ImageDraw.ImageDraw, xy: NDArray[np.float64], kind: str, hand: Hand, loose: list[bool]) -> None:
    """One stroke through points n x 2 in pixels: thinner where it runs level, with serifs at its loose ends."""
    steps = np.diff(xy, axis=0)
    upright = np.abs(steps[:, 1]) / np.maximum(np.hypot(steps[:, 0], steps[:, 1]), 1e-9)
    widths = DIGIT_HEIGHT * hand.weight * (hand.thin + (1 - hand.thin) * upright)
    stamp = pen.ellipse if hand.round or kind != "l" else pen.rectangle
    for (x0, y0), (x1, y1), w in zip(xy[:-1].tolist(), xy[1:].tolist(), widths.tolist(), strict=True):
        pen.line((x0, y0, x1, y1), fill=255, width=max(round(w), 3))
        stamp((x1 - w / 2, y1 - w / 2, x1 + w / 2, y1 + w / 2), fill=255)
    if hand.round:
        (x, y), w = xy[0].tolist(), float(widths[0])
        pen.ellipse((x - w / 2, y - w / 2, x + w / 2, y + w / 2), fill=255)
    reach, deep, shape = (0.6, 0.6, pen.ellipse) if kind == "c" else (1.1, 0.3, pen.rectangle)
    reach, deep = reach * DIGIT_HEIGHT * hand.weight, deep * DIGIT_HEIGHT * hand.weight
    for end in (0, -1) if hand.serifs and kind != "C" else ():
        if loose[end] and (kind == "c" or upright[end] > 0.7):
            x, y = xy[end].tolist()
            shape((x - reach, y - deep, x + reach, y + deep), fill=255)


def glyph(rng: Rng, digit: int, hand: Hand) -> Image.Image:
    """Mask of one digit, DIGIT_HEIGHT pixels high."""
    if hand.typeface:
        mask, stretch = typeface_glyph(digit, round((hand.weight - 0.11) * 0.6 * DIGIT_HEIGHT)), hand.width
    else:
        mask, stretch = pen_glyph(rng, digit, hand), 1.0
    width = max(round(mask.width * stretch * DIGIT_HEIGHT / mask.height), 6)
    return mask.resize((width, DIGIT_HEIGHT), Image.Resampling.BILINEAR)


def letter_row(rng: Rng, label: int, hand: Hand) -> tuple[Image.Image, float]:
    """The house number on a canvas with channels digits, plate, lines; and the pixels from digit to digit."""
    digits, plate, lines = (Image.new("L", CANVAS_SIZE) for _ in range(3))
    middle = glyph(rng, label, hand)
    gap = rng.uniform(0.02, 0.22) * DIGIT_HEIGHT
    ends = [(CANVAS_SIZE[0] - middle.width) / 2, (CANVAS_SIZE[0] + middle.width) / 2]
    digits.paste(255, (round(ends[0]), DIGIT_HEIGHT), middle)
    length = int(rng.choice(4, p=(0.08, 0.46, 0.33, 0.13))) + 1
    place = int(rng.integers(length))
    for side, count in ((0, place), (1, length - 1 - place)):
        for _ in range(min(count, 2)):
            mask = glyph(rng, int(rng.integers(10)), hand)
            left = ends[0] - gap - mask.width if side == 0 else ends[1] + gap
            digits.paste(255, (round(left), DIGIT_HEIGHT + round(rng.normal(0, 0.015 * DIGIT_HEIGHT))), mask)
            ends[side] = left if side == 0 else left + mask.width
    draw_plate(rng, ImageDraw.Draw(plate), ImageDraw.Draw(lines), (ends[0], ends[1]))
    return Image.merge("RGB", (digits, plate, lines)), middle.width + gap


def draw_plate(rng: Rng, plate: ImageDraw.ImageDraw, lines: ImageDraw.ImageDraw, ends: tuple[float, float]) -> None:
    """What is behind the digits: a plate with rim and screws, or the joints of bricks or boards, or nothing."""
    kind = rng.random()
    if kind < 0.4:
        pad_x, pad_y = rng.uniform(0.06, 0.5, 2) * DIGIT_HEIGHT
        box = (ends[0] - pad_x, DIGIT_HEIGHT - pad_y, ends[1] + pad_x, 2 * DIGIT_HEIGHT + pad_y)
        radius = float(rng.choice([0, 0, 8, 24]))
        plate.rounded_rectangle(box, radius, fill=255)
        if rng.random() < 0.5:
            inset = rng.uniform(0, 6)
            rim = (box[0] + inset, box[1] + inset, box[2] - inset, box[3] - inset)
            lines.rounded_rectangle(rim, radius, outline=255, width=int(rng.integers(2, 6)))
        for x in (box[0] + pad_x / 2, box[2] - pad_x / 2) if rng.random() < 0.3 else ():
            y = 1.5 * DIGIT_HEIGHT
            lines.ellipse((x - 4, y - 4, x + 4, y + 4), fill=255)
    elif kind < 0.65:
        pitch = rng.uniform(0.3, 1.0) * DIGIT_HEIGHT
        brick = rng.random() < 0.5
        for k, y in enumerate(np.arange(rng.uniform(0, pitch), CANVAS_SIZE[1], pitch).tolist()):
            lines.line((0, y, CANVAS_SIZE[0], y), fill=200, width=int(rng.integers(2, 6)))
            for x in np.arange((k % 2) * pitch, CANVAS_SIZE[0], 2 * pitch).tolist() if brick else ():
                lines.line((x, y, x, y + pitch), fill=200, width=4)
