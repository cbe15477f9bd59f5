"""Shortcuts: one property that tells the label is found and named; properties of the content are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from planted import digits, pictures, severities
from torch import Tensor

from regstudy.doctor.checks.shortcuts import MIN_PER_CLASS, judge_shortcuts, shortcuts
from regstudy.doctor.findings import Chart, Pictures, Result
from regstudy.doctor.parts import Part, part_of

EACH = 60
NAMES = ("cat", "dog", "eel")
BORDER, BRIGHTNESS, FILES = "label-from-border", "label-from-brightness", "label-from-files"
Plant = Callable[[Tensor, Tensor], Tensor]


def photos(classes: int = 2, channels: int = 3) -> tuple[Tensor, Tensor]:
    """Pictures that have nothing to do with their labels."""
    images = pictures(classes * EACH, side=24, channels=channels)
    return images, torch.arange(classes).repeat(EACH)


def judged(images: Tensor, labels: Tensor, names: Sequence[str] = NAMES, **more: Any) -> Result:
    return shortcuts(images.__getitem__, labels, names, **more)


def some(own: Tensor, share: float) -> Tensor:
    """The first of the images of a class."""
    return own & (own.cumsum(0) <= round(share * int(own.sum())))


def barred(images: Tensor, where: Tensor, value: int = 0, width: int = 3) -> Tensor:
    changed = images.clone()
    changed[where, :, :width] = changed[where, :, -width:] = value
    return changed


def framed(images: Tensor, where: Tensor) -> Tensor:
    changed = barred(images, where, 235, 2)
    changed[where, :, :, :2] = changed[where, :, :, -2:] = 235
    return changed


def darker(images: Tensor, where: Tensor, factor: float = 0.2) -> Tensor:
    return torch.where(where.view(-1, 1, 1, 1), (images * factor).to(torch.uint8), images)


def bluer(images: Tensor, where: Tensor) -> Tensor:
    """More blue and less red, at the same brightness."""
    shift = torch.tensor([-70, 0, 70]).view(3, 1, 1)
    return torch.where(where.view(-1, 1, 1, 1), (images + shift).clamp(0, 255), images).to(torch.uint8)


PLANTED: dict[str, tuple[Plant, dict[str, str], str]] = {
    "nothing": (lambda x, _: x, {}, ""),
    "bars in one class": (barred, {BORDER: "distorts"}, "'dog'"),
    "bars in half of one class": (lambda x, own: barred(x, some(own, 0.5)), {BORDER: "distorts"}, "'dog' have black"),
    "white bars in half": (lambda x, own: barred(x, some(own, 0.5), 255), {BORDER: "distorts"}, "white bars above and"),
    "a frame in half of one class": (
        lambda x, own: framed(x, some(own, 0.5)),
        {BORDER: "distorts"},
        "have a white frame",
    ),
    "bars in both classes": (lambda x, own: barred(x, torch.ones_like(own)), {}, ""),
    "bars in every third image": (lambda x, own: barred(x, torch.arange(len(own)) % 3 == 0), {}, ""),
    "bars in three images": (lambda x, own: barred(x, some(own, 0.05)), {}, ""),
    "one class darker": (darker, {BRIGHTNESS: "distorts"}, "'cat' from 'dog'"),
    "one class a little darker": (lambda x, own: darker(x, own, 0.9), {}, ""),
    "one class bluer": (bluer, {BRIGHTNESS: "distorts"}, "the amount of"),
    "everything the same": (lambda x, _: torch.full_like(x, 7), {}, ""),
}


@pytest.mark.parametrize("case", PLANTED)
def test_a_property_that_tells_the_label_is_found(case: str) -> None:
    plant, expected, words = PLANTED[case]
    images, labels = photos()
    result = judged(plant(images, labels == 1), labels, NAMES[:2])
    assert severities(result) == expected
    for finding in result.findings:
        assert finding.stage == "data" and words in finding.sentence and "keep it" in finding.advice
    assert {one.id for one in result.media} == set(expected)
    assert "(chance: 50%)" in result.examined and "brightness" in result.examined


def test_gray_images_and_three_classes_are_judged_too() -> None:
    images, labels = photos(3, channels=1)
    (finding,) = judged(darker(images, labels == 2), labels).findings
    assert finding.sentence.startswith("A shortcut: brightness alone recognizes 'eel', with 100% of its images")
    assert finding.evidence[0].startswith("Median of brightness: ") and finding.evidence[0].endswith(".")


def test_two_classes_of_three_can_share_a_mark() -> None:
    images, labels = photos(3)
    (finding,) = judged(barred(images, (labels > 0) & (torch.arange(len(labels)) % 2 == 0)), labels).findings
    assert "of the images of 'dog' and 'eel' have black bars above and below, and 0% of the others" in finding.sentence
    assert finding.evidence[0].endswith("'cat' 0%.")


def test_shapes_on_a_plain_background_are_no_bars() -> None:
    images, labels = digits(600, size=32)
    assert judged(images, labels, tuple("0123456789")).findings == ()
    either = (labels == 1) | (labels == 4)
    assert judged(images[either], (labels[either] == 4).long(), ("one", "four")).findings == ()


@pytest.mark.parametrize(
    ("counts", "judged_at_all"),
    [((3, 3), False), ((2, 0), False), ((200, 0), False), ((200, 29), False), ((30, 30), True), ((90, 40, 2), True)],
)
def test_small_classes_are_not_judged(counts: tuple[int, ...], judged_at_all: bool) -> None:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    images = barred(pictures(len(labels), side=16), labels == 0)
    result = judged(images, labels)
    assert bool(result.findings) is judged_at_all
    assert result.examined.startswith("Skipped: fewer than two classes") is not judged_at_all
    assert str(MIN_PER_CLASS) in result.examined or judged_at_all


def test_groups_with_their_own_light_are_no_shortcut() -> None:
    """Six dark slides of cats and six bright ones of dogs: nothing says that the next slide of a cat is dark."""
    images, labels = photos()
    few = [f"{label} {number // 60}" for number, label in enumerate(labels.tolist())]
    assert not judged(barred(images, some(labels == 1, 0.5)), labels, groups=few).findings
    many = [f"{label} {number // 4}" for number, label in enumerate(labels.tolist())]
    assert judged(barred(images, labels == 1), labels, groups=many).findings


def written(folder: Path, labels: Tensor, size: Sequence[tuple[int, int]], formats: Sequence[str]) -> list[Path]:
    """A file per image; size and format by class."""
    files = []
    for number, label in enumerate(labels.tolist()):
        width, height = size[label]
        files.append(folder / f"{number}.{formats[label]}")
        image = Image.new("RGB", (width + number % 7, height + number % 7), (number, 90, 30))
        image.save(files[-1], **({"quality": 60 + number % 30} if formats[label] == "jpeg" else {}))
    return files


FILE_CASES: dict[str, tuple[list[tuple[int, int]], list[str], str | None, str, str]] = {
    "alike": ([(40, 40), (40, 40)], ["jpeg", "jpeg"], "crop", "", ""),
    "larger": ([(40, 40), (90, 90)], ["jpeg", "jpeg"], "crop", "note", "the size of the original alone tells"),
    "wider": ([(60, 30), (30, 60)], ["png", "png"], "crop", "note", "the aspect ratio of the original alone"),
    "wider, padded": ([(60, 30), (30, 60)], ["png", "png"], "pad", "distorts", "the aspect ratio of the original"),
    "wider, stretched": ([(60, 30), (30, 60)], ["png", "png"], "stretch", "distorts", "the aspect ratio of the"),
    "other format": ([(40, 40), (40, 40)], ["jpeg", "png"], None, "note", "have the format"),
}


@pytest.mark.parametrize("case", FILE_CASES)
def test_size_shape_and_format_of_files_are_read_from_their_headers(case: str, tmp_path: Path) -> None:
    size, formats, fit, severity, words = FILE_CASES[case]
    images, labels = photos()
    result = judged(images, labels, NAMES[:2], files=written(tmp_path, labels, size, formats), fit=fit)
    assert severities(result) == ({FILES: severity} if severity else {})
    assert "the size of the original" in result.examined
    for finding in result.findings:
        assert finding.sentence.startswith("Files tell the label: ") and words in finding.sentence
        assert "etwork sees" in " ".join(finding.evidence) or severity == "distorts"


def test_what_resizing_leaves_of_the_size_makes_it_a_shortcut(tmp_path: Path) -> None:
    images, labels = photos()
    blurred = torch.nn.functional.avg_pool2d(images.float(), 3, 1, 1).to(torch.uint8)
    images = torch.where((labels == 1).view(-1, 1, 1, 1), blurred, images)
    files = written(tmp_path, labels, [(90, 90), (30, 30)], ["png", "png"])
    finding = next(one for one in judged(images, labels, NAMES[:2], files=files).findings if one.id == FILES)
    assert finding.severity == "distorts"
    assert any("The resized images show it, too: sharpness alone" in line for line in finding.evidence)


def test_paths_that_are_no_files_are_only_names(tmp_path: Path) -> None:
    images, labels = photos()
    files = [tmp_path / f"{number}.png" for number in range(len(labels))]
    assert "original" not in judged(images, labels, files=files).examined
    (tmp_path / "0.png").write_bytes(b"no image")
    assert "original" not in judged(images, labels, files=[tmp_path / "0.png"] * len(labels)).examined


def test_the_evidence_is_drawn() -> None:
    images, labels = photos()
    (shown,) = judged(barred(images, some(labels == 1, 0.5)), labels, NAMES[:2]).media
    assert isinstance(shown, Pictures) and shown.columns == 2 and shown.captions == ("dog", "cat") * 4
    assert all((image[0] == 0).all() for image in shown.images[::2])
    (chart,) = judged(darker(images, labels == 0), labels, NAMES[:2]).media
    assert isinstance(chart, Chart) and set(chart.series) == {"cat", "dog"}
    assert all(abs(sum(shares) - 1) < 1e-6 for _, shares in chart.series.values())


def test_only_what_the_center_crop_leaves_counts() -> None:
    images, labels = photos()
    images = barred(images, labels == 1)
    whole = part_of((images, labels))
    assert severities(judge_shortcuts(whole, NAMES[:2])) == {BORDER: "distorts"}
    cropped = Part(images, labels, lambda at: images[at][..., 4:-4, 4:-4].float())
    assert judge_shortcuts(cropped, NAMES[:2]).findings == ()


def test_inputs_that_are_not_finite_do_not_stop_the_check() -> None:
    images, labels = photos()
    inputs = images.float() / 255
    inputs[labels == 1, :, 0] = torch.nan
    assert judge_shortcuts(part_of((inputs, labels)), NAMES[:2]).examined.startswith("Balanced accuracy")
