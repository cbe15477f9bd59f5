"""The classes of a split: on both sides, in like shares and numbers."""

from __future__ import annotations

import pytest
import torch
from planted import severities
from torch import Tensor

from regstudy.doctor.checks.class_counts import Balance, class_counts
from regstudy.doctor.findings import Chart


def labels(*counts: int) -> Tensor:
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, str]]] = {
    "sound": ((100, 100, 100), (30, 30, 30), {}),
    "a little uneven by chance": ((104, 97, 99), (27, 33, 30), {}),
    "missing in validation": ((100, 100, 100), (40, 40, 0), {"class-missing": "blocks", "class-shares": "distorts"}),
    "missing in training": ((100, 100, 0), (40, 40, 40), {"class-missing": "blocks", "class-shares": "distorts"}),
    "nowhere": ((100, 100, 0), (40, 40, 0), {}),
    "cut in two": ((200, 200, 0, 0), (0, 0, 100, 100), {"class-missing": "blocks", "class-shares": "distorts"}),
    "twice as many": ((400, 200), (80, 40), {"imbalance": "note"}),
    "ten times as many": ((1000, 100), (200, 20), {"imbalance": "distorts"}),
    "other shares": ((300, 300), (90, 30), {"class-shares": "distorts"}),
    "far too few": ((3, 3, 3), (30, 30, 30), {"few-per-class": "blocks"}),
    "too few": ((10, 10, 10), (30, 30, 30), {"few-per-class": "distorts"}),
    "few to validate": ((100, 100), (10, 10), {"few-to-validate": "distorts"}),
}


@pytest.mark.parametrize("case", CASES)
def test_what_class_counts_say(case: str) -> None:
    train, validation, expected = CASES[case]
    names = [f"class {n}" for n in range(len(train))]
    result = class_counts(labels(*train), labels(*validation), names)
    assert severities(result) == expected
    assert all(finding.stage == "split" for finding in result.findings)
    (chart,) = result.media
    assert isinstance(chart, Chart) and chart.kind == "bars"
    assert chart.series == {"training": (tuple(names), train), "validation": (tuple(names), validation)}


def test_the_missing_classes_and_their_side_are_named() -> None:
    finding = class_counts(labels(50, 50, 0), labels(40, 0, 40), ["cat", "dog", "eel"]).findings[0]
    assert finding.evidence == (
        "Missing from the training part: eel (1 of 3 classes).",
        "Missing from the validation part: dog (1 of 3 classes).",
    )


@pytest.mark.parametrize(
    ("balance", "severity", "changes"),
    [
        ("none", "distorts", {"training.balance": "weights"}),
        ("set", "note", {}),
        ("searched", "note", {}),
    ],
)
def test_unequal_classes_always_get_a_word(balance: Balance, severity: str, changes: dict[str, str]) -> None:
    result = class_counts(labels(1200, 100), labels(190, 10), ["cat", "dog"], balance)  # validation: 95 %
    assert severities(result) == {"imbalance": severity}
    finding = result.findings[0]
    assert finding.sentence == "Classes are imbalanced: cat has 12.0 times as many training images as dog."
    assert dict(finding.changes) == changes
    assert "Always predicting cat gives 95.0% validation accuracy" in finding.evidence[0]
    assert "Compare every validation accuracy with 95.0%" in finding.advice and "training.balance" in finding.advice


@pytest.mark.parametrize(("decides", "told"), [("val_accuracy", True), ("val_balanced_accuracy", False)])
def test_unequal_classes_recall_the_metric_that_counts_them_equally(decides: str, told: bool) -> None:
    finding = class_counts(labels(900, 100), labels(90, 10), ["cat", "dog"], "none", decides).findings[0]
    assert ("`study.metric: balanced_accuracy`" in finding.advice) is told
