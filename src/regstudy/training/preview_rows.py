"""Rows of pictures that show what a space does to its training images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor

from regstudy.config.run_config import RunConfig
from regstudy.config.schema import Regularization
from regstudy.data.image_set import ImageSet
from regstudy.data.preprocessing import PixelTransform
from regstudy.space.search_space import Space, probes
from regstudy.training.augmentation import augment
from regstudy.training.contact_sheet import Row
from regstudy.training.erasing import cut_out, erase_rectangles
from regstudy.training.mixing import Mixed, mix

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
BATCHES_DRAWN = 6  # of which the clearest one is shown
PREVIEW_SEED = 0  # the same command draws the same picture


def operations(chosen: Sequence[str], allowed: Sequence[str]) -> tuple[Sequence[str], str]:
    """The operations to show, and their description: those of the space, else all that its images allow."""
    if chosen:
        return chosen, ", ".join(chosen)
    return allowed, f"{', '.join(allowed)} (the space lists no operations; these are all that its images allow)"


def positions_in_turn(labels: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Positions of at most ``count`` images: the first of every class, then the second of every class, and so on."""
    rank = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        own = labels == label
        rank[own] = np.arange(own.sum())
    return np.lexsort((labels, rank))[:count]


def strength_rows(images: Tensor, ops: Sequence[str], preprocessing: PixelTransform) -> Iterator[Row]:
    """The images uint8 N×C×H×W at each strength; all rows use the same random numbers."""
    for strength in STRENGTHS:
        changed = augment(images, ops, strength, preprocessing, Generator().manual_seed(PREVIEW_SEED))
        yield Row(f"strength {strength:g}" if strength else "strength 0\nas in validation", _pictures(changed))


def regularizer_rows(images: ImageSet, space: Space, preprocessing: PixelTransform) -> Iterator[Row]:
    """The images under each of the space's other image regularizers, at its highest value.

    Those that affect a share of images or batches are shown for all of them; the label gives the share.
    """
    original, first = preprocessing(images.images), True
    for field, label in (
        ("cutout", "cutout\n{:g} px"),
        ("random_erasing", "random erasing\n{:.0%} of images"),
        ("mixup", "mixup\n{:.0%} of batches"),
        ("cutmix", "cutmix\n{:.0%} of batches"),
    ):
        section = highest(space, field)
        value = getattr(section, field)
        if not value:
            continue
        generator, captions = Generator().manual_seed(PREVIEW_SEED), list[str]()
        if field == "cutout":
            changed = cut_out(original, value, generator)
        elif field == "random_erasing":
            changed = erase_rectangles(original, 1.0, generator)
        else:
            always = section.model_copy(update={"mixup": 0.0, "cutmix": 0.0, field: 1.0})
            batches = [_clearest_batch(original, always, place, generator) for place in range(len(original))]
            changed = torch.stack([batch.images[place] for place, batch in enumerate(batches)])
            captions = [_parts(images, place, batch) for place, batch in enumerate(batches)]
        pixels = (changed - preprocessing.shift) / preprocessing.scale
        yield Row(label.format(value), _pictures(pixels), captions, new_block=first)
        first = False


def _clearest_batch(images: Tensor, section: Regularization, place: int, generator: Generator) -> Mixed:
    """Of several mixed batches, the one in which this image is mixed most evenly: many shares are almost 0 or 1."""

    def imbalance(mixed: Mixed) -> tuple[bool, float]:
        return mixed.partner is None or int(mixed.partner[place]) == place, abs(mixed.share - 0.5)

    return min((mix(images, section, generator) for _ in range(BATCHES_DRAWN)), key=imbalance)


def _parts(images: ImageSet, place: int, mixed: Mixed) -> str:
    """The classes in one image of a mixed batch by their shares."""
    partner = place if mixed.partner is None else int(mixed.partner[place])
    own, other = (images.classes[int(images.labels[index])] for index in (place, partner))
    return f"{mixed.share:.0%} {own}, {1 - mixed.share:.0%} {other}"


def highest(space: Space, field: str) -> Regularization:
    """Of all regularizations at the ends of the space's ranges, in all phases, the one with the highest value."""
    configs = [config for tree in probes(space) for config in RunConfig.model_validate(tree).in_phases()]
    sections = [config.regularization for config in configs]
    return max(sections, key=lambda section: float(getattr(section, field)))


def _pictures(pixels: Tensor) -> npt.NDArray[np.uint8]:
    """Values 0..255 N×C×H×W as uint8 N×H×W×C."""
    whole = pixels.float().round().clamp(0, 255).to(torch.uint8)
    array: npt.NDArray[np.uint8] = np.ascontiguousarray(whole.permute(0, 2, 3, 1).numpy())
    return array
