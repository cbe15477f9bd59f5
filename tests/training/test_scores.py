"""Metrics from logits are scikit-learn's, ties included, and NaN where they are undefined."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk
from torch import Tensor

from regstudy.metrics import METRICS, Metric, metric, stored_name
from regstudy.training.scores import auroc, average_precision, confusion, extra_scores

EXACT = 1e-6
NAMES = ("balanced_accuracy", "macro_f1", "worst_class_recall", "auroc")


@st.composite
def answers(draw: st.DrawFn, classes: int | None = None) -> tuple[Tensor, Tensor]:
    """Logits N×C of few distinct values, so that ties are common, and labels N."""
    several = classes or draw(st.integers(2, 6))
    many = draw(st.integers(2, 40))
    seed, levels = draw(st.integers(0, 2**16)), draw(st.sampled_from([2, 3, 7, 10_000]))
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randint(0, levels, (many, several), generator=generator) * (3.0 / levels)
    return logits, torch.randint(0, several, (many,), generator=generator)


def found(names: tuple[str, ...], logits: Tensor, labels: Tensor, positive: int = 1) -> dict[str, float]:
    counts = confusion(logits.argmax(1), labels, logits.shape[1])
    return dict(zip(names, extra_scores(names, counts, logits, labels, positive).tolist(), strict=True))


@given(answers())
def test_metrics_of_predicted_classes_are_scikit_learns(given: tuple[Tensor, Tensor]) -> None:
    logits, labels = given
    predicted, present = logits.argmax(1).numpy(), np.unique(labels)
    seen = found(NAMES, logits, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about classes that are predicted but have no images
        balanced = sk.balanced_accuracy_score(labels, predicted)
    recalls = sk.recall_score(labels, predicted, labels=present, average=None, zero_division=0)
    assert abs(seen["balanced_accuracy"] - balanced) < EXACT
    assert abs(seen["worst_class_recall"] - recalls.min()) < EXACT
    f1 = sk.f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
    assert abs(seen["macro_f1"] - f1) < EXACT


@given(answers())
def test_auroc_is_scikit_learns_against_the_rest(given: tuple[Tensor, Tensor]) -> None:
    logits, labels = given
    probabilities, classes = logits.double().softmax(1), logits.shape[1]
    columns = [1] if classes == 2 else range(classes)
    defined = [c for c in columns if 0 < int((labels == c).sum()) < len(labels)]
    areas = [sk.roc_auc_score(labels == c, probabilities[:, c]) for c in defined]
    value = float(auroc(probabilities, labels))
    assert math.isnan(value) if not areas else abs(value - np.mean(areas)) < EXACT


@given(answers(2), st.sampled_from([0, 1]))
def test_average_precision_is_scikit_learns(given: tuple[Tensor, Tensor], positive: int) -> None:
    logits, labels = given
    value = found(("average_precision",), logits, labels, positive)["average_precision"]
    if not (labels == positive).any():
        assert math.isnan(value)
        return
    probabilities = logits.double().softmax(1)[:, positive]
    assert abs(value - sk.average_precision_score(labels == positive, probabilities)) < EXACT


def test_saturated_probabilities_are_still_ranked() -> None:
    logits = torch.tensor([[0.0, 30.0], [0.0, 31.0], [0.0, 29.0]])
    assert float(average_precision(logits.double().softmax(1)[:, 1], torch.tensor([False, True, False]))) == 1.0
    assert found(("auroc",), logits, torch.tensor([0, 1, 0]))["auroc"] == 1.0


@pytest.mark.parametrize("shares", [(0.9, 0.1), (0.5, 0.5), (0.2, 0.5, 0.3), (0.25, 0.25, 0.25, 0.25)])
@pytest.mark.parametrize("wanted", METRICS.values(), ids=lambda found: found.name)
def test_the_constant_answer_is_the_best_of_all_that_ignore_the_images(
    wanted: Metric, shares: tuple[float, ...]
) -> None:
    if wanted.binary and len(shares) > 2:
        return
    counts = [round(200 * share) for share in shares]
    labels = torch.repeat_interleave(torch.arange(len(shares)), torch.tensor(counts))
    scored = []
    for row in [*torch.eye(len(shares)) * 5, torch.tensor(shares).log()]:
        logits = row.repeat(len(labels), 1)
        if wanted.name == "loss":
            scored.append(-float(torch.nn.functional.cross_entropy(logits.double(), labels)))
        elif wanted.name == "accuracy":
            scored.append(float((logits.argmax(1) == labels).double().mean()))
        else:
            scored.append(found((wanted.name,), logits, labels, 1)[wanted.name])
    best = max(scored) if wanted.maximize else -max(scored)
    assert wanted.constant(shares, 1) == pytest.approx(best, abs=EXACT)


def test_names_and_gaps() -> None:
    assert stored_name("auroc") == "val_auroc" and stored_name("val_auroc") == "val_auroc" and stored_name(3) == 3
    assert metric("val_loss") is metric("clean_train_loss") is METRICS["loss"]
    assert METRICS["accuracy"].gap(0.9, 0.7) == pytest.approx(0.2) and METRICS["loss"].gap(0.5, 0.8) == pytest.approx(
        0.3
    )
    assert METRICS["loss"].better(0.1, 0.2) and not METRICS["loss"].better(math.nan, 0.2)
    with pytest.raises(KeyError):
        metric("kappa")
