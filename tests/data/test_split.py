"""Divisions are disjoint, seeded, stratified and of the size asked for, or refused with a way out."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regstudy.data.split import split_groups, split_indices, stratified_subset
from regstudy.errors import DataError

Labels = npt.NDArray[np.int64]


def labels_of(*counts: int, seed: int = 0) -> Labels:
    """Shuffled labels with the given number of each class."""
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int64)


def names(count: int) -> tuple[str, ...]:
    return tuple("abcdefghij"[:count])


def split(
    labels: Labels, validation: float = 0.25, train_limit: int | None = None, seed: int = 0
) -> tuple[Labels, Labels]:
    return split_indices(labels, validation, train_limit, seed, names(int(labels.max()) + 1))


@pytest.mark.parametrize(
    ("total", "validation", "train_limit", "expected"),
    [
        (100, 0.1, None, (90, 10)),
        (100, 0.5, None, (50, 50)),
        (100, 0.99, None, (1, 99)),
        (100, 20, None, (80, 20)),
        (100, 99, None, (1, 99)),
        (100, 0.2, 40, (40, 10)),  # the share is of the images used
        (100, 0.2, 80, (80, 20)),
        (100, 0.2, 90, (80, 20)),  # the limit is an upper bound
        (100, 0.2, 10**6, (80, 20)),
        (100, 0.5, 30, (30, 30)),
        (100, 30, 10, (10, 30)),  # a number stays as it is
        (100, 30, 90, (70, 30)),
    ],
)
def test_sizes_are_those_asked_for(
    total: int, validation: float, train_limit: int | None, expected: tuple[int, int]
) -> None:
    labels = np.zeros(total, dtype=np.int64)
    labels[1::2] = 1
    if min(expected) < 2:
        with pytest.raises(DataError, match="cannot be split into"):
            split(labels, validation, train_limit)
        return
    train, held_out = split(labels, validation, train_limit)
    assert (len(train), len(held_out)) == expected


def test_classes_keep_their_shares_in_both_parts() -> None:
    labels = labels_of(60, 30, 10)
    train, held_out = split(labels, 0.2)
    assert np.bincount(labels[train]).tolist() == [48, 24, 8]
    assert np.bincount(labels[held_out]).tolist() == [12, 6, 2]


def test_classes_keep_their_shares_under_a_limit() -> None:
    labels = labels_of(600, 300, 100)
    train, held_out = split(labels, 0.2, train_limit=80)
    assert np.bincount(labels[train]).tolist() == [48, 24, 8]
    assert np.bincount(labels[held_out]).tolist() == [12, 6, 2]


ANY_COUNTS = st.lists(st.integers(2, 40), min_size=2, max_size=5)
ANY_VALIDATION = st.one_of(st.floats(0.02, 0.98), st.integers(1, 60))


@given(
    counts=ANY_COUNTS,
    validation=ANY_VALIDATION,
    train_limit=st.none() | st.integers(1, 150),
    seed=st.integers(0, 2**63),
)
def test_a_split_is_disjoint_ordered_seeded_and_near_the_shares_of_the_whole(
    counts: list[int], validation: float, train_limit: int | None, seed: int
) -> None:
    labels = labels_of(*counts)
    try:
        train, held_out = split(labels, validation, train_limit, seed)
    except DataError:
        return
    both = np.concatenate([train, held_out])
    assert len(np.unique(both)) == len(both) <= len(labels)
    assert both.min() >= 0 and both.max() < len(labels)
    if train_limit is None:
        assert len(both) == len(labels)
    else:
        assert len(train) <= train_limit
    exact = [np.array(counts) * len(part) / len(labels) for part in (train, held_out)]
    for part, shares in zip((train, held_out), exact, strict=True):
        assert np.all(np.diff(part) > 0)
        if np.min(exact) >= 1:  # else a class is so rare that holding it at all comes first
            assert np.abs(np.bincount(labels[part], minlength=len(counts)) - shares).max() <= 2
    again = split(labels, validation, train_limit, seed)
    assert np.array_equal(again[0], train) and np.array_equal(again[1], held_out)


@given(counts=ANY_COUNTS, validation=ANY_VALIDATION, train_limit=st.none() | st.integers(1, 150))
def test_each_part_holds_every_class_or_the_split_is_refused(
    counts: list[int], validation: float, train_limit: int | None
) -> None:
    labels = labels_of(*counts)
    try:
        parts = split(labels, validation, train_limit)
    except DataError:
        return
    for part in parts:
        assert np.bincount(labels[part], minlength=len(counts)).min() >= 1


def test_a_division_without_groups_stays_what_it_was_so_that_studies_resume() -> None:
    train, held_out = split(labels_of(12, 6, 3), 0.3, 10, seed=4)
    assert train.tolist() == [1, 2, 4, 10, 11, 12, 14, 16, 18, 20]
    assert held_out.tolist() == [0, 3, 13, 15]


def test_another_seed_gives_another_split_of_the_same_shares() -> None:
    labels = labels_of(40, 40)
    (one, _), (other, _) = split(labels, seed=0), split(labels, seed=1)
    assert not np.array_equal(one, other)
    assert np.array_equal(np.bincount(labels[one]), np.bincount(labels[other]))


REFUSED: dict[str, tuple[Labels, dict[str, Any], tuple[str, ...], str]] = {
    "one class": (labels_of(9), {}, ("cat",), "only one class \\('cat'\\)"),
    "one image of a class": (labels_of(9, 1), {}, ("a", "b"), "too few of 'b' \\(1\\)"),
    "no image of a class": (labels_of(9, 9), {}, ("a", "b", "c"), "too few of 'c' \\(0\\)"),
    "validation takes all": (labels_of(9, 9), {"validation": 18}, ("a", "b"), "into 0 for training and 18"),
    "validation takes more": (labels_of(9, 9), {"validation": 50}, ("a", "b"), "into 0 for training and 50"),
    "validation too small": (labels_of(9, 9), {"validation": 0.05}, ("a", "b"), "17 for training and 1 for validation"),
    "limit too small": (labels_of(9, 9), {"train_limit": 1}, ("a", "b"), "into 1 for training"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_divided_is_refused_with_numbers(name: str) -> None:
    labels, changes, classes, words = REFUSED[name]
    settings = {"validation": 0.25, "train_limit": None, "seed": 0, **changes}
    with pytest.raises(DataError, match=words):
        split_indices(labels, classes=classes, **settings)


@given(counts=st.lists(st.integers(0, 30), min_size=1, max_size=5), size=st.integers(0, 160), seed=st.integers(0, 9))
def test_a_subset_has_its_size_and_the_shares_of_the_whole(counts: list[int], size: int, seed: int) -> None:
    labels = labels_of(*counts)
    chosen = stratified_subset(labels, size, seed)
    assert len(chosen) == len(np.unique(chosen)) == min(size, len(labels))
    if len(chosen):
        assert np.all(np.diff(chosen) > 0) and chosen[0] >= 0 and chosen[-1] < len(labels)
        exact = np.array(counts) * len(chosen) / len(labels)
        assert np.abs(np.bincount(labels[chosen], minlength=len(counts)) - exact).max() < 1
    assert np.array_equal(chosen, stratified_subset(labels, size, seed))


def test_the_seed_chooses_the_subset() -> None:
    labels = labels_of(40, 40)
    subsets = {tuple(stratified_subset(labels, 20, seed)) for seed in range(5)}
    assert len(subsets) == 5


def in_groups(labels: Labels, groups: Labels, validation: float = 0.25, seed: int = 0, limit: int | None = None) -> Any:
    return split_groups(labels, groups, validation, limit, seed, names(int(labels.max()) + 1))


@given(
    sizes=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 2)), min_size=12, max_size=60),
    validation=st.sampled_from([0.25, 0.4, 0.5]),
    seed=st.integers(0, 99),
)
def test_no_group_is_torn_and_every_class_is_on_both_sides(
    sizes: list[tuple[int, int]], validation: float, seed: int
) -> None:
    labels = np.concatenate([np.full(size, label) for size, label in [*sizes, *((2, k) for k in (0, 1, 2) * 2)]])
    groups = np.repeat(np.arange(len(sizes) + 6), [*(size for size, _ in sizes), *[2] * 6])
    train, held = in_groups(labels, groups, validation, seed)
    assert sorted([*train, *held]) == list(range(len(labels)))
    assert not set(groups[train]) & set(groups[held])
    assert set(labels[train]) == set(labels[held]) == {0, 1, 2}
    again = in_groups(labels, groups, validation, seed)
    assert np.array_equal(again[0], train) and np.array_equal(again[1], held)


def test_groups_of_one_size_give_the_wanted_sizes_and_shares() -> None:
    labels = np.repeat(np.arange(40) % 4 == 0, 6).astype(np.int64)  # a quarter of the groups is of class 1
    groups = np.repeat(np.arange(40), 6)
    train, held = in_groups(labels, groups)
    assert len(train) + len(held) == 240
    assert len(held) in (54, 60, 66)  # a group is six images
    assert labels[held].mean() == pytest.approx(0.25, abs=0.06)


def test_groups_that_hold_several_classes_are_dealt_out_whole() -> None:
    labels = np.arange(90) % 3
    groups = np.arange(90) // 9
    train, held = in_groups(labels, groups, 0.3)
    assert len(held) == 27
    assert not set(groups[train]) & set(groups[held])


def test_large_groups_are_as_likely_to_be_held_out_as_small_ones_and_seeds_differ() -> None:
    sizes = np.random.default_rng(0).integers(1, 13, 120)
    groups = np.repeat(np.arange(120), sizes)
    held = [np.unique(groups[in_groups(groups % 2, groups, 0.1, seed)[1]]) for seed in range(20)]
    assert np.mean([sizes[chosen].mean() for chosen in held]) == pytest.approx(sizes.mean(), rel=0.15)
    assert np.mean([len(np.intersect1d(one, other)) / len(one) for one, other in pairwise(held)]) < 0.3
    for chosen in held:
        assert sizes[chosen].sum() == pytest.approx(sizes.sum() / 10, rel=0.05)


def test_another_seed_deals_the_groups_otherwise() -> None:
    labels, groups = np.arange(120) % 2, np.arange(120) // 4
    assert len({tuple(in_groups(labels, groups, seed=seed)[1]) for seed in range(5)}) > 1


def test_a_limit_takes_images_away_from_training_only() -> None:
    labels, groups = np.arange(200) % 2, np.arange(200) // 5
    train, held = in_groups(labels, groups, 40, limit=60)
    assert (len(train), len(held)) == (60, 40)
    assert np.bincount(labels[train]).tolist() == [30, 30]
    assert not set(groups[train]) & set(groups[held])


def test_shares_of_many_classes_are_met_to_a_few_percent() -> None:
    off = []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        sizes = generator.integers(1, 30, 200)
        groups, labels = np.repeat(np.arange(200), sizes), np.repeat(generator.integers(0, 5, 200), sizes)
        wanted = np.bincount(labels) * 0.15
        counts = np.bincount(labels[in_groups(labels, groups, 0.15, seed)[1]])
        off.append(np.abs(counts / wanted - 1).mean())
    assert np.mean(off) < 0.02


def test_a_limit_leaves_whole_groups_out_but_for_one_of_each_class() -> None:
    groups = np.arange(600) // 6
    train, held = in_groups(groups % 2, groups, 0.25, limit=100)
    assert (len(train), len(held)) == (100, 36)  # a third of the limit, in groups of six
    counts = np.bincount(groups[train])
    assert (np.isin(counts, (0, 6))).sum() >= len(counts) - 2


@given(
    members=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=2, max_size=12),
    validation=st.sampled_from([0.1, 0.3, 0.5, 3]),
    limit=st.none() | st.integers(3, 40),
    seed=st.integers(0, 9),
)
def test_groups_of_any_kind_are_divided_well_or_refused(
    members: list[list[int]], validation: float, limit: int | None, seed: int
) -> None:
    labels = np.array([label for group in members for label in group] + [0, 1, 2])
    groups = np.repeat(np.arange(len(members) + 1), [*map(len, members), 3])
    try:
        train, held = in_groups(labels, groups, validation, seed, limit)
    except DataError:
        return
    assert not set(groups[train]) & set(groups[held])
    assert set(labels[train]) == set(labels[held]) == {0, 1, 2}
    assert set(held) == set(np.flatnonzero(np.isin(groups, groups[held])))  # all of each group
    assert len(train) <= (limit or len(labels)) and (limit is not None or len(train) + len(held) == len(labels))


def test_a_class_in_a_large_and_a_small_group_validates_with_the_small_one() -> None:
    sizes = [200, 12, *[10] * 30]
    groups, labels = np.repeat(np.arange(32), sizes), np.repeat([0, 0, *[1] * 30], sizes)
    for seed in range(10):
        held = in_groups(labels, groups, 0.1, seed)[1]
        assert np.bincount(labels[held]).tolist() == [12, 30]


def test_many_groups_of_one_image_are_divided_as_if_there_were_none() -> None:
    labels = labels_of(900, 90, 10)
    train, held = in_groups(labels, np.arange(1000), 0.2)
    assert np.bincount(labels[held]).tolist() == [180, 18, 2] and len(train) == 800


def test_groups_that_cannot_be_divided_are_refused() -> None:
    """Three classes in three groups of two classes each: some side always lacks one."""
    with pytest.raises(DataError, match="no split was found"):
        in_groups(np.array([0, 1, 1, 2, 2, 0]), np.array([0, 0, 1, 1, 2, 2]), 0.5)


@pytest.mark.parametrize(
    ("labels", "groups", "said"),
    [
        ([0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0], "makes 1 group of 6"),
        ([0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 3, 3], "All images of 'b' are in one group"),
    ],
)
def test_a_class_in_a_single_group_is_refused(labels: list[int], groups: list[int], said: str) -> None:
    with pytest.raises(DataError, match=said):
        in_groups(np.array(labels), np.array(groups), 0.4)


def test_three_images_of_a_class_and_a_tenth_for_validation_leave_one_there() -> None:
    labels = labels_of(97, 3)
    train, held = split(labels, 0.1)
    assert np.bincount(labels[train]).tolist() == [88, 2]
    assert np.bincount(labels[held]).tolist() == [9, 1]
