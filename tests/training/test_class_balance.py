"""Balancing: every class counts alike, in training only."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import CPU, make_config, make_splits
from torch import Generator
from torch.nn.functional import cross_entropy

from regstudy.data.image_set import ImageSet, Splits
from regstudy.training.class_balance import balanced_order, class_weights
from regstudy.training.loop import run_epoch, shuffled_batches
from regstudy.training.train_state import start


def test_weights_are_inverse_to_the_classes_and_the_mean_image_has_weight_one() -> None:
    labels = torch.tensor([0] * 6 + [1] * 2)
    weights = class_weights(labels, 2)
    torch.testing.assert_close(weights, torch.tensor([8 / 12, 8 / 4]))
    assert abs(weights[labels].mean() - 1) < 1e-6


@settings(max_examples=30)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.integers(0, 99))
def test_every_class_comes_equally_often_and_no_image_twice_before_all_of_its_class(
    counts: list[int], seed: int
) -> None:
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    order = balanced_order(labels, len(counts), Generator().manual_seed(seed))
    assert len(order) == len(labels)
    drawn = torch.bincount(labels[order], minlength=len(counts))
    assert drawn.max() - drawn.min() <= 1
    for label in range(len(counts)):
        times = torch.bincount(order[labels[order] == label], minlength=len(labels))[labels == label]
        assert times.max() - times.min() <= 1


def unequal() -> Splits:
    splits = make_splits(train=24)
    keep = torch.cat([(splits.train.labels == 0).nonzero()[:8, 0], (splits.train.labels == 1).nonzero()[:2, 0]])
    train = splits.train.subset(keep)
    train = ImageSet(train.images, train.labels, ("a", "b"))
    held = ImageSet(splits.validation.images, splits.validation.labels.clamp(max=1), ("a", "b"))
    return Splits(train, train, held, "unequal", 0)


def test_oversampling_shows_the_rare_class_as_often_as_the_frequent_one() -> None:
    state = start(make_config({"training.balance": "oversample"}), unequal(), CPU)
    shown = torch.cat(list(shuffled_batches(state)))
    assert torch.bincount(state.splits.train.labels[shown]).tolist() == [5, 5]


def test_weights_change_the_training_loss_and_leave_the_measures_of_validation_alone() -> None:
    changes = {"training.batch_size": 10, "training.epochs": 1, "optimizer.lr": 1e-9}
    weighted = start(make_config({**changes, "training.balance": "weights"}), unequal(), CPU)
    plain = start(make_config(changes), unequal(), CPU)
    one, other = run_epoch(weighted), run_epoch(plain)
    assert abs(one.val_loss - other.val_loss) < 1e-5
    train = weighted.splits.train
    fresh = start(make_config(changes), unequal(), CPU)
    fresh.model.train()
    indices = torch.cat(list(shuffled_batches(fresh)))
    logits = fresh.model(fresh.preprocessing(train.images[indices]))
    expected = cross_entropy(logits, train.labels[indices], weight=class_weights(train.labels, 2))
    assert abs(one.train_loss - expected.item()) < 1e-5
    assert abs(one.train_loss - other.train_loss) > 1e-3
