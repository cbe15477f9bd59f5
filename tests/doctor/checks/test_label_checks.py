"""Labels: shuffled, shifted, exchanged or unrelated ones are told from each other, and sound ones from all of them."""

from __future__ import annotations

import sys

import pytest
import torch
from planted import NAMES, digits, pictures, scores, seeded, severities, shuffled, similarities
from torch import Tensor

from regstudy.doctor.checks.label_checks import (
    FILE_SHIFTS,
    exchanged,
    misaligned,
    partly_unrelated,
    shifted,
    suspected,
    unrelated,
    upper_limit,
    wrong,
)
from regstudy.doctor.checks.simple_model import features, kernel, out_of_fold, predicted
from regstudy.doctor.findings import Pictures

COUNT = 800
IMAGES, LABELS = digits(COUNT)


def neighbours(labels: Tensor) -> dict[int, Tensor]:
    return {shift: labels.roll(-shift) for shift in FILE_SHIFTS}


def moved(share: float, by: int = 1) -> Tensor:
    """From some place on, each image has the label of one that comes later in the file."""
    labels = LABELS.clone()
    start = round((1 - share) * COUNT)
    labels[start:] = LABELS[start:].roll(-by)
    return labels


def judged(labels: Tensor) -> dict[str, str]:
    """What all checks of one part say of labels of the digits."""
    found, names = scores(labels), NAMES
    results = [
        unrelated(found, labels, 10),
        wrong(found, labels, IMAGES, names),
        misaligned(found, labels, neighbours(labels)),
        partly_unrelated(found, labels),
    ]
    return {name: severity for result in results for name, severity in severities(result).items()}


def test_sound_labels_pass_all_checks() -> None:
    assert judged(LABELS) == {}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (shuffled(LABELS, 0.35), {"labels-wrong"}),
        (shuffled(LABELS, 0.6), {"labels-wrong"}),
        (shuffled(LABELS, 1.0), {"labels-unrelated"}),
        (moved(0.5), {"labels-misaligned", "labels-wrong"}),
    ],
    ids=["a third shuffled", "most shuffled", "all shuffled", "half shifted"],
)
def test_wrong_labels_are_found(labels: Tensor, expected: set[str]) -> None:
    found = judged(labels)
    assert found and found.keys() <= expected | {"labels-unrelated"} and expected & found.keys() == expected
    assert set(found.values()) & {"blocks", "distorts"}


# Unrelated


def test_labels_that_say_nothing_block() -> None:
    labels = shuffled(LABELS, 1.0)
    assert severities(unrelated(scores(labels), labels, 10)) == {"labels-unrelated": "blocks"}


def test_images_that_say_nothing_are_as_bad() -> None:
    labels = LABELS[:400]
    images = torch.randint(0, 256, (400, 1, 16, 16), generator=seeded()).to(torch.uint8)
    result = unrelated(out_of_fold(kernel(features(images)), labels, 10), labels, 10)
    assert severities(result) == {"labels-unrelated": "blocks"}


def test_always_naming_the_largest_class_is_no_better_than_guessing() -> None:
    labels = (torch.arange(400) % 10 == 0).long()  # nine of ten are of one class
    images = pictures(400, side=16)
    result = unrelated(out_of_fold(kernel(features(images)), labels, 2), labels, 2)
    assert "labels-unrelated" in severities(result)


def test_a_rare_class_that_can_be_seen_is_no_fault() -> None:
    kept = (LABELS == 1) | ((LABELS == 0) & (torch.arange(COUNT) % 4 == 0)) | (LABELS == 7)
    labels = (LABELS[kept] == 0).long()
    found = out_of_fold(similarities(COUNT)[kept][:, kept], labels, 2)
    assert len(labels) >= 150 and not unrelated(found, labels, 2).findings


@pytest.mark.parametrize("count", [20, 149])
def test_of_few_images_nothing_is_said(count: int) -> None:
    labels = shuffled(LABELS[:count], 1.0)
    found = scores(labels)
    for result in (
        unrelated(found, labels, 10),
        wrong(found, labels, IMAGES, NAMES),
        partly_unrelated(found, labels),
    ):
        assert not result.findings and "too few" in result.examined


@pytest.mark.parametrize("share", [0.7, 0.9])
def test_a_large_part_of_noise_is_noticed(share: float) -> None:
    images = IMAGES.clone()
    empty = torch.randperm(COUNT, generator=seeded())[: round(share * COUNT)]
    images[empty] = torch.randint(0, 256, (len(empty), 1, 16, 16), generator=seeded(1)).to(torch.uint8)
    found = out_of_fold(kernel(features(images)), LABELS, 10)
    assert severities(partly_unrelated(found, LABELS)) == {"labels-unrelated": "distorts"}


# Wrong


@pytest.mark.parametrize(
    ("count", "known", "expected"),
    [
        (200, 0.2, "note"),  # as a hard task with few images looks, whose labels are right
        (999, 0.2, "note"),
        (1000, 0.2, "blocks"),
        (200, 0.5, "distorts"),  # the classifier has learned the task, and yet contradicts many labels
    ],
)
def test_labels_of_few_images_of_a_hard_task_are_not_called_wrong(count: int, known: float, expected: str) -> None:
    labels = torch.arange(count) % 4
    answers = torch.where(torch.arange(count) % 100 < 100 * (0.25 + 0.75 * known), labels, (labels + 1) % 4)
    found = torch.nn.functional.one_hot(answers, 4).float() * (0.3 + torch.rand(count, 1, generator=seeded()))
    result = wrong(found, labels, torch.zeros(count, 1, 4, 4, dtype=torch.uint8), NAMES)
    assert severities(result) == {"labels-wrong": expected}
    assert ("too few to tell" in result.findings[0].sentence) is (expected == "note")


