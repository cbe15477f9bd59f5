"""Counts of confidence from logits and the Brier score are scikit-learn's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from tiny import CPU, make_config, make_splits
from torch import Tensor

from regstudy.analysis.calibration import calibration, reliability_curve
from regstudy.records import Reliability, dump_reliability, parse_reliability
from regstudy.training.checkpoint import Checkpoint
from regstudy.training.confidence import CONFIDENCE_BINS, brier_sum, confidence_table, reliability
from regstudy.training.evaluation import evaluate, measure
from regstudy.training.loop import run_epoch
from regstudy.training.run import run
from regstudy.training.train_state import start


def counted(probabilities: Tensor, labels: Tensor) -> Reliability:
    table, brier = confidence_table(probabilities, labels), brier_sum(probabilities, labels)
    return reliability(table, float(brier) / len(labels))


@st.composite
def answers(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Probabilities N×C of few distinct values, so that some lie on the ends of intervals, and labels N."""
    classes, many = draw(st.integers(2, 6)), draw(st.integers(1, 40))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    if draw(st.booleans()):  # fifteenths: every confidence is the end of an interval
        parts = torch.full((classes,), 1.0).multinomial(15 * many, replacement=True, generator=generator)
        shares = torch.stack([row.bincount(minlength=classes) for row in parts.view(many, 15)]).double() / 15
    else:
        shares = (3 * torch.randn(many, classes, generator=generator)).double().softmax(1)
    return shares, torch.randint(0, classes, (many,), generator=generator)


@given(answers())
def test_the_curve_is_scikit_learns(given: tuple[Tensor, Tensor]) -> None:
    probabilities, labels = given
    confidence, predicted = probabilities.max(1)
    accuracy, mean = calibration_curve(
        (predicted == labels).numpy(), confidence.numpy(), n_bins=CONFIDENCE_BINS, strategy="uniform"
    )
    found = counted(probabilities, labels)
    curve = reliability_curve(found)
    assert [point[0] for point in curve] == pytest.approx(mean)
    assert [point[1] for point in curve] == pytest.approx(accuracy)
    assert sum(found.images) == len(labels)
    weights = np.array([point[2] for point in curve]) / len(labels)
    assert calibration(found).ece == pytest.approx(float((weights * np.abs(accuracy - mean)).sum()))


@given(answers())
def test_the_brier_score_is_scikit_learns(given: tuple[Tensor, Tensor]) -> None:
    probabilities, labels = given
    classes = list(range(probabilities.shape[1]))
    wanted = brier_score_loss(
        labels.numpy() if len(classes) > 2 else (labels == 1).numpy(),
        probabilities.numpy() if len(classes) > 2 else probabilities[:, 1].numpy(),
        **({"labels": classes} if len(classes) > 2 else {}),
    )
    assert counted(probabilities, labels).brier == pytest.approx(wanted, abs=1e-9)


def test_a_pass_over_images_counts_every_image_once_and_in_one_piece_or_in_batches() -> None:
    config, splits = make_config(), make_splits(24, 1100)
    state = start(config, splits, CPU)
    found = measure(state.model, splits.validation, state.preprocessing)
    with torch.inference_mode():
        logits = state.model(state.preprocessing(splits.validation.images))
    alone = counted(logits.double().softmax(1), splits.validation.labels)
    assert found.reliability.images == alone.images and found.reliability.right == alone.right
    assert found.reliability.confidence == pytest.approx(alone.confidence, rel=1e-5)
    assert sum(alone.right) / 1100 == pytest.approx(found.accuracy)
    assert found.reliability.brier == pytest.approx(alone.brier, rel=1e-5)


def test_a_run_keeps_the_counts_of_its_best_epoch() -> None:
    trained = run(make_config({"training.epochs": 4}), make_splits(learnable=True), CPU)
    state = trained.state
    state.model.load_state_dict(trained.weights)
    kept = state.best_reliability
    assert kept is not None
    assert kept == measure(state.model, state.splits.validation, state.preprocessing).reliability
    best = trained.result.records[trained.result.best_epoch - 1]
    assert sum(kept.right) / sum(kept.images) == pytest.approx(best.val_accuracy)
    assert evaluate(state.model, state.splits.validation, state.preprocessing)[1] == best.val_accuracy


def test_counts_survive_writing_and_reading() -> None:
    found = counted(torch.eye(3).double(), torch.tensor([0, 1, 1]))
    assert parse_reliability(dump_reliability(found)) == found


@pytest.mark.parametrize("old", [False, True])
def test_a_checkpoint_keeps_the_counts_and_one_of_an_earlier_version_has_none(old: bool, tmp_path: Path) -> None:
    config, splits = make_config(), make_splits()
    state, other = (start(config, splits, CPU) for _ in range(2))
    state.best_reliability = counted(torch.eye(3).double(), torch.tensor([0, 1, 1]))
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt")
    run_epoch(state)
    if old:
        state.best_reliability = None
    checkpoint.save(state, state.measured_weights())
    assert checkpoint.load(other) is not None
    assert other.best_reliability == state.best_reliability
    written = state.state_dict()
    del written["best_reliability"]
    other.load_state_dict(written)
    assert other.best_reliability is None
