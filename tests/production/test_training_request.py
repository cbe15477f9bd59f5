"""What may be asked of a final training: each misuse is one paragraph before anything is read or written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny import make_config

import regstudy
from regstudy.errors import ArgumentError
from regstudy.production.training_request import BOTH, TrainingRequest

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no seeds": ({"seeds": 0}, r"seeds \(--seeds\): must be a whole number from 1 to 100, but it is 0"),
    "negative": ({"seeds": -3}, "but it is -3"),
    "too many": ({"seeds": 101}, "but it is 101"),
    "a part of a seed": ({"seeds": 1.5}, r"but it is 1\.5"),
    "a boolean": ({"seeds": True}, "but it is True"),
    "an ensemble of one": ({"ensemble": True}, r"ensemble \(--ensemble\): needs several trainings.*--seeds 5"),
    "the test part": ({"on": "test"}, "no part to train on 'test'.*never trained on"),
    "train and test": ({"on": "train+test"}, "Allowed: train, train.validation.*never trained on"),
    "a typo": ({"on": "train+validaton"}, r"Did you mean 'train\+validation'\?"),
    "no string": ({"on": None}, "no part to train on 'None'"),
    "nothing to fit it on": ({"on": BOTH, "temperature": True}, "fitted on validation images, and.*leaves none"),
    "no boolean": ({"temperature": 2.0}, r"temperature \(--temperature\): must be True or False, but it is 2\.0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_told_before_anything_is_written(tmp_path: Path, case: str) -> None:
    given, words = WRONG[case]
    with pytest.raises(ArgumentError, match=words):
        regstudy.train(make_config(), tmp_path / "out", data_dir=tmp_path, **given)
    assert not list(tmp_path.iterdir())


def test_all_that_is_wrong_is_told_together() -> None:
    with pytest.raises(ArgumentError, match="3 invalid arguments") as caught:
        TrainingRequest(on="tset", seeds=0, temperature=1).check()  # type: ignore[arg-type]
    assert str(caught.value).count("\n  - ") == 3


@pytest.mark.parametrize("given", [{}, {"seeds": 5, "ensemble": True, "temperature": True}, {"on": BOTH, "seeds": 2}])
def test_what_can_be_asked(given: dict[str, Any]) -> None:
    TrainingRequest(**given).check()
