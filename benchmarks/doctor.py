"""How often the doctor identifies a planted problem, and how often it raises false alarms on sound data and training.

    python benchmarks/doctor.py [--images FOLDER] [--only data|training|clean] [--faults NAME …] [--confirm]

Each problem is planted alone, at three strengths, in random subsets of real images. It counts as identified if the
first finding of its stage is one that names it, with severity "blocks" or "distorts". Data and split problems: 5 seeds
on two data sets; input, training, and regularizer problems: 2 seeds; sound subsets: 150 without a network, 24 with one.
`--confirm` repeats everything with other seeds, and with problems and networks on a data set that had none before.
Results are saved line by line in the folder `--work`; results that are already there are not repeated.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import re
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.stats import binomtest
from torch import Tensor, nn

from regstudy import models
from regstudy.config.schema import Data, Model
from regstudy.data import digits, street_digits
from regstudy.doctor import Diagnosis, examine
from regstudy.doctor.examine import PlannedCheck, data_checks, input_part_checks, model_checks, run_checks
from regstudy.doctor.parts import on_one_grid, part_of
from regstudy.doctor.setup import Setup

Random = np.random.Generator
FRESH = 100  # the first seed of confirmations
WEAK, MEDIUM, STRONG = range(3)


@dataclass(frozen=True)
class Sample:
    """A subset of real images before and after the split; N×C×H×W uint8."""

    images: Tensor
    labels: Tensor
    validation: Tensor
    validation_labels: Tensor
    classes: tuple[str, ...]
    paths: tuple[str, ...] = ()
    validation_paths: tuple[str, ...] = ()
    test: Tensor | None = None


@dataclass(frozen=True)
class Pool:
    """Real images before a split."""

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    paths: tuple[str, ...] = ()

    def some(self, count: int, random: Random) -> Pool:
        """Random images in random order."""
        return self.at(random.permutation(len(self.labels))[:count])

    def at(self, where: np.ndarray) -> Pool:
        index = torch.from_numpy(np.asarray(where, dtype=np.int64))
        paths = tuple(self.paths[i] for i in index.tolist()) if self.paths else ()
        return Pool(self.images[index], self.labels[index], self.classes, paths)


def split(pool: Pool, random: Random, share: float = 0.25, held: np.ndarray | None = None) -> Sample:
    """A random split by image, as most scripts make it."""
    if held is None:
        held = np.sort(random.permutation(len(pool.labels))[: round(share * len(pool.labels))])
    kept = np.setdiff1d(np.arange(len(pool.labels)), held)
    a, b = pool.at(kept), pool.at(held)
    return Sample(a.images, a.labels, b.images, b.labels, pool.classes, a.paths, b.paths)


# images


@cache
def source(name: str, folder: Path) -> Pool:
    """All images of a data set that are used here."""
    if name == "digits":
        found = digits.load("train", Data(name="digits", size=32), folder)
        return Pool(found.images, found.labels, found.classes)
    if name == "street_digits":
        found = street_digits.load("train", Data(name="street_digits", train_limit=3000, validation=500), folder)
        return Pool(found.images[:4000], found.labels[:4000], found.classes)
    archive, pattern, side, limit = {
        "cifar10": ("cifar10_images.zip", r"train/(\w+)/[^/]+$", 32, 800),
        "smear_cells": ("smear_cells.zip", r"\w+/(neg|pos)/[^/]+$", 48, 10_000),
        "smear_wbc": ("smear_wbc.zip", r"dataset1/(neg|pos)/[^/]+$", 48, 10_000),
    }[name]
    images, labels, paths = [], [], []
    taken: dict[str, int] = defaultdict(int)
    with zipfile.ZipFile(folder / archive) as archive_file:
        for path in sorted(archive_file.namelist()):
            found = re.search(pattern, path)
            if not found or not path.lower().endswith((".png", ".jpg", ".bmp")) or taken[found[1]] >= limit:
                continue
            taken[found[1]] += 1
            image = Image.open(io.BytesIO(archive_file.read(path))).convert("RGB").resize((side, side))
            images.append(torch.from_numpy(np.array(image)).permute(2, 0, 1))
            labels.append(found[1])
            paths.append(path)
    classes = tuple(sorted(taken))
    return Pool(torch.stack(images), torch.tensor([classes.index(label) for label in labels]), classes, tuple(paths))


SIZES = {"digits": 1200, "cifar10": 2400, "street_digits": 2000, "smear_cells": 420, "smear_wbc": 280}

# faults of data and split: each makes a sample from a pool of images in random order


def oversampled(pool: Pool, level: int, random: Random) -> Sample:
    """Copies are added before the split."""
    count = round((0.04, 0.2, 1.0)[level] * len(pool.labels))
    return split(
        pool.at(random.permutation(np.r_[np.arange(len(pool.labels)), random.integers(0, len(pool.labels), count)])),
        random,
    )


def augmented(pool: Pool, level: int, random: Random) -> Sample:
    """Changed copies are added before the split."""
    count = round((0.04, 0.2, 1.0)[level] * len(pool.labels))
    chosen = random.integers(0, len(pool.labels), count)
    changed = torch.stack([_changed(pool.images[i], random) for i in chosen.tolist()])
    more = Pool(
        torch.cat([pool.images, changed]), torch.cat([pool.labels, pool.labels[torch.from_numpy(chosen)]]), pool.classes
    )
    return split(more.at(random.permutation(len(more.labels))), random)


def _changed(image: Tensor, random: Random) -> Tensor:
    """Mirrored, turned a little, cropped, brighter or darker, or recompressed."""
    array = image.permute(1, 2, 0).numpy()
    picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    side = picture.width
    match int(random.integers(5)):
        case 0:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        case 1:
            picture = picture.rotate(random.uniform(-10, 10), Image.Resampling.BILINEAR)
        case 2:
            cut = 0.05 * side
            left, top = random.uniform(0, cut, 2)
            picture = picture.resize(
                (side, side), Image.Resampling.BILINEAR, (left, top, left + side - cut, top + side - cut)
            )
        case 3:
            factor = random.uniform(0.75, 1.25)
            picture = picture.point(lambda value: min(255, round(value * factor)))
        case _:
            buffer = io.BytesIO()
            picture.save(buffer, "JPEG", quality=int(random.integers(40, 90)))
            picture = Image.open(buffer).convert(picture.mode)
    array = np.array(picture)
    return torch.from_numpy(array.reshape(side, side, -1)).permute(2, 0, 1)


def group_leakage(pool: Pool, level: int, random: Random) -> Sample:
    """Scenes of five images with a light of their own, named scene_image, are divided by image."""
    order = np.argsort(pool.labels.numpy(), kind="stable")
    sorted_pool = pool.at(order)
    scene = np.arange(len(order)) // 5
    light = random.normal(0, (6, 20, 40)[level], (scene[-1] + 1, pool.images.shape[1]))
    images = (sorted_pool.images.float() + torch.from_numpy(light[scene]).float()[:, :, None, None]).clamp(0, 255)
    paths = tuple(f"scene{s:04d}_{i % 5}.png" for i, s in enumerate(scene))
    named = Pool(images.round().to(torch.uint8), sorted_pool.labels, pool.classes, paths)
    return split(named.at(random.permutation(len(order))), random)


def shuffled_labels(pool: Pool, level: int, random: Random) -> Sample:
    labels = pool.labels.clone()
    chosen = torch.from_numpy(random.permutation(len(labels))[: round((0.1, 0.3, 1.0)[level] * len(labels))])
    labels[chosen] = labels[chosen[torch.from_numpy(random.permutation(len(chosen)))]]
    return split(replace(pool, labels=labels), random)


def misaligned(pool: Pool, level: int, random: Random) -> Sample:
    """From some place in the file on, each image has the label of the next."""
    start = round((0.7, 0.4, 0.0)[level] * len(pool.labels))
    labels = pool.labels.clone()
    labels[start:] = labels[start:].roll(-1)
    return split(replace(pool, labels=labels), random)


def unshuffled(pool: Pool, level: int, random: Random) -> Sample:
    """Sorted by class and cut; or one or three classes are missing from one side."""
    order = np.argsort(pool.labels.numpy(), kind="stable")
    if level == STRONG:
        return split(pool.at(order), random, held=np.arange(round(0.75 * len(order)), len(order)))
    sample = split(pool, random)
    kept = sample.validation_labels >= (1, 3)[level]
    return replace(sample, validation=sample.validation[kept], validation_labels=sample.validation_labels[kept])


def imbalance(pool: Pool, level: int, random: Random) -> Sample:
    """Of half of the classes only a part of the images is there."""
    rare = pool.labels.numpy() < len(pool.classes) / 2
    kept = ~rare | (random.random(len(rare)) < 1 / (3, 10, 30)[level])
    for label in range(len(pool.classes)):  # none is left without an image on both sides
        kept[np.flatnonzero(pool.labels.numpy() == label)[:6]] = True
    return split(pool.at(np.flatnonzero(kept)), random)


def color_shift(pool: Pool, level: int, random: Random) -> Sample:
    sample = split(pool, random)
    tint = torch.from_numpy(random.choice([-1, 1], pool.images.shape[1]) * (6, 20, 45)[level]).view(-1, 1, 1)
    moved = (sample.validation.int() + tint).clamp(0, 255).to(torch.uint8)
    return replace(sample, validation=moved)


def validation_is_test(pool: Pool, level: int, random: Random) -> Sample:
    sample = split(pool, random)
    shared = round((0.05, 0.3, 1.0)[level] * len(sample.validation))
    other = torch.roll(sample.images[: len(sample.validation)], 3, 2)
    return replace(sample, test=torch.cat([sample.validation[:shared], other[shared:]]))


def too_few(pool: Pool, level: int, random: Random) -> Sample:
    """So few training images of each class."""
    sample = split(pool, random)
    each = (12, 5, 2)[level]
    kept = torch.cat([(sample.labels == label).nonzero()[:each, 0] for label in range(len(pool.classes))])
    return replace(sample, images=sample.images[kept], labels=sample.labels[kept])


def noise_images(pool: Pool, level: int, random: Random) -> Sample:
    """Images are replaced by noise: they have nothing to do with their labels."""
    noise = torch.from_numpy(random.integers(0, 256, tuple(pool.images.shape), dtype=np.uint8))
    replaced = torch.from_numpy(random.random(len(pool.labels)) < (0.5, 0.9, 1.0)[level])
    return split(replace(pool, images=torch.where(replaced[:, None, None, None], noise, pool.images)), random)


def bars_in_one(pool: Pool, level: int, random: Random) -> Sample:
    """A share of the images of the first class has gray bars above and below; black ones are usual in digits."""
    images, width = pool.images.clone(), pool.images.shape[2] // 8
    own = (pool.labels == 0) & torch.from_numpy(random.random(len(pool.labels)) < (0.2, 0.5, 1.0)[level])
    images[own, :, :width] = images[own, :, -width:] = 128
    return split(replace(pool, images=images), random)


def one_brighter(pool: Pool, level: int, random: Random) -> Sample:
    """All images of the first class are brighter by so many gray levels."""
    shift = (pool.labels == 0).int() * (40, 80, 160)[level]
    images = (pool.images.int() + shift.view(-1, 1, 1, 1)).clamp(max=255).to(torch.uint8)
    return split(replace(pool, images=images), random)


DATA_FAULTS: dict[str, tuple[Callable[[Pool, int, Random], Sample], str, tuple[str, ...]]] = {
    "oversampled before the split": (oversampled, "data", ("copies",)),
    "augmented before the split": (augmented, "data", ("copies",)),
    "groups divided": (group_leakage, "data", ("groups-straddle",)),
    "labels shuffled": (shuffled_labels, "data", ("labels-wrong", "labels-unrelated")),
    "labels shifted by one": (misaligned, "data", ("labels-misaligned",)),
    "images unrelated to labels": (noise_images, "data", ("labels-unrelated", "labels-wrong")),
    "bars in one class": (bars_in_one, "data", ("label-from-border",)),
    "one class brighter": (one_brighter, "data", ("label-from-brightness",)),
    "unshuffled": (unshuffled, "split", ("class-missing",)),
    "imbalance": (imbalance, "split", ("imbalance",)),
    "color shift": (color_shift, "split", ("parts-differ",)),
    "validation is test": (validation_is_test, "split", ("validation-is-test",)),
    "too few images": (too_few, "split", ("few-per-class",)),
}

# faults of inputs, network and training


@dataclass
class Case:
    """What is examined with a network."""

    train: Tensor
    labels: Tensor
    validation: Tensor
    validation_labels: Tensor
    model: nn.Module
    optimizer: torch.optim.Optimizer
    classes: int
    batch_size: int = 32


def plain_case(
    pool: Pool, random: Random, network: str = "small_cnn", optimizer: str = "adam", dropout: float = 0.0
) -> Case:
    """A sound training: inputs about of unit size, a network of the library, and a usual learning rate."""
    sample = split(pool, random)
    torch.manual_seed(int(random.integers(1 << 31)))
    channels, side = sample.images.shape[1], sample.images.shape[2]
    model = models.build(Model(name=network, dropout=dropout), channels, side, len(pool.classes))
    inputs, held = (part.float() / 127.5 - 1 for part in (sample.images, sample.validation))
    return Case(inputs, sample.labels, held, sample.validation_labels, model, adam(model, optimizer), len(pool.classes))


def adam(model: nn.Module, name: str = "adam", lr: float | None = None, **more: Any) -> torch.optim.Optimizer:
    learning = [p for p in model.parameters() if p.requires_grad]
    if name == "sgd":
        return torch.optim.SGD(learning, lr=lr or 0.02, momentum=0.9, **more)
    return torch.optim.Adam(learning, lr=lr or 1e-3, **more)


def layers(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def other_normalization(case: Case, level: int) -> None:
    pixels = (case.validation + 1) / 2
    case.validation = ((pixels - 0.45) / 0.225, pixels, pixels * 255)[level]


def not_normalized(case: Case, level: int) -> None:
    factor = (25.5, 255.0, 65535.0)[level]
    case.train, case.validation = ((part + 1) / 2 * factor for part in (case.train, case.validation))


def own_maximum(case: Case, level: int) -> None:
    def divide(part: Tensor) -> Tensor:
        pixels = (part + 1) / 2
        largest = pixels.amax((1, 2, 3), keepdim=True).clamp(min=1e-6)
        chosen = torch.arange(len(part))[:, None, None, None] % 10 < (3, 7, 10)[level]
        return torch.where(chosen, pixels / largest, pixels)

    case.train, case.validation = divide(case.train), divide(case.validation)


def wide_head(case: Case, level: int) -> None:
    name, last = [(n, m) for n, m in case.model.named_modules() if isinstance(m, nn.Linear)][-1]
    parent = case.model.get_submodule(name.rpartition(".")[0]) if "." in name else case.model
    setattr(parent, name.rpartition(".")[2], nn.Linear(last.in_features, case.classes + (2, 90, 990)[level]))
    case.optimizer = adam(case.model)


def softmax_inside(case: Case, level: int) -> None:
    class Scaled(nn.Module):
        def forward(self, scores: Tensor) -> Tensor:
            return (scores * (0.3, 1.0, 10.0)[level]).softmax(1)

    case.model = nn.Sequential(case.model, Scaled())
    case.optimizer = adam(case.model)


def frozen_layers(case: Case, level: int) -> None:
    held = layers(case.model)
    for module in held[: (len(held) // 2, len(held) - 2, len(held) - 1)[level]]:
        for parameter in module.parameters():
            parameter.requires_grad_(False)
    case.optimizer = adam(case.model)


def not_given(case: Case, level: int) -> None:
    held = layers(case.model)
    given = (held[:-1], held[len(held) // 2 :], held[-1:])[level]
    case.optimizer = torch.optim.Adam([p for module in given for p in module.parameters()], lr=1e-3)


def small_batches(case: Case, level: int) -> None:
    case.batch_size = (8, 4, 2)[level]


def lr_times(case: Case, level: int) -> None:
    for group in case.optimizer.param_groups:
        group["lr"] *= (10, 100, 1000)[level]


def lr_divided(case: Case, level: int) -> None:
    for group in case.optimizer.param_groups:
        group["lr"] /= (100, 1000, 10000)[level]


def dead_units(case: Case, level: int) -> None:
    for module in layers(case.model)[:-1]:
        count = round((0.5, 0.8, 1.0)[level] * len(module.weight))
        if module.bias is not None:
            module.bias.data[:count] = -50.0


def exploding(case: Case, level: int) -> None:
    for module in layers(case.model):
        module.weight.data *= (3.0, 6.0, 20.0)[level]


class Stuck(nn.Module):
    """Dropout that is always, or never, on."""

    def __init__(self, rate: float, on: bool) -> None:
        super().__init__()
        self.inner, self.on = nn.Dropout(rate), on

    def train(self, mode: bool = True) -> Stuck:
        super().train(mode)
        self.inner.training = self.on
        return self

    def forward(self, values: Tensor) -> Tensor:
        return self.inner(values) if not self.on else nn.functional.dropout(values, self.inner.p, True)


def _with_dropout(case: Case, rate: float, on: bool) -> None:
    case.model = nn.Sequential(case.model, Stuck(0.0, on))
    flat = nn.Flatten()
    size = case.train[0].numel()
    case.model = nn.Sequential(flat, nn.Linear(size, 128), nn.ReLU(), Stuck(rate, on), nn.Linear(128, case.classes))
    case.model.train()
    case.optimizer = adam(case.model)


def dropout_asleep(case: Case, level: int) -> None:
    _with_dropout(case, (0.1, 0.3, 0.6)[level], on=False)


def dropout_awake(case: Case, level: int) -> None:
    _with_dropout(case, (0.1, 0.3, 0.6)[level], on=True)


def idle_decay(case: Case, level: int) -> None:
    """A decay without effect by its size, or one that only biases have."""
    if level < STRONG:
        case.optimizer = adam(case.model, weight_decay=(1e-7, 1e-9)[level])
        return
    biases = [p for p in case.model.parameters() if p.ndim == 1]
    weights = [p for p in case.model.parameters() if p.ndim > 1]
    case.optimizer = torch.optim.Adam([{"params": weights}, {"params": biases, "weight_decay": 1e-2}], lr=1e-3)


TRAINING_FAULTS: dict[str, tuple[Callable[[Case, int], None], str, str, str, tuple[str, ...]]] = {
    "parts normalized differently": (other_normalization, "digits", "small_cnn", "inputs", ("normalization-differs",)),
    "inputs not normalized": (not_normalized, "digits", "small_cnn", "inputs", ("inputs-unscaled",)),
    "divided by own maximum": (own_maximum, "cifar10", "dropout_cnn", "inputs", ("stretched-each",)),
    "head too large": (wide_head, "digits", "dropout_cnn", "training", ("head-size",)),
    "softmax inside": (softmax_inside, "digits", "small_cnn", "training", ("softmax-inside",)),
    "frozen layers": (frozen_layers, "digits", "dropout_cnn", "training", ("frozen",)),
    "not given to the optimizer": (not_given, "digits", "dropout_cnn", "training", ("not-in-optimizer",)),
    "small batches": (small_batches, "digits", "svhn_resnet", "training", ("small-batches",)),
    "learning rate times": (lr_times, "digits", "dropout_cnn", "training", ("lr-too-large",)),
    "learning rate divided": (lr_divided, "digits", "dropout_cnn", "training", ("lr-too-small",)),
    "dead units": (dead_units, "digits", "dropout_cnn", "training", ("dead-units", "no-gradient")),
    "exploding gradients": (exploding, "digits", "dropout_cnn", "training", ("exploding-gradients", "initial-loss")),
    "dropout never on": (dropout_asleep, "digits", "dropout_cnn", "regularizers", ("dropout-inactive",)),
    "dropout on in evaluation": (dropout_awake, "digits", "dropout_cnn", "regularizers", ("random-evaluation",)),
    "decay reaches nothing": (idle_decay, "digits", "dropout_cnn", "regularizers", ("decay-misses", "decay-too-weak")),
}
SOUND_NETWORKS = [
    (network, optimizer, dropout)
    for network in ("small_cnn", "dropout_cnn", "svhn_resnet")
    for optimizer in ("adam", "sgd")
    for dropout in (0.0, 0.3)
]

# running


@dataclass(frozen=True)
class Job:
    """One examination; ``level`` is None for sound data."""

    kind: str
    fault: str
    data: str
    level: int | None
    seed: int

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.fault}/{self.data}/{self.level}/{self.seed}"


def jobs(only: str | None, faults: list[str], confirm: bool = False) -> list[Job]:
    """Everything that is measured, with the seeds and data on which thresholds were set or with others."""
    first, found = FRESH if confirm else 0, []
    for fault in DATA_FAULTS:
        planted_in = ("street_digits",) if confirm else ("digits", "cifar10")
        found += [Job("data", fault, d, level, first + s) for d in planted_in for level in range(3) for s in range(5)]
    for fault, (_, data, *_rest) in TRAINING_FAULTS.items():
        planted = "street_digits" if confirm else data
        found += [Job("training", fault, planted, level, first + seed) for level in range(3) for seed in range(2)]
    sound = {"cifar10": 50, "digits": 40, "street_digits": 30, "smear_cells": 20, "smear_wbc": 10}
    found += [Job("clean", "sound data", d, None, first + seed) for d, count in sound.items() for seed in range(count)]
    trained = ("street_digits",) if confirm else ("digits", "cifar10")
    found += [
        Job("clean", "sound training", d, None, first + seed) for d in trained for seed in range(len(SOUND_NETWORKS))
    ]
    return [job for job in found if (only is None or job.kind == only) and (not faults or job.fault in faults)]


def examined(job: Job, images: Path) -> Diagnosis:
    """Plant, and examine."""
    random = np.random.default_rng([job.seed, sum(map(ord, job.fault)), job.level or 0])
    pool = source(job.data, images)
    if job.kind == "training" or job.fault == "sound training":
        return _with_network(job, pool.some(min(SIZES[job.data], 1200), random), random)
    pool = pool.some(SIZES[job.data], random)
    sample = _by_slide(pool, random) if job.data == "smear_cells" else split(pool, random)
    if job.kind == "clean" and not pool.paths:  # names that group, but not by what is to be seen
        names = [
            tuple(f"roll{random.integers(len(part) // 5)}_{i}.png" for i in range(len(part)))
            for part in (sample.labels, sample.validation_labels)
        ]
        sample = replace(sample, paths=names[0], validation_paths=names[1])
    if job.kind == "data":
        sample = DATA_FAULTS[job.fault][0](pool, job.level or 0, random)
    normal = [(part.float() / 255 - 0.5) / 0.5 for part in (sample.images, sample.validation)]
    return examine(
        (normal[0], sample.labels),
        (normal[1], sample.validation_labels),
        test=None if sample.test is None else (sample.test, torch.zeros(len(sample.test), dtype=torch.int64)),
        classes=sample.classes,
        train_paths=sample.paths,
        validation_paths=sample.validation_paths,
        depth="preflight",
    )


def _by_slide(pool: Pool, random: Random) -> Sample:
    slide_of = [Path(path).stem.rsplit("_", 1)[0] for path in pool.paths]
    slides = sorted(set(slide_of))
    held = {slides[at] for at in random.permutation(len(slides))[: len(slides) // 4]}
    return split(pool, random, held=np.flatnonzero([slide in held for slide in slide_of]))


def _with_network(job: Job, pool: Pool, random: Random) -> Diagnosis:
    if job.kind == "training":
        fault, _, network, _, _ = TRAINING_FAULTS[job.fault]
        case = plain_case(pool, random, network)
        fault(case, job.level or 0)
    else:
        case = plain_case(pool, random, *SOUND_NETWORKS[job.seed % FRESH])
    train, held = part_of((case.train, case.labels)), part_of((case.validation, case.validation_labels))
    train, held = on_one_grid(train, held)
    setup = Setup(case.model, case.optimizer, case.batch_size)
    checks: list[PlannedCheck] = [
        *data_checks(train, held, pool.classes, None, "preflight"),
        *input_part_checks(train, held, "default"),
        *model_checks(setup, train, held, case.classes, "default"),
    ]
    # capacity comes last and only has notes: it cannot change what is named first
    return run_checks([check for check in checks if check.stage != "capacity"], "default", job.key)


def worked(task: tuple[Job, Path]) -> dict[str, Any]:
    job, images = task
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    diagnosis = examined(job, images)
    found = [(f.stage, f.severity, f.id) for f in diagnosis.findings]
    return {"key": job.key, "findings": found, "seconds": round(diagnosis.seconds, 2)}


def main() -> None:
    """Make the examinations that are missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, default=os.environ.get("REGSTUDY_TEST_DATA"), help="folder of archives")
    parser.add_argument("--only", choices=("data", "training", "clean"))
    parser.add_argument(
        "--faults", nargs="*", default=[], choices=[*DATA_FAULTS, *TRAINING_FAULTS, "sound data", "sound training"]
    )
    parser.add_argument("--confirm", action="store_true", help="other seeds, and drawn house numbers")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--work", type=Path, default=Path("results/doctor"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    file = given.work / "examinations.jsonl"
    done = {line["key"]: line for line in map(json.loads, file.read_text().splitlines())} if file.exists() else {}
    wanted = jobs(given.only, given.faults, given.confirm)
    missing = [(job, Path(given.images)) for job in wanted if job.key not in done]
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool, file.open("a") as kept:
        for line in pool.imap_unordered(worked, missing):
            kept.write(json.dumps(line) + "\n")
            kept.flush()
            done[line["key"]] = line
            print(f"\r{len(done)} examined", end="", flush=True)
    print()
    show(wanted, done)