def test_suspects_are_named_and_shown() -> None:
    labels, names = shuffled(LABELS, 0.5), tuple(f"digit {n}" for n in range(10))
    files = tuple(f"{at}.png" for at in range(COUNT))
    result = wrong(scores(labels), labels, IMAGES, names, files)
    (shown,) = result.media
    assert isinstance(shown, Pictures) and 0 < len(shown.images) == len(shown.captions)
    for caption in shown.captions:
        at, label = int(caption.split(".png")[0]), caption.split("labeled digit ")[1][0]
        looks = caption[-1]
        assert int(label) == int(labels[at]) != int(LABELS[at]) == int(looks)
    assert set(shown.captions[:3]) <= set(result.findings[0].evidence)


@pytest.mark.parametrize("count", [1, 5, 20])
def test_the_most_doubtful_labels_come_first(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)  # the simple way
    labels = LABELS.clone()
    planted = torch.arange(count) * 17
    labels[planted] = (labels[planted] + 5) % 10
    found = suspected(scores(labels), labels)
    assert len(set(found[:count]) & set(planted.tolist())) >= 0.8 * count
    assert len(found) < count + 0.1 * COUNT


@pytest.mark.parametrize(("right", "of", "limit"), [(10, 10, 1.0), (0, 10, 0.3085), (5, 10, 0.8129), (90, 100, 0.9510)])
def test_the_upper_limit_is_that_of_clopper_and_pearson(right: int, of: int, limit: float) -> None:
    assert upper_limit(right, of) == pytest.approx(limit, abs=1e-4)


# Misaligned


@pytest.mark.parametrize("by", FILE_SHIFTS)
def test_labels_of_neighbours_are_found_with_their_direction(by: int) -> None:
    labels = moved(0.5, by)
    result = misaligned(scores(labels), labels, neighbours(labels))
    assert severities(result) == {"labels-misaligned": "blocks"}
    assert (
        f"{abs(by)} position{'s' * (abs(by) > 1)} {'after' if by > 0 else 'before'} them in the file"
        in result.findings[0].sentence
    )


@pytest.mark.parametrize("labels", [LABELS, shuffled(LABELS, 0.5), shuffled(LABELS, 1.0)], ids=["sound", "half", "all"])
def test_other_faults_are_not_taken_for_a_shift(labels: Tensor) -> None:
    assert not misaligned(scores(labels), labels, neighbours(labels)).findings
    assert not shifted(similarities(COUNT), {2: shuffled(labels, 1.0, 5)}, 10).findings


def test_a_shift_of_all_labels_is_found_by_those_of_neighbours() -> None:
    labels = moved(1.0)
    assert severities(unrelated(scores(labels), labels, 10)) == {"labels-unrelated": "blocks"}
    assert severities(shifted(similarities(COUNT), neighbours(labels), 10)) == {"labels-misaligned": "blocks"}
    noise = shuffled(LABELS, 1.0)
    assert not shifted(similarities(COUNT), neighbours(noise), 10).findings


def test_two_classes_need_no_third_to_show_a_shift() -> None:
    shown = (torch.rand(600, generator=seeded()) < 0.3).cumsum(0) % 2  # the classes come in short runs
    similar = kernel(features((pictures(600, side=16) // 2 + 90 * shown.view(-1, 1, 1, 1)).to(torch.uint8)))
    for labels, expected in (
        (shown, {}),
        (shuffled(shown, 0.5), {}),
        (torch.cat([shown[:120], shown[120:].roll(-1)]), {"labels-misaligned": "blocks"}),
    ):
        assert severities(misaligned(out_of_fold(similar, labels, 2), labels, neighbours(labels))) == expected


# Exchanged


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        (list(range(10)), False),
        ([1, 0, *range(2, 10)], True),
        ([0, 1, 5, 2, 3, 4, 6, 7, 8, 9], True),
        ([9, 8, 7, 6, 5, 4, 3, 2, 1, 0], True),
    ],
    ids=["alike", "two", "as sorted otherwise", "all"],
)
def test_classes_with_other_numbers_in_validation(numbers: list[int], found: bool) -> None:
    known, asked = torch.arange(600), torch.arange(600, COUNT)
    answers = predicted(similarities(COUNT), LABELS, 10, known, asked)
    result = exchanged(answers, torch.tensor(numbers)[LABELS[asked]], 0.95, NAMES)
    assert severities(result) == ({"classes-exchanged": "blocks"} if found else {})


def test_two_exchanged_classes_are_named() -> None:
    asked = torch.arange(600, COUNT)
    answers = predicted(similarities(COUNT), LABELS, 10, torch.arange(600), asked)
    result = exchanged(answers, torch.tensor([1, 0, *range(2, 10)])[LABELS[asked]], 0.95, NAMES)
    assert "validation 0 = training 1, validation 1 = training 0" in result.findings[0].evidence[1]


def test_a_poor_classifier_exchanges_nothing() -> None:
    labels = shuffled(LABELS, 1.0)
    asked = torch.arange(600, COUNT)
    answers = predicted(similarities(COUNT), labels, 10, torch.arange(600), asked)
    assert not exchanged(answers, labels[asked], 0.1, NAMES).findings
