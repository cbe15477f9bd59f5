"""Every kind of picture becomes an upright RGB square, or there is a reason why not."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from regstudy.data import decoding
from regstudy.data.decoding import Policy, Unreadable, decode, large_images

RED, COLOR = (255, 0, 0), (200, 40, 100)
LIGHT, DARK, HALF = (255,) * 3, (0,) * 3, (128,) * 3


def stored(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def decoded(content: bytes, size: int = 8, fit: str = "crop") -> npt.NDArray[np.uint8]:
    with large_images():
        pixels = decode(content, Policy(size, fit))
    assert pixels.shape == (3, size, size) and pixels.dtype == np.uint8 and pixels.flags.c_contiguous
    return pixels


def colors(pixels: npt.NDArray[np.uint8]) -> set[tuple[int, ...]]:
    return {tuple(color) for color in pixels.reshape(3, -1).T.tolist()}


def gray(value: float, dtype: Any) -> Image.Image:
    """All of one value, which Pillow keeps as I;16, I or F."""
    return Image.fromarray(np.full((8, 8), value, dtype))


def range_of(low: float, high: float, dtype: Any) -> bytes:
    """The left half of one value and the right of another, as TIFF."""
    values = np.full((8, 8), low, dtype)
    values[:, 4:] = high
    return stored(Image.fromarray(values), "TIFF")


def palette(transparency: bytes | int | None = None) -> bytes:
    picture = Image.new("RGB", (8, 8), COLOR).quantize(4)
    return stored(picture) if transparency is None else stored(picture, transparency=transparency)


def animation(kind: str) -> bytes:
    frames = [Image.new("RGB", (8, 8), color) for color in ("white", "black", "white")]
    return stored(frames[0], kind, save_all=True, append_images=frames[1:])


def pgm(value: int) -> bytes:
    return b"P5 8 8 65535\n" + np.full((8, 8), value, ">u2").tobytes()


PICTURES: dict[str, tuple[Callable[[], bytes], tuple[int, int, int]]] = {
    "rgb": (lambda: stored(Image.new("RGB", (8, 8), COLOR)), COLOR),
    "gray": (lambda: stored(Image.new("L", (8, 8), 128)), HALF),
    "gray JPEG": (lambda: stored(Image.new("L", (800, 800), 128), "JPEG"), HALF),
    "gray, opaque": (lambda: stored(Image.new("LA", (8, 8), (128, 255))), HALF),
    "gray, transparent": (lambda: stored(Image.new("LA", (8, 8), (128, 0))), DARK),
    "gray, half transparent": (lambda: stored(Image.new("LA", (8, 8), (255, 128))), HALF),
    "gray, one value transparent": (lambda: stored(Image.new("L", (8, 8), 90), transparency=90), DARK),
    "white": (lambda: stored(Image.new("1", (8, 8), 1)), LIGHT),
    "black": (lambda: stored(Image.new("1", (8, 8), 0)), DARK),
    "palette": (palette, COLOR),
    "palette, opaque": (lambda: palette(bytes([255, 128, 7, 9])), COLOR),
    "palette, transparent": (lambda: palette(bytes([0, 128, 7, 9])), DARK),
    "palette, one color transparent": (lambda: palette(0), DARK),
    "rgb, one color transparent": (lambda: stored(Image.new("RGB", (8, 8), COLOR), transparency=COLOR), DARK),
    "rgba, opaque": (lambda: stored(Image.new("RGBA", (8, 8), (*COLOR, 255))), COLOR),
    "rgba, transparent": (lambda: stored(Image.new("RGBA", (8, 8), (*COLOR, 0))), DARK),
    "rgba, half transparent": (lambda: stored(Image.new("RGBA", (8, 8), (255, 255, 255, 128))), HALF),
    "16 bits, black": (lambda: stored(gray(0, np.uint16)), DARK),
    "16 bits, one step": (lambda: stored(gray(257, np.uint16)), (1,) * 3),
    "16 bits, rounded up": (lambda: stored(gray(127 * 257 + 129, np.uint16)), HALF),
    "16 bits, rounded down": (lambda: stored(gray(128 * 257 + 128, np.uint16)), HALF),
    "16 bits, white": (lambda: stored(gray(65535, np.uint16)), LIGHT),
    "16 bits, TIFF": (lambda: stored(gray(65535, np.uint16), "TIFF"), LIGHT),
    "16 bits, PGM, white": (lambda: pgm(65535), LIGHT),
    "16 bits, PGM, nearly black": (lambda: pgm(200), (1,) * 3),
    "32 bits, of 8": (lambda: stored(gray(128, np.int32), "TIFF"), HALF),
    "32 bits, of 16": (lambda: stored(gray(128 * 257, np.int32), "TIFF"), HALF),
    "float, of 1": (lambda: stored(gray(128 / 255, np.float32), "TIFF"), HALF),
    "float, of 8 bits": (lambda: stored(gray(127.8, np.float32), "TIFF"), HALF),
    "float, of 16 bits": (lambda: stored(gray(128 * 257, np.float32), "TIFF"), HALF),
    "CMYK JPEG of Adobe's inverted kind": (lambda: stored(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG"), LIGHT),
    "CMYK TIFF": (lambda: stored(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"), RED),
    "YCbCr TIFF": (lambda: stored(Image.new("RGB", (8, 8), "white").convert("YCbCr"), "TIFF"), LIGHT),
    "animated GIF": (lambda: animation("GIF"), LIGHT),
    "animated WebP": (lambda: animation("WEBP"), LIGHT),
    "animated PNG": (lambda: animation("PNG"), LIGHT),
    "several pages": (lambda: animation("TIFF"), LIGHT),
}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_every_kind_of_picture_becomes_rgb(name: str, fit: str) -> None:
    make, expected = PICTURES[name]
    assert colors(decoded(make(), fit=fit)) == {expected}


def test_adobe_marks_inverted_inks_and_they_come_out_right() -> None:
    content = stored(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    assert b"Adobe" in content
    assert colors(decoded(content)) == {RED}


RANGES: dict[str, tuple[float, float, Any, int, int]] = {
    "of 8 bits": (0, 255, np.int32, 0, 255),
    "of 16 bits": (0, 256, np.int32, 0, 1),
    "the whole of 16 bits": (0, 65535, np.int32, 0, 255),
    "of 8 bits, nearly black": (0, 1, np.int32, 0, 1),
    "of 1": (0, 1, np.float32, 0, 255),
    "just above 1": (0, 1.6, np.float32, 0, 2),
    "floats of 16 bits": (257, 65535, np.float32, 1, 255),
}


@pytest.mark.parametrize("name", RANGES)
def test_the_range_of_a_picture_says_what_white_is(name: str) -> None:
    low, high, dtype, dark, light = RANGES[name]
    pixels = decoded(range_of(low, high, dtype))
    assert (pixels.min(), pixels.max()) == (dark, light)


PHOTOGRAPH = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n"

BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "text": (lambda: b"not a picture", "not an image"),
    "nothing": (lambda: b"", "empty"),
    "a program in PostScript": (lambda: POSTSCRIPT, "not an image"),
    "negative": (lambda: range_of(-1, 9, np.int32), "from -1 to 9"),
    "beyond 16 bits": (lambda: range_of(0, 70000, np.int32), "to 70000"),
    "not a number": (lambda: range_of(0, np.nan, np.float32), "nan"),
    "infinite": (lambda: range_of(0, np.inf, np.float32), "inf"),
} | {
    f"half of a {kind}": (lambda kind=kind: stored(PHOTOGRAPH, kind)[: len(stored(PHOTOGRAPH, kind)) // 2], words)
    for kind, words in {
        **dict.fromkeys(("PNG", "JPEG", "BMP", "GIF", "TIFF", "PPM"), "^truncated$"),
        "WEBP": "could not",
    }.items()
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_picture_has_a_reason(name: str) -> None:
    make, words = BROKEN[name]
    with pytest.raises(Unreadable, match=words):
        decoded(make())


def test_a_huge_picture_is_read_up_to_a_limit_and_named_with_its_size_beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow would warn from here on and refuse twice as much
    monkeypatch.setattr(decoding, "MAX_PIXELS", 400)
    content = stored(Image.new("RGB", (20, 20), COLOR))
    assert colors(decoded(content)) == {COLOR}
    with pytest.raises(Unreadable, match="20×21 pixels, more than the limit of 400"):
        decoded(stored(Image.new("RGB", (20, 21), COLOR)))
    assert Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(content))


def test_damaged_metadata_neither_warns_nor_costs_the_picture() -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\xff\xff"
    content = stored(Image.new("RGB", (8, 8), "white"), "JPEG", exif=exif)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert colors(decoded(content)) == {LIGHT}
    assert not caught


def test_metadata_that_cannot_be_written_again_cost_neither_the_picture_nor_its_turn() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x010F] = 3, "text", "m" * 80
    with_text_as_numbers = exif.tobytes().replace(b"\x01\x0e\x00\x02", b"\x01\x0e\x00\x0c")
    upside_down = Image.new("RGB", (16, 16), "white")
    upside_down.paste("black", (0, 0, 16, 8))
    pixels = decoded(stored(upside_down, "JPEG", exif=with_text_as_numbers))
    assert pixels[:, :3].min() > 240 and pixels[:, 5:].max() < 15


# Upright, and square


@pytest.mark.parametrize("scale", [1, 32])  # small, and so large that JPEG is decoded at an eighth
@pytest.mark.parametrize(
    ("orientation", "undo"),
    [(1, None), (2, 0), (3, 3), (4, 1), (5, 5), (6, 2), (7, 6), (8, 4)],  # undo: Pillow's transpositions
)
def test_a_turned_photograph_is_turned_upright(orientation: int, undo: int | None, scale: int) -> None:
    upright = Image.new("RGB", (24 * scale, 16 * scale), "black")
    upright.paste((255, 0, 0), (0, 0, 12 * scale, 8 * scale))  # red above on the left
    upright.paste((0, 255, 0), (12 * scale, 0, 24 * scale, 8 * scale))  # green above on the right
    turned = upright if undo is None else upright.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = stored(turned, "JPEG", exif=exif, quality=95, subsampling=0)
    pixels = decoded(content, 12, "pad").astype(float)
    assert pixels[:, 3:5, 1:5].mean((1, 2)) == pytest.approx([255, 0, 0], abs=12)
    assert pixels[:, 3:5, 7:11].mean((1, 2)) == pytest.approx([0, 255, 0], abs=12)
    assert max(pixels[:, 7:].mean(), pixels[:, :2].mean()) < 12


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("scale", [1, 2, 11, 50])
@pytest.mark.parametrize("lying", [True, False])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_how_an_oblong_picture_becomes_a_square(fit: str, lying: bool, scale: int, kind: str) -> None:
    """Twice as long as wide; red at both ends, white in the middle."""
    long, short = 16 * scale, 8 * scale
    picture = Image.new("RGB", (long, short) if lying else (short, long), "white")
    ends = [(0, 0, 4 * scale, short), (12 * scale, 0, long, short)]
    for left, top, right, bottom in ends:
        picture.paste(RED, (left, top, right, bottom) if lying else (top, left, bottom, right))
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    pixels = decoded(stored(picture, kind, **options), 16, fit)
    strip = (pixels if lying else pixels.transpose(0, 2, 1)).astype(int)  # now the ends are left and right
    near = {"abs": 14}
    if fit == "crop":  # bilinear enlargement blurs at most the outermost pixels
        assert strip[:, 2:-2, 2:-2].min() > 240
    elif fit == "pad":
        assert strip[:, :4].max() == strip[:, 12:].max() == 0
        assert strip[:, 6:10, 1].mean(1) == pytest.approx(RED, **near)
        assert strip[:, 6:10, 14].mean(1) == pytest.approx(RED, **near)
        assert strip[:, 6:10, 8].mean(1) == pytest.approx(LIGHT, **near)
    else:
        assert strip[:, :, 1].mean(1) == pytest.approx(RED, **near)
        assert strip[:, :, 14].mean(1) == pytest.approx(RED, **near)
        assert strip[:, 0, 8] == pytest.approx(LIGHT, **near) and strip[:, 15, 8] == pytest.approx(LIGHT, **near)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("sides", [(1, 1), (1, 500), (500, 1), (3, 7)])
def test_odd_shapes_become_squares_too(sides: tuple[int, int], fit: str) -> None:
    assert COLOR in colors(decoded(stored(Image.new("RGB", sides, COLOR)), 5, fit))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_much_larger_picture_is_averaged_and_not_sampled(kind: str) -> None:
    checks = (np.indices((512, 512)).sum(0) % 2 * 255).astype(np.uint8)  # single pixels: their mean is gray
    pixels = decoded(stored(Image.fromarray(checks), kind), 16)
    assert np.abs(pixels.astype(int) - 127).max() <= 3


@pytest.mark.parametrize(
    ("sides", "fit", "left"),
    [
        ((400, 800), "crop", (100, 200)),
        ((800, 400), "pad", (100, 50)),
        ((800, 400), "stretch", (200, 100)),
        ((99, 80), "crop", (99, 80)),
    ],
)
def test_a_much_larger_photograph_is_decoded_at_a_fraction_but_twice_the_size_it_gets(
    monkeypatch: pytest.MonkeyPatch, sides: tuple[int, int], fit: str, left: tuple[int, int]
) -> None:
    sizes: list[tuple[int, int]] = []
    genuine = decoding._colors
    monkeypatch.setattr(decoding, "_colors", lambda image, mode: (sizes.append(image.size), genuine(image, mode))[1])
    decoded(stored(Image.new("RGB", sides, COLOR), "JPEG"), 50, fit)
    assert sizes == [left]


def test_reducing_first_gives_nearly_the_pixels_of_a_full_decoding() -> None:
    rough = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    photograph = Image.fromarray(rough).resize((400, 400), Image.Resampling.BICUBIC)
    exact = np.asarray(photograph.resize((24, 24), Image.Resampling.BILINEAR)).transpose(2, 0, 1).astype(int)
    for kind, options in (("PNG", {}), ("JPEG", {"quality": 95})):
        difference = np.abs(decoded(stored(photograph, kind, **options), 24) - exact)
        assert difference.mean() < 2
