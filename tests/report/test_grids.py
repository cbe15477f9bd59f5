"""What a study stores about its images is shown in words, never as keys or Python values."""

from __future__ import annotations

from typing import Any

import pytest
from tiny import make_splits

from regstudy.report.grids import data_facts, fact_grid

PLAIN = {"classes", "groups", "groups in both parts", "split seed", "split hash"}  # keys that are words already


def shown(**facts: Any) -> dict[str, str]:
    return dict(fact_grid(data_facts(facts)).rows)  # type: ignore[arg-type]


def test_every_stored_fact_has_a_label() -> None:
    keys = make_splits().describe()
    labels = data_facts(keys | {"fallback_reason": "no file", "requested": "svhn", "folds": 5})
    assert {key.replace("_", " ") for key in keys} & set(labels) == PLAIN


@pytest.mark.parametrize(
    ("facts", "label", "value"),
    [
        ({"own_validation": True}, "validation part comes with the images", "yes"),
        ({"shape": [3, 32, 32]}, "image size (channels × height × width)", "3 × 32 × 32"),
        ({"train": 12000}, "training images", "12,000"),
        ({"split_seed": 2968811710}, "split seed", "2968811710"),
        ({"parts": {}}, "images read from", "–"),
        ({"parts": {"train": "a.zip"}}, "images read from", "train: a.zip"),
        ({"name": "digits", "requested": "svhn"}, "requested image set", "svhn"),
        ({"name": "digits", "requested": "digits"}, "requested image set", None),
        ({"classes": ["a", "b"], "validation_per_class": [3, 4000]}, "validation images per class", "a: 3, b: 4,000"),
    ],
)
def test_facts_in_words(facts: dict[str, Any], label: str, value: str | None) -> None:
    assert shown(**facts).get(label) == value
