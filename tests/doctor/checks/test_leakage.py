"""Leakage: copies and variants across a split, groups on both sides, and groups that only file names tell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from planted import digits, pictures, seeded, severities
from torch import Tensor

from regstudy.doctor.checks.leakage import copies, groups_in_names, picture, straddling
from regstudy.doctor.findings import Pictures, Sure

TRAIN, VALIDATION = pictures(200), pictures(100, seed=1)


def changed(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    arrays = [np.asarray(change(Image.fromarray(image.permute(1, 2, 0).numpy()))) for image in images]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "copied": lambda image: image,
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned upside down": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "brighter": lambda image: image.point(lambda value: min(255, value + 15)),
}


def with_copies(count: int, change: str = "copied") -> Tensor:
    """The validation images, the first of them exchanged for training images."""
    return torch.cat([changed(TRAIN[50 : 50 + count], CHANGES[change]), VALIDATION[count:]]) if count else VALIDATION


def test_different_images_are_no_copies() -> None:
    result = copies(TRAIN, VALIDATION)
    assert not result.findings and not result.media and result.examined.endswith("no copies.")


@pytest.mark.parametrize("change", CHANGES)
def test_variants_of_training_images_are_found(change: str) -> None:
    result = copies(TRAIN, with_copies(20, change))
    assert severities(result) == {"copies": "blocks"}
    assert dict(result.findings[0].changes) == {"data.group": "near_duplicates"}
    same = 20 if change == "copied" else 0
    assert f"; {same} of them are pixel-identical" in result.findings[0].evidence[0]


@pytest.mark.parametrize(
    ("count", "severity"), [(1, "note"), (2, "note"), (4, "distorts"), (10, "blocks"), (100, "blocks")]
)
def test_few_copies_are_worth_less_than_many(count: int, severity: str) -> None:
    finding = copies(TRAIN, with_copies(count)).findings[0]
    assert (finding.id, finding.stage, finding.severity) == ("copies", "data", severity)
    assert finding.evidence[0].startswith(f"{count} of 100 validation images ({count}.0%)")
    assert f"{count} of them are pixel-identical" in finding.evidence[0]
    assert bool(finding.changes) is (severity != "note")


def test_copies_are_named_and_shown_in_pairs() -> None:
    names = tuple(f"a/{n}.png" for n in range(200)), tuple(f"b/{n}.png" for n in range(100))
    result = copies(TRAIN, with_copies(4), *names)
    assert "validation b/0.png = training a/50.png (identical pixels)" in result.findings[0].evidence
    (shown,) = result.media
    assert isinstance(shown, Pictures) and shown.columns == 2 and len(shown.images) == len(shown.captions) == 8
    for at in range(0, 8, 2):
        assert np.array_equal(shown.images[at], shown.images[at + 1])
        train, held = (int(caption.split("/")[1].split(".")[0]) for caption in shown.captions[at : at + 2])
        assert train - held == 50


def test_where_groups_exist_it_is_they_that_must_be_mended() -> None:
    one, other = (copies(TRAIN, with_copies(20), groups_exist=exist).findings[0] for exist in (False, True))
    assert "The groups do not keep these copies on one side" in other.advice and other.advice != one.advice


def test_real_digits_are_not_taken_for_copies() -> None:
    result = copies(digits(600, size=32)[0], digits(200, 600, size=32)[0])
    assert not {"blocks", "distorts"} & set(severities(result).values())


@pytest.mark.parametrize(("channels", "shown"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (3, [0, 1, 2]), (4, [0, 1, 2])])
def test_any_number_of_channels_can_be_looked_at(channels: int, shown: list[int]) -> None:
    image = pictures(1, channels=channels)[0]
    assert np.array_equal(picture(image), image[shown].permute(1, 2, 0).numpy())


# Groups that are known


@pytest.mark.parametrize(
    ("train", "validation", "sure", "severity"),
    [
        ("aabbcc", "ddee", "certain", None),
        ("aabbcc", "ccdd", "certain", "blocks"),
        ("aabbcc", "ccdd", "very likely", "blocks"),
        ("aabbcc", "ccdd", "likely", "distorts"),
        ("a", "a" + "b" * 99, "certain", "distorts"),
    ],
)
def test_groups_on_both_sides(train: str, validation: str, sure: Sure, severity: str | None) -> None:
    result = straddling(list(train), list(validation), sure)
    assert severities(result) == ({"groups-straddle": severity} if severity else {})
    assert all(finding.sure == sure and not finding.changes for finding in result.findings)


def test_the_groups_and_the_rule_that_gave_them_are_named() -> None:
    finding = straddling([1, 1, 2], [2, 2, 3, 3], rule="([a-z]+)_").findings[0]
    assert finding.sentence.startswith("50% of the validation images")
    assert finding.evidence == (
        "1 of the 2 validation groups are also in the training part.",
        "For example: 2.",
    )
    assert dict(finding.changes) == {"data.group": "([a-z]+)_"} and "([a-z]+)_" in finding.advice


# Groups that names tell

COUNT, EACH = 600, 5


def scenes(light: float) -> tuple[Tensor, Tensor, list[str]]:
    """Digits in scenes of five of one class, each in a light of its own, in random order."""
    images, labels = digits(COUNT)
    order = labels.argsort(stable=True)
    scene = torch.arange(COUNT) // EACH
    shift = light * torch.randn(COUNT // EACH, generator=seeded())[scene].view(-1, 1, 1, 1)
    lit = (0.5 * images[order].float() + 64 + shift).clamp(0, 255).to(torch.uint8)
    mixed = torch.randperm(COUNT, generator=seeded(1))
    return lit[mixed], labels[order][mixed], [f"scene{int(scene[at]):03d}_{int(at) % EACH}.png" for at in mixed]


def test_names_that_tell_scenes_are_believed_where_the_light_agrees() -> None:
    images, labels, names = scenes(light=30)
    found = groups_in_names(images, labels, names, 450)
    assert found is not None and found.similarity > 0.3 and found.standard_errors > 6
    assert [key[:8] for key in found.keys] == [name[:8] for name in names]  # and the class, where a scene has two


@pytest.mark.parametrize(
    "rename",
    [
        lambda names: [names[at] for at in torch.randperm(COUNT, generator=seeded(2)).tolist()],
        lambda names: [f"IMG_{at:04d}.png" for at in range(len(names))],
        lambda names: [f"{at:04d}.png" for at in range(len(names))],
        lambda names: [f"{at % 7}.png" for at in range(len(names))],
    ],
    ids=["names say nothing", "a camera counts", "numbers", "few names"],
)
def test_other_names_tell_no_groups(rename: Callable[[list[str]], list[str]]) -> None:
    images, labels, names = scenes(light=30)
    assert groups_in_names(images, labels, rename(names), 450) is None


def test_scenes_that_look_like_all_others_are_no_groups() -> None:
    assert groups_in_names(*scenes(light=0), 450) is None


def test_folders_of_classes_are_no_groups() -> None:
    images, labels = digits(COUNT)
    names = [f"{label}/{at}.png" for at, label in enumerate(labels.tolist())]
    assert groups_in_names(images, labels, names, 450) is None


def test_groups_that_keep_to_one_side_are_no_fault() -> None:
    images, labels, names = scenes(light=30)
    order = torch.tensor(sorted(range(COUNT), key=lambda at: names[at]))
    assert groups_in_names(images[order], labels[order], sorted(names), 450) is None
