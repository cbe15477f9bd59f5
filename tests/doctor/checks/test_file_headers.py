"""Headers of image files: upright size, format and JPEG quality, without decoding."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from regstudy.doctor.checks.file_headers import headers


@pytest.mark.parametrize("quality", [20, 50, 75, 95])
def test_the_quality_of_a_jpeg_is_that_of_its_encoder(quality: int, tmp_path: Path) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", quality=quality)
    (header,) = headers([tmp_path / "a.jpg"]) or []
    assert (header.width, header.height, header.format) == (30, 20, "JPEG")
    assert header.quality == pytest.approx(quality, abs=2)


@pytest.mark.parametrize(("orientation", "size"), [(1, (30, 20)), (3, (30, 20)), (6, (20, 30)), (8, (20, 30))])
def test_width_and_height_are_those_of_the_upright_picture(
    orientation: int, size: tuple[int, int], tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    (header,) = headers([tmp_path / "a.jpg"]) or []
    assert (header.width, header.height) == size


def test_other_formats_lose_nothing(tmp_path: Path) -> None:
    Image.new("L", (7, 5)).save(tmp_path / "a.png")
    (header,) = headers([tmp_path / "a.png"]) or []
    assert (header.width, header.height, header.format, header.quality) == (7, 5, "PNG", 100.0)


def test_pixels_are_not_decoded(tmp_path: Path) -> None:
    Image.effect_noise((300, 300), 90).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    assert headers([tmp_path / "a.png"]) is not None


@pytest.mark.parametrize("content", [None, b"", b"no image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_without_one_of_the_headers_there_are_none(content: bytes | None, tmp_path: Path) -> None:
    Image.new("L", (7, 5)).save(tmp_path / "a.png")
    if content is not None:
        (tmp_path / "b.png").write_bytes(content)
    assert headers([tmp_path / "a.png", tmp_path / "b.png"]) is None
