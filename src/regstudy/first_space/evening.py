"""Which network, image size and number of epochs let a study of 50 trials end within an evening on this machine.

The options are in order, the best one first. The first one that is fast enough for most of the wanted epochs is taken.
If none is, the last one gets fewer training images. Costs are measured, again if they seem too high, because another
program may have been busy. An option that must be too slow, by what a larger image of the same network took, is not
tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from regstudy.training.cost import ImageCost

TRIALS = 50
EVENING = 2.5 * 3600  # seconds of all trials one after another, with room for a slower moment up to three hours
SIDES = (224, 192, 160, 128, 112, 96, 80, 64, 48, 32)
SMALLEST_SIDE = 24  # smaller images are enlarged to 32 pixels, on which the networks are at home
ENLARGED = 32
LARGEST_AS_IT_IS = 128
RESNET_FROM = 80  # pixels; ResNet-18 halves an image five times
EPOCHS = ((1_000, 50), (5_000, 30), (20_000, 20), (10**12, 15))  # up to so many training images
ENOUGH = 0.7  # of the wanted epochs
ENOUGH_IN_SHORT = 0.4  # of them in less time than an evening, rather than few images
SLACK = 0.8  # a smaller image takes at least this share of what its area predicts
FOLDS = (5, 3)
FEWEST_IMAGES = 100  # of training, however slow the machine is


@dataclass(frozen=True)
class Option:
    """A network and the side of its images in pixels."""

    network: str
    size: int


@dataclass(frozen=True)
class Amount:
    """The images of an epoch: trained on, in validation, and whether validation is a share of them all."""

    train: int
    validation: int
    own_validation: bool = False

    def seconds(self, cost: ImageCost, folds: int = 0) -> float:
        """Seconds of an epoch, of all folds together."""
        if not folds:
            return cost.epoch(self.train, 2 * self.validation)
        total = self.train + self.validation
        return folds * cost.epoch(total - total // folds, 2 * (total // folds))

    def limited(self, train: int) -> Amount:
        """At most so many training images."""
        share = 1.0 if self.own_validation else train / self.train
        return Amount(train, max(1, round(self.validation * share)), self.own_validation)


@dataclass(frozen=True)
class Scale:
    """What was chosen; ``limit`` are the training images if not all are used, ``folds`` is 0 without k-fold."""

    option: Option
    epochs: int
    cost: ImageCost
    limit: int | None = None
    folds: int = 0


def options_for(side: int, uniform: bool) -> list[Option]:
    """Networks and sizes for images of so many pixels per side, from the best to the fastest."""
    if side < SMALLEST_SIDE:
        sides = [ENLARGED]
    else:
        as_it_is = [side] if uniform and side <= LARGEST_AS_IT_IS else []
        sides = [*as_it_is, *(one for one in SIDES if one <= side and one not in as_it_is)] or [side]
    large = [Option("resnet18_transfer", one) for one in sides if one >= RESNET_FROM]
    return [
        *large,
        *(Option(name, one) for one in sides if one < RESNET_FROM for name in ("svhn_resnet", "dropout_cnn")),
    ]


def wanted_epochs(images: int) -> int:
    """The epochs of a trial: fewer images make fewer steps per epoch."""
    return next(epochs for most, epochs in EPOCHS if images < most)


def for_an_evening(
    options: Sequence[Option],
    amount: Amount,
    measure: Callable[[Option], ImageCost],
    *,
    foldable: bool = False,
    fewest: int = FEWEST_IMAGES,
    evening: float = EVENING,
) -> Scale:
    """The best option that is fast enough; at least the ``fewest`` training images are kept.

    ``evening``: seconds that 50 trials may take.
    """
    per_trial, wanted = evening / TRIALS, wanted_epochs(amount.train)
    least = math.ceil((ENOUGH if evening >= EVENING else ENOUGH_IN_SHORT) * wanted)
    known: dict[str, tuple[int, ImageCost]] = {}
    scale = None
    for option in options:
        if option.network in known and option != options[-1]:
            size, cost = known[option.network]
            if SLACK * amount.seconds(cost) * (option.size / size) ** 2 * least > per_trial:
                continue
        cost = measure(option)
        if per_trial < wanted * amount.seconds(cost):  # other programs can only make it look slower
            cost = min(cost, measure(option), key=amount.seconds)
        known[option.network] = option.size, cost
        fitting = int(per_trial / amount.seconds(cost))
        scale = Scale(option, min(wanted, fitting), cost)
        if fitting >= least:
            return _folded(scale, amount, per_trial) if foldable else scale
    if scale is None:
        raise ValueError("there must be an option")
    limit = max(_limit(scale.cost, amount, per_trial / least), fewest)
    return Scale(scale.option, least, scale.cost, limit if limit < amount.train else None)


def _folded(scale: Scale, amount: Amount, per_trial: float) -> Scale:
    """With as many folds as there is time for."""
    for folds in FOLDS:
        if amount.seconds(scale.cost, folds) * scale.epochs <= per_trial:
            return Scale(scale.option, scale.epochs, scale.cost, folds=folds)
    return scale


def _limit(cost: ImageCost, amount: Amount, seconds: float) -> int:
    """The training images of an epoch of so many seconds, with two digits that count."""
    if amount.own_validation:
        exact = (seconds - 2 * amount.validation * cost.evaluate) / cost.train
    else:
        exact = seconds / amount.seconds(cost) * amount.train
    unit = 10 ** max(math.floor(math.log10(max(exact, 1))) - 1, 0)
    return int(exact // unit * unit)
