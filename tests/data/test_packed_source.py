"""Images as plain arrays that other processes map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from tiny import make_splits

from regstudy.config.schema import Data
from regstudy.data.packed_source import pack, unpack
from regstudy.data.pool import Pool


def test_splits_come_back_without_a_copy_even_from_arrays_that_cannot_be_written() -> None:
    splits = make_splits()
    packed = pack(splits)
    assert len(packed.content) < 5000  # pixels are not in the pickle
    assert np.shares_memory(packed.arrays[0], splits.train.images.numpy())
    for array in packed.arrays:
        array.flags.writeable = False
    again = unpack(packed)
    assert again.at(0).hash == splits.hash
    assert np.shares_memory(again.at(0).train.images.numpy(), packed.arrays[0])


def test_a_tensor_that_is_used_twice_is_sent_once() -> None:
    splits = make_splits()
    twice = replace(splits, clean_train=splits.train)
    assert len(pack(twice).arrays) == len(pack(splits).arrays) - 2
    assert pack(twice).nbytes == sum(t.nbytes for part in (twice.train, twice.validation) for t in part.tensors)


def test_a_pool_splits_alike_afterwards() -> None:
    images = make_splits(train=60, learnable=True).train
    pool = Pool(Data(name="digits", validation=20), images)
    again = unpack(pack(pool))
    assert [again.at(seed).hash for seed in (0, 1)] == [pool.at(seed).hash for seed in (0, 1)]
    assert torch.equal(again.at(1).validation.labels, pool.at(1).validation.labels)
