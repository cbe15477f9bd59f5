"""Draws rows of small pictures as one PNG: titles on top, a label left of each row, a name above each column."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

ENLARGED_SIDE = 112  # pixels; small pictures are enlarged up to this, by a whole factor
MAX_PICTURE_SIDE = 256  # pixels; larger pictures are reduced to this
CELL_GAP, PAGE_MARGIN, BLOCK_GAP = 6, 16, 22  # pixels
TITLE_SIZE, TEXT_SIZE, CAPTION_SIZE = 20, 15, 12
PAPER, INK, FAINT = (255, 255, 255), (30, 30, 30), (110, 110, 110)


@dataclass(frozen=True)
class Row:
    """Pictures uint8 N×H×W×C with a label of one or more lines, and optionally a caption below each.

    ``new_block`` adds space above the row.
    """

    label: str
    pictures: npt.NDArray[np.uint8]
    captions: Sequence[str] = ()
    new_block: bool = False


@dataclass(frozen=True)
class Layout:
    """Positions on the sheet in pixels: the corner of every picture by row and column, and the total size."""

    cell: int
    columns: list[int]
    rows: list[int]
    size: tuple[int, int]


def draw_sheet(
    title: str, lines: Sequence[str], columns: Sequence[str], rows: Sequence[Row], software: str = "regstudy"
) -> bytes:
    """The sheet as a PNG file that names its ``software``; all rows have as many pictures of one size as columns."""
    sheet = Image.new("RGB", (1, 1), PAPER)
    large, small, tiny = (ImageFont.load_default(size) for size in (TITLE_SIZE, TEXT_SIZE, CAPTION_SIZE))
    texts = [(_drawable(title), large, INK), *((_drawable(line), small, FAINT) for line in lines)]
    widths = [ImageDraw.Draw(sheet).textlength(text, font) for text, font, _ in texts]
    labels = max(ImageDraw.Draw(sheet).textlength(line, small) for row in rows for line in row.label.split("\n"))
    plan = layout(rows, round(labels), round(max(widths)), PAGE_MARGIN + _line(large) + len(lines) * _line(small))
    sheet = Image.new("RGB", plan.size, PAPER)
    pen = ImageDraw.Draw(sheet)
    at = PAGE_MARGIN
    for text, font, color in texts:
        pen.text((PAGE_MARGIN, at), text, color, font)
        at += _line(font)
    for left, name in zip(plan.columns, columns, strict=True):
        middle = (left + plan.cell // 2, plan.rows[0] - CELL_GAP)
        pen.text(middle, _shortened(_drawable(name), small, plan.cell), INK, small, anchor="mb")
    for top, row in zip(plan.rows, rows, strict=True):
        pen.text((PAGE_MARGIN, top + plan.cell // 2), row.label, INK, small, anchor="lm")
        for left, picture in zip(plan.columns, row.pictures, strict=True):
            sheet.paste(_enlarged(picture, plan.cell), (left, top))
        for left, caption in zip(plan.columns, row.captions, strict=bool(row.captions)):
            below = (left + plan.cell // 2, top + plan.cell + 2)
            pen.text(below, _shortened(_drawable(caption), tiny, plan.cell), FAINT, tiny, anchor="mt")
    stream = io.BytesIO()
    facts = PngInfo()
    facts.add_text("Software", software)
    sheet.save(stream, "PNG", optimize=True, pnginfo=facts)
    return stream.getvalue()


def layout(rows: Sequence[Row], labels: int, titles: int, top: int) -> Layout:
    """Places for the rows, given the widths of the labels and of the titles and where the titles end."""
    cell = cell_size(rows[0].pictures.shape[1])
    first = PAGE_MARGIN + labels + 2 * CELL_GAP
    lefts = [first + index * (cell + CELL_GAP) for index in range(len(rows[0].pictures))]
    tops: list[int] = []
    at = top + 2 * CELL_GAP + TEXT_SIZE + CELL_GAP
    for row in rows:
        at += BLOCK_GAP if row.new_block else 0
        tops.append(at)
        at += cell + CELL_GAP + (CAPTION_SIZE if row.captions else 0)
    width = max(lefts[-1] + cell, PAGE_MARGIN + titles) + PAGE_MARGIN
    return Layout(cell, lefts, tops, (width, at - CELL_GAP + PAGE_MARGIN))


def cell_size(side: int) -> int:
    """The side of a drawn picture: a whole multiple of its own, which may be 1, or less for very large ones."""
    return min(side, MAX_PICTURE_SIDE) if side > ENLARGED_SIDE // 2 else side * (ENLARGED_SIDE // side)


def _enlarged(picture: npt.NDArray[np.uint8], cell: int) -> Image.Image:
    """A picture H×W×C in the size of a cell: three channels as colors, of any other number the first as gray."""
    drawn = Image.fromarray(picture if picture.shape[2] == 3 else picture[..., 0]).convert("RGB")
    larger = cell >= picture.shape[0]
    return drawn.resize((cell, cell), Image.Resampling.NEAREST if larger else Image.Resampling.LANCZOS)


def _drawable(text: str) -> str:
    """Text without accents, which Pillow's built-in typeface lacks."""
    return "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def _line(font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> int:
    return round(font.getbbox("Hg")[3] * 1.35)
