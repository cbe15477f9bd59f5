"""Images that every node reads itself are those of the study, or the node is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from regstudy import data
from regstudy.config.schema import Data
from regstudy.data.file_rule import LATEST_RULE
from regstudy.data.pool import load_pool
from regstudy.errors import StudyError
from regstudy.search.node_images import OnNodes

DIGITS = Data(name="digits", train_limit=40, validation=40, split_seed=3)


@pytest.mark.parametrize("whole", [False, True])
def test_a_node_gives_the_splits_of_the_study(tmp_path: Path, whole: bool) -> None:
    expected = data.prepare(DIGITS, tmp_path)
    sent = pickle.loads(pickle.dumps(OnNodes(DIGITS, tmp_path, LATEST_RULE, expected.hash, whole)))
    assert sent.at(3).hash == expected.hash
    if whole:
        assert sent.at(4).hash == load_pool(DIGITS, tmp_path).at(4).hash != expected.hash


def test_other_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"are not those of the study \(split other\). Copy the data set there, or"):
        OnNodes(DIGITS, tmp_path, LATEST_RULE, "other", False).at(3)
