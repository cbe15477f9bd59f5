"""What fits an evening, with machines of known speed instead of measurements."""

from __future__ import annotations

import pytest

from regstudy.first_space.evening import (
    EVENING,
    TRIALS,
    Amount,
    Option,
    Scale,
    for_an_evening,
    options_for,
    wanted_epochs,
)
from regstudy.training.cost import ImageCost

COSTS = {"resnet18_transfer": 2e-7, "svhn_resnet": 2e-6, "dropout_cnn": 1e-7}  # seconds per pixel and image, two cores


def on_a_machine(speed: float, side: int, images: int, *, uniform: bool = False, foldable: bool = False) -> Scale:
    """What is chosen on a machine that is so many times as fast as two CPU cores."""

    def measure(option: Option) -> ImageCost:
        train = COSTS[option.network] * option.size**2 / speed
        return ImageCost(train, train / 3)

    amount = Amount(images * 4 // 5, images // 5)
    scale = for_an_evening(options_for(side, uniform), amount, measure, foldable=foldable)
    used = amount.limited(scale.limit) if scale.limit else amount
    assert used.seconds(scale.cost, scale.folds) * scale.epochs * TRIALS <= EVENING * 1.001
    return scale


@pytest.mark.parametrize(
    ("speed", "side", "images", "network", "size", "epochs"),
    [
        (1, 480, 450, "resnet18_transfer", 224, 42),
        (1, 480, 2_000, "resnet18_transfer", 128, 29),
        (50, 480, 20_000, "resnet18_transfer", 224, 20),
        (1, 64, 450, "svhn_resnet", 64, 50),
        (1, 32, 50_000, "dropout_cnn", 32, 15),
        (50, 32, 50_000, "svhn_resnet", 32, 15),
        (1, 8, 1_000, "svhn_resnet", 32, 50),
    ],
)
def test_the_best_that_is_fast_enough(
    speed: float, side: int, images: int, network: str, size: int, epochs: int
) -> None:
    scale = on_a_machine(speed, side, images)
    assert (scale.option, scale.epochs, scale.limit) == (Option(network, size), epochs, None)


def test_a_slow_machine_gets_fewer_images() -> None:
    scale = on_a_machine(0.05, 32, 50_000)
    assert scale.option == Option("dropout_cnn", 32)
    assert scale.limit is not None and 100 < scale.limit < 40_000
    assert scale.epochs == 11


def test_few_images_are_divided_into_as_many_folds_as_there_is_time_for() -> None:
    assert on_a_machine(100, 64, 450, foldable=True).folds == 5
    assert on_a_machine(4, 64, 450, foldable=True).folds == 3
    assert on_a_machine(1, 64, 450, foldable=True).folds == 0
    assert on_a_machine(100, 64, 450, foldable=False).folds == 0


def test_what_must_be_too_slow_is_not_timed_and_what_seems_too_slow_is_timed_again() -> None:
    timed = []

    def measure(option: Option) -> ImageCost:
        timed.append(option)
        busy = 20.0 if timed.count(option) == 1 else 1.0  # another program is busy at first
        return ImageCost(COSTS[option.network] * option.size**2 * busy, 0.0)

    scale = for_an_evening(options_for(300, uniform=False), Amount(2_000, 500), measure)
    assert scale.option == Option("resnet18_transfer", 128)
    assert timed == [Option("resnet18_transfer", size) for size in (224, 224, 160, 160, 128, 128)]


@pytest.mark.parametrize(
    ("side", "uniform", "first"),
    [
        (8, True, Option("svhn_resnet", 32)),
        (28, True, Option("svhn_resnet", 28)),
        (50, False, Option("svhn_resnet", 48)),
        (50, True, Option("svhn_resnet", 50)),
        (80, True, Option("resnet18_transfer", 80)),
        (120, True, Option("resnet18_transfer", 120)),
        (120, False, Option("resnet18_transfer", 112)),
        (3000, True, Option("resnet18_transfer", 224)),
        (30, False, Option("svhn_resnet", 30)),
    ],
)
def test_small_images_are_not_enlarged_much_and_large_ones_are_reduced(side: int, uniform: bool, first: Option) -> None:
    assert options_for(side, uniform)[0] == first


@pytest.mark.parametrize(("images", "epochs"), [(300, 50), (1_000, 30), (6_000, 20), (50_000, 15), (10**8, 15)])
def test_fewer_images_need_more_epochs(images: int, epochs: int) -> None:
    assert wanted_epochs(images) == epochs
