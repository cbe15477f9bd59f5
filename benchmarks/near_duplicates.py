"""How many modified copies of real images are detected, and how many of the original images are linked.

    REGSTUDY_TEST_DATA=<folder of image archives> python benchmarks/near_duplicates.py [--images 400] [--seed 0]

Reads smear_cells.zip, smear_wbc.zip, and cifar10_images.zip from that folder. Prints one row per data set: links among
its original images, then the share of its images that are linked to a modified copy.
"""

from __future__ import annotations

import argparse
import io
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from regstudy.config.schema import Data
from regstudy.data import digits, street_digits
from regstudy.data.near_duplicates import clusters, duplicate_pairs

Random = np.random.Generator


def laid_otherwise(image: Image.Image, random: Random) -> Image.Image:
    """One of the seven other positions."""
    choice = int(random.integers(1, 8))
    turned = image.rotate(90 * (choice % 4))
    return turned.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if choice >= 4 else turned


def rotated(image: Image.Image, random: Random) -> Image.Image:
    """By up to 10°, with black corners."""
    return image.rotate(random.uniform(-10, 10), Image.Resampling.BILINEAR)


def relit(image: Image.Image, random: Random) -> Image.Image:
    """Contrast and brightness each times 0.7 to 1.3."""
    pixels = np.asarray(image, dtype=np.float64)
    changed = (pixels - pixels.mean()) * random.uniform(0.7, 1.3) + pixels.mean() * random.uniform(0.7, 1.3)
    return Image.fromarray(changed.round().clip(0, 255).astype(np.uint8))


def recompressed(image: Image.Image, random: Random) -> Image.Image:
    """As JPEG of quality 30 to 79."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(random.integers(30, 80)))
    return Image.open(buffer).convert(image.mode)


def cropped(image: Image.Image, random: Random) -> Image.Image:
    """A twentieth cut off each dimension at random, then enlarged again."""
    side = image.width * 0.95
    left, top = random.uniform(0, image.width - side, 2)
    return image.resize(image.size, Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))


def four_changes(image: Image.Image, random: Random) -> Image.Image:
    """Laid otherwise, rotated, relit and recompressed."""
    return recompressed(relit(rotated(laid_otherwise(image, random), random), random), random)


CHANGES: dict[str, Callable[[Image.Image, Random], Image.Image]] = {
    "flipped, quarter turns": laid_otherwise,
    "rotated ±10°": rotated,
    "brightness, contrast ±30 %": relit,
    "JPEG 30-79": recompressed,
    "cropped 5 %": cropped,
    "first four together": four_changes,
}


def from_archive(path: Path, limit: int, seed: int) -> Tensor:
    """N×3×H×W of up to ``limit`` pictures, chosen at random."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith((".png", ".jpg"))]
        chosen = np.sort(np.random.default_rng(seed).permutation(len(names))[:limit])
        pictures = [Image.open(io.BytesIO(archive.read(names[index]))).convert("RGB") for index in chosen]
    return torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]).transpose(0, 3, 1, 2).copy())


def recognised(images: Tensor, change: Callable[[Image.Image, Random], Image.Image], count: int, seed: int) -> float:
    """The share of ``count`` images that are linked to their changed copies, these being added to the set."""
    random, copies = np.random.default_rng(seed), []
    for image in images[:count].numpy():
        changed = np.asarray(change(Image.fromarray(image.transpose(1, 2, 0).squeeze()), random))
        copies.append(changed.reshape(*changed.shape[:2], -1).transpose(2, 0, 1))
    together = clusters(torch.cat([images, torch.from_numpy(np.stack(copies))]))
    return float((together[: len(copies)] == together[len(images) :]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=400, help="images per set whose copies are looked for")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=os.environ.get("REGSTUDY_TEST_DATA", "."))
    args = parser.parse_args()
    sets = {name: from_archive(args.folder / f"{name}.zip", 5000, args.seed) for name in ("smear_cells", "smear_wbc")}
    sets["cifar10, 5,000"] = from_archive(args.folder / "cifar10_images.zip", 5000, args.seed)
    sets["digits"] = digits.load("train", Data(name="digits"), Path()).images
    sets["street_digits, 1,500"] = torch.from_numpy(street_digits.draw_many(args.seed, 0, 1500)[0])
    print("| data set | images | linked pairs | largest cluster | seconds |", " | ".join(CHANGES), "|")
    print("|---" * (5 + len(CHANGES)) + "|")
    for name, images in sets.items():
        start = time.perf_counter()
        pairs, sizes = duplicate_pairs(images)[0], np.bincount(clusters(images))
        seconds = (time.perf_counter() - start) / 2
        shares = [f"{100 * recognised(images, change, args.images, args.seed):.1f} %" for change in CHANGES.values()]
        print(f"| {name} | {len(images):,} | {len(pairs)} | {sizes.max()} | {seconds:.1f} |", " | ".join(shares), "|")


if __name__ == "__main__":
    main()