def show(wanted: list[Job], done: dict[str, dict[str, Any]]) -> None:
    """Detection by fault and strength, then alarms on sound data."""
    stages = {name: (stage, ids) for name, (_, stage, ids) in DATA_FAULTS.items()}
    stages |= {name: (stage, ids) for name, (_, _, _, stage, ids) in TRAINING_FAULTS.items()}
    strong = [0, 0]
    print(f"{'fault':32}{'weak':>12}{'medium':>12}{'strong':>12}   named instead")
    for fault, (stage, ids) in stages.items():
        cells, instead = [], defaultdict(int)
        for level in range(3):
            own = [done[job.key] for job in wanted if job.fault == fault and job.level == level and job.key in done]
            firsts = [first_of(line["findings"], stage) for line in own]
            hits = sum(first in ids for first in firsts)
            cells.append(f"{hits}/{len(own)}" if own else "–")
            for first in firsts:
                if first not in ids and level > WEAK:
                    instead[str(first)] += 1
            if level > WEAK:
                strong = [strong[0] + hits, strong[1] + len(own)]
        if any(cell != "–" for cell in cells):
            words = ", ".join(f"{name} {count}" for name, count in instead.items())
            print(f"{fault:32}{cells[0]:>12}{cells[1]:>12}{cells[2]:>12}   {words}")
    if strong[1]:
        print(f"medium and strong together: {rate(*strong)}")
    for fault in ("sound data", "sound training"):
        groups = defaultdict(list)
        for job in wanted:
            if job.fault == fault and job.key in done:
                groups[job.data].append(done[job.key])
        lines = [line for group in groups.values() for line in group]
        if not lines:
            continue
        for severity in ("blocks", "distorts"):
            alarms = [{f[2] for f in line["findings"] if f[1] == severity} for line in lines]
            names = defaultdict(int)
            for alarm in alarms:
                for name in alarm:
                    names[name] += 1
            words = ", ".join(f"{name} {count}" for name, count in names.items())
            print(f"{fault}: {severity} in {rate(sum(map(bool, alarms)), len(lines))}  {words}")
        for data, group in groups.items():
            bad = sum(any(f[1] != "note" for f in line["findings"]) for line in group)
            seconds = np.median([line["seconds"] for line in group])
            print(f"    {data}: {bad} of {len(group)} with any alarm; median {seconds:.1f} s")


def first_of(findings: list[list[str]], stage: str) -> str | None:
    """What is named first in a stage, notes apart."""
    return next((name for where, severity, name in findings if where == stage and severity != "note"), None)


def rate(hits: int, total: int) -> str:
    interval = binomtest(hits, total).proportion_ci(method="wilson")
    return f"{hits} of {total} ({hits / total:.1%}; 95 % interval {interval.low:.1%} to {interval.high:.1%})"


if __name__ == "__main__":
    main()
