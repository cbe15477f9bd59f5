"""Spaces and configurations: what a run would train is what is examined, in the two ways in which people go wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from planted import alarms, digits, ids, pictures, severities

from regstudy import data
from regstudy.data.image_set import ImageSet, Splits
from regstudy.doctor import Diagnosis, Finding
from regstudy.doctor.checks import capacity_checks
from regstudy.doctor.examine import Depth
from regstudy.doctor.from_config import examine_space, smallest_batch, strongest, with_changes
from regstudy.space.loader import find_space, load_space
from regstudy.space.parsing import parse_space
from regstudy.space.search_space import Space
from regstudy.training.validation import CHECKS

pytestmark = pytest.mark.table

CPU = torch.device("cpu")
DIGITS = {"name": "digits", "size": 24, "train_limit": 400, "validation": 200}
TINY = {"data": {**DIGITS, "size": 16}, "model": {"name": "tiny:cnn", "options": {"width": 16}}}
BY_LIGHT = {"label-from-brightness": "distorts"}  # the made-up classes differ in nothing else


@pytest.fixture(autouse=True)
def short_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity_checks, "MAX_CURVE_STEPS", 60)


def tree(**changes: Any) -> dict[str, Any]:
    """A configuration for digits without a fault; sections are exchanged whole."""
    return {
        "data": DIGITS,
        "preprocessing": {"normalize": "half"},
        "model": {"name": "dropout_cnn"},
        "optimizer": {"name": "adam", "lr": 3e-3},
        "training": {"batch_size": 32, "epochs": 3},
        **changes,
    }


def space(raw: dict[str, Any]) -> Space:
    return parse_space(raw, "planted", "planted.yaml", CHECKS)


def examined(raw: dict[str, Any] | Space, folder: Path, depth: Depth = "preflight") -> Diagnosis:
    torch.manual_seed(0)
    made = raw if isinstance(raw, Space) else space(raw)
    splits = data.prepare(made.defaults().data, folder)
    return examine_space(made, splits, data_dir=folder, device=CPU, depth=depth)


# Sound ones


def test_the_shipped_space_for_digits_passes(tmp_path: Path) -> None:
    diagnosis = examined(load_space(find_space("digits_cnn")), tmp_path)
    assert alarms(diagnosis) == {} and diagnosis.subject == "digits_cnn"
    assert {"schedule", "augmentation", "validation and test", "learning rate"} <= {
        one.check for one in (*diagnosis.checked, *diagnosis.unjudged)
    }
    compared = next(one for one in diagnosis.checked if one.check == "validation and test")
    assert compared.examined.endswith("its test part was not opened.")


def test_the_test_part_of_a_published_data_set_is_neither_opened_nor_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*_: Any) -> None:
        raise AssertionError("the test part was asked for")

    monkeypatch.setattr(data, "open_test", opened)
    diagnosis = examined(load_space(find_space("digits_cnn")), tmp_path)
    assert [one.why for one in diagnosis.unjudged if "failed" in one.why] == []


@pytest.mark.parametrize(("shared", "blocks"), [(True, True), (False, False)])
def test_folders_of_ones_own_are_compared_with_their_test_part(shared: bool, blocks: bool, tmp_path: Path) -> None:
    images, labels = digits(600)
    parts = {"train": range(400), "val": range(400, 500), "test": range(400, 500) if shared else range(500, 600)}
    for part, numbers in parts.items():
        for number in numbers:
            place = tmp_path / "photos" / part / str(int(labels[number])) / f"{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[number, 0].numpy()).save(place)
    folder = {"name": "image_folder", "root": str(tmp_path / "photos"), "size": 16}
    diagnosis = examined(tree(data=folder, model=TINY["model"]), tmp_path)
    assert ("validation-is-test" in {finding.id for finding in diagnosis.blocks}) is blocks


@pytest.mark.table
def test_a_configuration_without_ranges_passes_with_its_learning_rate(tmp_path: Path) -> None:
    diagnosis = examined(tree(**TINY), tmp_path, "default")
    assert alarms(diagnosis) == {}
    assert "learning rate" in {one.check for one in diagnosis.checked}


@pytest.mark.table
@pytest.mark.parametrize(("lr", "name"), [(1e-7, "lr-too-small"), (10.0, "lr-too-large")])
def test_the_learning_rate_is_mended_in_the_configuration(lr: float, name: str, tmp_path: Path) -> None:
    diagnosis = examined(tree(**TINY, optimizer={"name": "adam", "lr": lr}), tmp_path, "default")
    first = diagnosis.first("training")
    assert first is not None and first.id == name
    assert 1e-4 <= first.changes["optimizer.lr"] <= 0.1


# What is examined of a space


def test_regularizers_are_at_their_strong_ends_and_all_else_at_its_default() -> None:
    raw = tree(
        model={"name": "dropout_cnn", "dropout": {"low": 0.0, "high": 0.6}},
        optimizer={"name": "adamw", "lr": {"low": 1e-4, "high": 1e-2, "log": True, "default": 2e-3}},
        regularization={
            "l2": {"or": 0, "low": 1e-3, "high": 0.3, "log": True},
            "label_smoothing": {"low": 0.0, "high": 0.2},
        },
        training={"batch_size": {"low": 8, "high": 64, "powers_of": 2, "default": 32}, "epochs": 3},
    )
    config = strongest(space(raw))
    assert (config.model.dropout, config.regularization.l2, config.regularization.label_smoothing) == (0.6, 0.3, 0.2)
    assert (config.optimizer.lr, config.training.batch_size) == (pytest.approx(2e-3), 32)
    assert smallest_batch(space(raw)) == 8


@pytest.mark.parametrize(("low", "found"), [(32, False), (4, True)])
def test_the_smallest_batch_of_a_search_is_judged(low: int, found: bool, tmp_path: Path) -> None:
    size = {"low": low, "high": 64, "powers_of": 2, "default": 32}
    raw = tree(**TINY, training={"batch_size": size, "epochs": 3})
    assert ("small-batches" in alarms(examined(raw, tmp_path))) is found


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"training": {"batch_size": 32, "epochs": 30}}, {"lr-never-decays", "no-augmentation"}),
        ({"training": {"batch_size": 32, "epochs": 3}}, {"no-augmentation"}),
        ({"model": {"name": "dropout_cnn", "dropout": 0.5}}, {"no-augmentation", "running-accuracy"}),
        ({"augmentation": {"strength": 0.5, "ops": ["crop"]}}, {"running-accuracy"}),
    ],
)
def test_what_the_configuration_says_is_worth_a_word(changes: dict[str, Any], names: set[str], tmp_path: Path) -> None:
    diagnosis = examined(tree(**changes), tmp_path)
    words = {"lr-never-decays", "no-augmentation", "running-accuracy"}
    assert words & severities(diagnosis).keys() == names and alarms(diagnosis) == {}


def test_inputs_that_a_configuration_leaves_small_are_mended_there(tmp_path: Path) -> None:
    mean_and_std = {"mean": [0.0], "std": [0.001]}
    finding = examined(tree(preprocessing={"normalize": mean_and_std}), tmp_path).first("inputs")
    assert finding is not None and finding.id == "inputs-unscaled"
    assert dict(finding.changes) == {"preprocessing.normalize": "train"}


# Balance


def write_uneven(folder: Path) -> Path:
    """240 bright and 40 dark pictures."""
    for name, count, seed, shift in (("bright", 240, 1, 60), ("dark", 40, 2, 0)):
        (folder / name).mkdir(parents=True)
        for at, image in enumerate(pictures(count, seed=seed, side=24)):
            array = (image.int() // 2 + shift).to(torch.uint8).permute(1, 2, 0).numpy()
            Image.fromarray(array).save(folder / name / f"{at:03d}.png")
    return folder


@pytest.mark.parametrize(
    ("balance", "found"), [("none", True), ("weights", False), ({"choices": ["none", "weights"]}, False)]
)
def test_uneven_classes_are_a_fault_unless_training_evens_them_out(balance: Any, found: bool, tmp_path: Path) -> None:
    root = str(write_uneven(tmp_path / "images"))
    raw = tree(
        data={"name": "image_folder", "root": root, "size": 24, "validation": 0.2},
        training={"batch_size": 32, "epochs": 3, "balance": balance},
    )
    assert ("imbalance" in alarms(examined(raw, tmp_path))) is found


# As people have it


def write_slides(folder: Path, anew: bool = False) -> Path:
    """Two classes of slides, one twice as large, each slide with a mirrored and a brighter variant; numbers begin
    ``anew`` in each class, or not.
    """
    for name, count, seed, shift in (("neg", 80, 1, 40), ("pos", 40, 2, 0)):
        (folder / name).mkdir(parents=True)
        prefix = "" if anew else name
        for at, image in enumerate(pictures(count, seed=seed)):
            array = (image.int() // 2 + shift).to(torch.uint8).permute(1, 2, 0).numpy()
            for number, variant in enumerate((array, np.fliplr(array), np.minimum(array, 245) + 10)):
                Image.fromarray(np.ascontiguousarray(variant)).save(folder / name / f"{prefix}{at:03d}_{number}.png")
    return folder


def slides(root: Path, group: str | None, position: str, head: int | None) -> dict[str, Any]:
    options: dict[str, Any] = {"position": position, **({"head_size": head} if head else {})}
    return tree(
        data={"name": "image_folder", "root": str(root), "size": 32, "validation": 0.2, "group": group},
        model={"name": "resnet18_dropout", "dropout": 0.4, "options": options},
        optimizer={"name": "adam", "lr": 5e-4},
        regularization={"l2": 1e-3},
        training={"batch_size": 64, "epochs": 50, "balance": "oversample"},
    )


def test_a_leak_comes_before_the_head_and_the_head_before_the_place_of_dropout(tmp_path: Path) -> None:
    root = write_slides(tmp_path / "images")
    diagnosis = examined(slides(root, None, "blocks", 1000), tmp_path)
    names = ids(diagnosis.findings)
    assert names.index("copies") < names.index("head-size") < names.index("dropout-before-batchnorm")
    by_name = {finding.id: finding for finding in diagnosis.findings}
    assert by_name["copies"].severity == "blocks" and diagnosis.blocks[0].id == "copies"
    assert "data.group" in by_name["copies"].changes
    assert dict(by_name["head-size"].changes) == {"model.options.head_size": None}
    assert dict(by_name["dropout-before-batchnorm"].changes) == {"model.options.position": "head"}
    assert any("neg/" in line or "pos/" in line for line in by_name["copies"].evidence)


@pytest.mark.parametrize("anew", [False, True], ids=["numbered through", "numbered anew in each class"])
def test_the_same_slides_pass_once_all_three_are_mended(anew: bool, tmp_path: Path) -> None:
    root = write_slides(tmp_path / "images", anew)
    assert alarms(examined(slides(root, "near_duplicates", "head", None), tmp_path)) == BY_LIGHT


def photos(trainable: str, name: str, side: int) -> tuple[Space, Splits]:
    """240 photos of two classes in turn, for a residual network without weights."""
    labels = torch.arange(240) % 2
    images = (pictures(240, side=side) // 2 + 40 * labels.view(-1, 1, 1, 1)).to(torch.uint8)
    train, validation = (ImageSet(images[part], labels[part], ("a", "b")) for part in (slice(180), slice(180, 240)))
    raw = tree(
        model={"name": name, "trainable": trainable},
        preprocessing={"normalize": "imagenet"},
        training={"batch_size": 32, "epochs": 3, "seed": 1},
    )
    return space(raw), Splits(train, train.subset(torch.arange(60)), validation, "photos", 0)


@pytest.mark.parametrize(("trainable", "faulty"), [("head", True), ("all", False)])
def test_a_network_frozen_at_random_numbers(trainable: str, faulty: bool, tmp_path: Path) -> None:
    made, splits = photos(trainable, "resnet18_transfer", 32)
    diagnosis = examine_space(made, splits, data_dir=tmp_path, device=CPU, depth="preflight")
    assert alarms(diagnosis) == BY_LIGHT | ({"frozen": "blocks"} if faulty else {})
    if faulty:
        assert dict(diagnosis.blocks[0].changes) == {"model.trainable": "all"}


@pytest.mark.table
@pytest.mark.parametrize(("trainable", "faulty"), [("head", True), ("all", False)])
def test_a_deep_network_frozen_at_random_numbers_begins_sure_of_wrong_answers(
    trainable: str, faulty: bool, tmp_path: Path
) -> None:
    made, splits = photos(trainable, "resnet50_transfer", 48)
    diagnosis = examine_space(made, splits, data_dir=tmp_path, device=CPU, depth="preflight")
    assert ids(f for f in diagnosis.findings if f.severity != "note") == [
        *BY_LIGHT,
        *(["frozen", "initial-loss"] if faulty else []),
    ]


def test_block_dropout_is_moved_as_well(tmp_path: Path) -> None:
    model = {"name": "resnet18_dropout", "block_dropout": 0.2, "dropout": 0.3, "options": {"position": "head"}}
    diagnosis = examined(tree(model=model), tmp_path)
    finding = next(one for one in diagnosis.findings if one.id == "dropout-before-batchnorm")
    assert dict(finding.changes) == {"model.block_dropout": 0.0}


def test_where_names_tell_groups_copies_are_mended_by_the_names() -> None:
    copies = Finding("copies", "data", "blocks", "x", changes={"data.group": "near_duplicates"})
    config = space(tree()).defaults()
    assert with_changes(copies, config, ["(.*)_"]).changes == {"data.group": "(.*)_"}
    assert with_changes(copies, config, []) == copies
