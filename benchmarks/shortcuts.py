"""How often the doctor finds a planted shortcut, and how often it takes sound data for one.

    python benchmarks/shortcuts.py [--images FOLDER] [--draws N] [--planted N] [--processes N]

Only the check of `regstudy.doctor.checks.shortcuts` runs. Sound draws are random subsets of real images in which
nothing but the content differs between classes: all classes, two random classes, random labels, random light in each
image, bars in a random share of all images, files of random sizes and formats, and groups of ten images with their own
light and size. A shortcut is planted in one class of such a subset, at three strengths. Data sets and seeds take turns.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from doctor import SIZES, Pool, Random, rate, source
from PIL import Image
from torch import Tensor

from regstudy.doctor.checks.shortcuts import shortcuts
from regstudy.doctor.findings import Result

SETS = tuple(SIZES)


class Drawn:
    """Images, labels and, where they matter, groups and files."""

    def __init__(self, pool: Pool, folder: Path) -> None:
        self.images, self.labels, self.classes, self.folder = pool.images.clone(), pool.labels, pool.classes, folder
        self.groups: list[int] = []
        self.files: list[Path] = []

    def own(self, random: Random, share: float = 1.0) -> Tensor:
        """Whether each image is one of a share of the images of the first class."""
        return (self.labels == 0) & (torch.from_numpy(random.random(len(self.labels))) < share)

    def light(self, shift: np.ndarray) -> None:
        """Add gray levels to each image."""
        moved = self.images.float() + torch.from_numpy(shift).float()[:, None, None, None]
        self.images = moved.round().clamp(0, 255).to(torch.uint8)

    def bars(self, where: Tensor, width: float = 0.12) -> None:
        """Gray bars above and below: black would be the background of digits."""
        count = max(1, round(width * self.images.shape[2]))
        self.images[where, :, :count] = self.images[where, :, -count:] = 128

    def write(self, sizes: np.ndarray, formats: np.ndarray | None = None) -> None:
        """Write files of these sizes; the network sees the images after a round trip through the size."""
        side = self.images.shape[-1]
        for number, (image, size) in enumerate(zip(self.images, sizes.tolist(), strict=True)):
            array = image.permute(1, 2, 0).numpy()
            picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
            picture = picture.resize((size, size), Image.Resampling.BILINEAR)
            self.files.append(self.folder / f"{number}.{'jpg' if formats is None else formats[number]}")
            picture.save(self.files[-1])
            back = np.array(picture.resize((side, side), Image.Resampling.BILINEAR)).reshape(side, side, -1)
            self.images[number] = torch.from_numpy(back).permute(2, 0, 1)

    def judged(self) -> Result:
        return shortcuts(self.images.__getitem__, self.labels, self.classes, self.groups, self.files, "crop")


def classes_of(pool: Pool, chosen: np.ndarray) -> Pool:
    """The images of some classes, numbered anew."""
    part = pool.at(np.flatnonzero(np.isin(pool.labels.numpy(), chosen)))
    number = {int(label): at for at, label in enumerate(chosen)}
    labels = torch.tensor([number[int(label)] for label in part.labels])
    return Pool(part.images, labels, tuple(pool.classes[label] for label in chosen))


# sound


def plain(drawn: Drawn, random: Random) -> None:
    """Nothing is added."""


def random_labels(drawn: Drawn, random: Random) -> None:
    drawn.labels = drawn.labels[torch.from_numpy(random.permutation(len(drawn.labels)))]


def random_light(drawn: Drawn, random: Random) -> None:
    drawn.light(random.normal(0, 30, len(drawn.labels)))


def random_bars(drawn: Drawn, random: Random) -> None:
    drawn.bars(torch.from_numpy(random.random(len(drawn.labels)) < random.uniform(0.05, 0.9)))


def random_files(drawn: Drawn, random: Random) -> None:
    sizes, formats = (
        random.choice([48, 64, 80, 96], len(drawn.labels)),
        random.choice(["jpg", "png"], len(drawn.labels)),
    )
    drawn.write(sizes, formats)


def sessions(drawn: Drawn, random: Random) -> None:
    """Each group of ten images of a class has its own light, and one of three sizes."""
    seen: dict[int, int] = defaultdict(int)
    for label in drawn.labels.tolist():
        drawn.groups.append(1000 * label + seen[label] // 10)
        seen[label] += 1
    keys = np.unique(drawn.groups, return_inverse=True)[1]
    drawn.light(random.normal(0, 25, keys.max() + 1)[keys])
    drawn.write(random.choice([48, 64, 96], keys.max() + 1)[keys])


SOUND: dict[str, tuple[Callable[[Drawn, Random], None], bool]] = {  # whether of two random classes
    "all classes": (plain, False),
    "two classes": (plain, True),
    "random labels": (random_labels, False),
    "random light": (random_light, True),
    "random bars": (random_bars, True),
    "random files": (random_files, True),
    "sessions": (sessions, True),
}

# planted, each at three strengths


def bars_in_one(drawn: Drawn, level: int, random: Random) -> None:
    drawn.bars(drawn.own(random, (0.2, 0.5, 1.0)[level]))


def one_brighter(drawn: Drawn, level: int, random: Random) -> None:
    drawn.light(np.where(drawn.own(random).numpy(), (40.0, 80.0, 120.0)[level], 0.0))


def one_larger(drawn: Drawn, level: int, random: Random) -> None:
    sizes = random.integers(48, 97, len(drawn.labels))
    drawn.write(np.where(drawn.own(random, (0.2, 0.5, 1.0)[level]).numpy(), 200, sizes))


def other_format(drawn: Drawn, level: int, random: Random) -> None:
    own = drawn.own(random, (0.2, 0.5, 1.0)[level]).numpy()
    drawn.write(random.integers(48, 97, len(own)), np.where(own, "png", "jpg"))


PLANTED: dict[str, tuple[Callable[[Drawn, int, Random], None], str]] = {
    "bars in 20, 50, 100% of a class": (bars_in_one, "label-from-border"),
    "a class brighter by 40, 80, 120": (one_brighter, "label-from-brightness"),
    "20, 50, 100% of a class larger": (one_larger, "label-from-files"),
    "20, 50, 100% of a class PNG": (other_format, "label-from-files"),
}

# running


def worked(task: tuple[str, int | None, int, Path]) -> tuple[str, int | None, str, list[str]]:
    """What the check finds in one draw: the kind, the level, the data set, and the ids of the findings."""
    kind, level, seed, images = task
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    random, name = np.random.default_rng([seed, sum(map(ord, kind)), level or 0]), SETS[seed % len(SETS)]
    pool = source(name, images).some(SIZES[name], random)
    two = SOUND[kind][1] if level is None else bool(seed // len(SETS) % 2)
    if two and len(pool.classes) > 2:
        pool = classes_of(pool, np.sort(random.permutation(len(pool.classes))[:2]))
    with tempfile.TemporaryDirectory() as folder:
        drawn = Drawn(pool, Path(folder))
        if level is None:
            SOUND[kind][0](drawn, random)
        else:
            PLANTED[kind][0](drawn, level, random)
        found = [finding.id for finding in drawn.judged().findings]
    return kind, level, name, found


def main() -> None:
    """Make all draws and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, default=os.environ.get("REGSTUDY_TEST_DATA"), help="folder of archives")
    parser.add_argument("--draws", type=int, default=100, help="of each kind of sound data")
    parser.add_argument("--planted", type=int, default=20, help="draws of each shortcut and strength")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.draws)
    tasks = [(kind, None, seed, given.images) for kind in SOUND for seed in seeds]
    tasks += [
        (kind, level, seed, given.images) for kind in PLANTED for level in range(3) for seed in seeds[: given.planted]
    ]
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        done = pool.map(worked, tasks, chunksize=10)
    print(f"{'planted':34}{'weak':>8}{'medium':>8}{'strong':>8}")
    for kind, (_, name) in PLANTED.items():
        cells = []
        for level in range(3):
            own = [found for one, at, _, found in done if one == kind and at == level]
            cells.append(f"{sum(name in found for found in own)}/{len(own)}")
        print(f"{kind:34}" + "".join(f"{cell:>8}" for cell in cells))
    sound = [(kind, data, found) for kind, level, data, found in done if level is None]
    for kind in SOUND:
        own = [found for one, _, found in sound if one == kind]
        print(f"sound, {kind + ':':16} {rate(sum(map(bool, own)), len(own))}")
    print(f"sound together:        {rate(sum(bool(found) for *_, found in sound), len(sound))}")
    for kind, data, found in sound:
        if found:
            print(f"    {kind}, {data}: {', '.join(found)}")


if __name__ == "__main__":
    main()
