"""Which regularizers are on, what they are called, and the configuration without some of them."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from tiny import make_config

from regstudy.config.active_regularizers import active_regularizers, regularizer_words, without
from regstudy.config.run_config import RunConfig

AUGMENTED = {"augmentation.strength": 0.5, "augmentation.ops": ["flip", "crop"]}
EVERYTHING = {
    "model.dropout": 0.2, "model.block_dropout": 0.1, "model.stochastic_depth": 0.1, "regularization.l1": 1e-4,
    "regularization.l2": 1e-3, "regularization.label_smoothing": 0.1, "regularization.mixup": 0.3,
    "regularization.cutmix": 0.2, "regularization.cutout": 3, "regularization.random_erasing": 0.3,
    "regularization.ema": 0.9, **AUGMENTED,
}  # fmt: skip
PHASES = [
    {"regularization": {"l2": 1e-3}, "training": {"epochs": 1}},
    {"augmentation": {"strength": 0.3, "ops": ["rotate", "crop"]}, "regularization": {"label_smoothing": 0.0}},
]


@pytest.mark.parametrize(
    ("changes", "names", "fine"),
    [
        ({}, [], []),
        ({"model.dropout": 0.1}, ["dropout"], ["dropout"]),
        ({"augmentation.strength": 0.5}, [], []),  # no operation to be weak or strong
        ({"augmentation.ops": ["flip"]}, [], []),
        ({"augmentation.strength": 0.0, "augmentation.ops": ["flip", "crop"]}, [], []),
        ({**AUGMENTED}, ["augmentation"], ["augmentation by flip", "augmentation by crop"]),
        ({"regularization.l2": 1e-3, "regularization.l2_mode": "coupled"}, ["L2"], ["L2"]),
        ({"regularization.mixup_alpha": 0.4}, [], []),  # how, not whether
        (
            EVERYTHING,
            [
                "dropout", "block dropout", "stochastic depth", "L1", "L2", "label smoothing", "mixup", "cutmix",
                "cutout", "random erasing", "ema", "augmentation",
            ],
            None,
        ),
        # on in one phase only, and off again in another
        (
            {"regularization.label_smoothing": 0.1, "phases": PHASES},
            ["L2", "label smoothing", "augmentation"],
            ["L2", "label smoothing", "augmentation by rotate", "augmentation by crop"],
        ),
        # the value outside of the phases trains nothing
        ({"regularization.ema": 0.9, "phases": [{"regularization": {"ema": 0.0}}]}, [], []),
    ],
)  # fmt: skip
def test_the_names_of_what_is_on(changes: dict[str, Any], names: list[str], fine: list[str] | None) -> None:
    config = make_config(changes)
    assert [one.name for one in active_regularizers(config)] == names
    if fine is not None:
        assert [one.name for one in active_regularizers(config, fine=True)] == fine


def test_paths_tell_names_apart_that_clash() -> None:
    assert regularizer_words(["model.dropout", "regularization.l2"]) == ["dropout", "L2"]
    clash = ["model.dropout", "regularization.dropout", "regularization.l1"]
    assert regularizer_words(clash) == [*clash[:2], "L1"]
    names = regularizer_words(list(RunConfig.regularizers))
    assert len(set(names)) == len(names) == len(RunConfig.regularizers)


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("phases", [[], PHASES])
def test_every_subset_can_be_taken_away(phases: list[Any], fine: bool) -> None:
    config = make_config({"model.dropout": 0.2, "regularization.label_smoothing": 0.1, **AUGMENTED, "phases": phases})
    parts = active_regularizers(config, fine=fine)
    names = [one.name for one in parts]
    assert len(parts) == (3 if not fine else 4) + (len(phases) and (2 if fine else 1))
    for size in range(len(parts) + 1):
        for off in combinations(parts, size):
            rest = without(config, off)
            left = [one.name for one in active_regularizers(rest, fine=fine)]
            assert left == [name for name in names if name not in {one.name for one in off}]
    assert without(config, []) == config
    assert without(config, parts) == config.without_regularizers()
    assert without(config, parts).in_phases() == config.without_regularizers().in_phases()


def test_what_stays_keeps_its_values() -> None:
    config = make_config(EVERYTHING)
    for one in active_regularizers(config):
        rest = without(config, [one])
        assert rest == config.replaced({one.path: RunConfig.regularizers[one.path]})
    flip, crop = active_regularizers(make_config(AUGMENTED), fine=True)
    assert without(make_config(AUGMENTED), [flip]) == make_config({**AUGMENTED, "augmentation.ops": ["crop"]})
    assert without(make_config(AUGMENTED), [flip, crop]) == make_config(AUGMENTED).without_regularizers()
