"""Image folders for the reference cases, created from the archives."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from PIL import Image, ImageEnhance, ImageOps

from regstudy.data.street_digits import load_cached

VARIANTS: tuple[Callable[[Image.Image], Image.Image], ...] = (
    lambda image: image,
    ImageOps.mirror,
    ImageOps.flip,
    lambda image: image.transpose(Image.Transpose.ROTATE_90),
    lambda image: image.rotate(8, Image.Resampling.BILINEAR),
    lambda image: ImageEnhance.Brightness(image).enhance(1.15),
)


def expand_slides(raw: Path, folder: Path, variants: int) -> None:
    """Every image of raw/**/{neg,pos}/ in so many variants as folder/{neg,pos}/STEM_vK.png, whatever part it was in."""

    def files() -> Iterable[tuple[str, Image.Image]]:
        for path in sorted(raw.rglob("*.*")):
            if path.parent.name in ("neg", "pos"):
                with Image.open(path) as image:
                    upright = image.convert("RGB")
                for number, change in enumerate(VARIANTS[:variants]):
                    yield f"{path.parent.name}/{path.stem}_v{number}.png", change(upright)

    save_all(files(), folder)


def photos_of(raw: Path, folder: Path, classes: tuple[str, ...], count: int) -> None:
    """``count`` training and 300 test images per class as folder/{train,test}/CLASS/, chosen at random with seed 0."""

    def files() -> Iterable[tuple[str, Image.Image]]:
        for part, wanted in (("train", count), ("test", 300)):
            for name in classes:
                found = sorted(next(path for path in raw.rglob(f"{part}/{name}") if path.is_dir()).iterdir())
                for path in random.Random(0).sample(found, wanted):
                    with Image.open(path) as image:
                        yield f"{part}/{name}/{path.stem}.png", image.convert("RGB")

    save_all(files(), folder)


def street_digit_files(count: int, folder: Path, data_dir: Path) -> None:
    """The first ``count`` drawn house numbers as folder/DIGIT/NUMBER.png."""
    pixels, labels = load_cached(data_dir, 0, 0, count)
    pictures = (
        (f"{label}/{number:05d}.png", Image.fromarray(image.transpose(1, 2, 0)))
        for number, (image, label) in enumerate(zip(pixels, labels, strict=True))
    )
    save_all(pictures, folder)


def save_all(files: Iterable[tuple[str, Image.Image]], folder: Path) -> None:
    """Write images under a folder that is complete or absent."""
    if folder.exists():
        return
    half = folder.with_name(folder.name + ".half")
    shutil.rmtree(half, ignore_errors=True)
    for name, image in files:
        path = half / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    half.rename(folder)
