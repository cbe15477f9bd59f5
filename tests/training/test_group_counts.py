"""Right answers per group at the best epoch: counted, kept over a resume, stored compactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import CPU, make_config, make_splits

from regstudy.data.image_set import Splits
from regstudy.records import GroupCounts, Tally, dump_groups, parse_groups
from regstudy.training.checkpoint import Checkpoint
from regstudy.training.evaluation import measure
from regstudy.training.run import run
from regstudy.training.train_state import start


def grouped_splits(size: int = 5) -> Splits:
    """Groups of so many images in a row, numbered from 7."""
    splits = make_splits(30, 20, learnable=True)
    train, validation = (
        replace(part, groups=7 + torch.arange(len(part)) // size) for part in (splits.train, splits.validation)
    )
    return replace(splits, train=train, clean_train=train.subset(torch.arange(20)), validation=validation)


def test_the_counts_are_those_of_the_predictions() -> None:
    splits = grouped_splits()
    state = start(make_config(), splits, CPU)
    found = measure(state.model, splits.validation, state.preprocessing).groups
    assert found is not None
    predicted = state.model.eval()(state.preprocessing(splits.validation.images)).argmax(1)
    for group, label, images, right in found.tolist():
        mine = (splits.validation.groups == group + 7) & (splits.validation.labels == label)
        assert images == mine.sum() > 0
        assert right == (mine & (predicted == label)).sum()
    assert found[:, 2].sum() == 20


def test_without_groups_nothing_is_counted() -> None:
    assert run(make_config(), make_splits(), CPU).groups == {}


def test_a_run_keeps_the_counts_of_its_best_epoch() -> None:
    trained = run(make_config({"training.epochs": 4}), grouped_splits(), CPU)
    best = trained.result.records[trained.result.best_epoch - 1]
    for part, accuracy in (("train", best.clean_train_accuracy), ("validation", best.val_accuracy)):
        counts = trained.groups[part]
        assert sum(counts.right) / sum(counts.images) == pytest.approx(accuracy)
        assert sorted(set(counts.groups)) == [0, 1, 2, 3]
        matrix = trained.confusions[part]
        for label in range(3):
            assert (
                sum(n for n, own in zip(counts.right, counts.classes, strict=True) if own == label)
                == matrix[label][label]
            )


def test_a_checkpoint_keeps_them(tmp_path: Path) -> None:
    config, splits = make_config({"training.epochs": 2}), grouped_splits()
    trained = run(config, splits, CPU)
    checkpoint = Checkpoint(tmp_path / "run.pt")
    checkpoint.save(trained.state, trained.weights)
    fresh = start(config, splits, CPU)
    fresh.whole = trained.state.whole
    assert checkpoint.load(fresh) is not None
    assert {part: counts.tolist() for part, counts in fresh.best_groups.items()} == {
        part: counts.tolist() for part, counts in trained.state.best_groups.items()
    }


def test_writer_and_parser_agree() -> None:
    counts = GroupCounts([0, 0, 1], [0, 1, 1], [3, 2, 5], [3, 0, 4])
    assert parse_groups(dump_groups({"validation": counts})) == {"validation": counts}
    assert counts.tally() == Tally([5, 5], [3, 4], [1, 1])
    assert counts.tally(1) == Tally([2, 5], [0, 4], [1, 1])


def test_very_many_groups_are_tallied() -> None:
    many = GroupCounts(list(range(5000)), [0] * 5000, [1] * 5000, [1, 0] * 2500)
    stored = dump_groups({"validation": many})
    assert stored == {"validation": {"images": [1, 1], "right": [0, 1], "times": [2500, 2500]}}
    assert parse_groups(stored) == {"validation": Tally([1, 1], [0, 1], [2500, 2500])}
