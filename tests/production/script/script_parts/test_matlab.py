"""The reader of SVHN's files against scipy's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import loadmat, savemat

from regstudy.data.svhn import read_mat
from regstudy.production.script.script_parts.matlab import read_matlab, read_svhn


@pytest.mark.parametrize("compressed", [True, False])
def test_it_reads_what_scipy_writes(compressed: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    written = {
        "X": rng.integers(0, 256, (32, 32, 3, 5)).astype(np.uint8),
        "y": np.arange(1, 6).reshape(-1, 1).astype(np.uint8),
        "long_name_of_a_matrix": rng.random((3, 4)),
        "few": np.array([[1, 2, 3]], dtype=np.int16),
    }
    savemat(tmp_path / "x.mat", written, do_compression=compressed)
    found, expected = read_matlab((tmp_path / "x.mat").read_bytes()), loadmat(tmp_path / "x.mat")
    for name in written:
        assert np.array_equal(found[name], expected[name]), name


def test_images_and_labels_are_those_of_regstudy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (32, 32, 3, 12)).astype(np.uint8)
    path = tmp_path / "train_32x32.mat"
    savemat(path, {"X": images, "y": np.arange(1, 11).repeat(2)[:12].reshape(-1, 1)}, do_compression=True)
    ours, (pixels, labels) = read_mat(path), read_svhn("train", tmp_path)
    assert torch.equal(pixels, ours.images)
    assert torch.equal(labels, ours.labels)
