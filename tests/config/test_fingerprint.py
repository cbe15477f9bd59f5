"""Fingerprints leave out later fields at their default, and a field that is added without its mark is found out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from regstudy.config.fields import field_paths
from regstudy.config.fingerprint import Since, fingerprint, hashed, later_fields
from regstudy.config.run_config import RunConfig
from regstudy.space.parsing import parse_space
from regstudy.space.study_section import StudySection

FIRST_FIELDS = Path(__file__).parents[1] / "fixtures" / "fields-0.1.0.txt"


class Inner(BaseModel):
    old: int = 1
    new: Annotated[float, Since("0.2")] = 0.5


class Added(BaseModel):
    value: int = 3


class Root(BaseModel):
    inner: Inner = Inner()
    added: Annotated[Added, Since("0.3")] = Added()
    name: Annotated[str | None, Since("0.2")] = None


@pytest.mark.parametrize(
    ("tree", "kept"),
    [
        ({"inner": {"old": 1}}, {"inner": {"old": 1}}),
        ({"inner": {"old": 1, "new": 0.5}}, {"inner": {"old": 1}}),
        ({"inner": {"old": 1, "new": 0.7}}, {"inner": {"old": 1, "new": 0.7}}),
        ({"inner": {"new": {"low": 0.1, "high": 0.5}}}, {"inner": {"new": {"low": 0.1, "high": 0.5}}}),
        ({"added": {"value": 3}, "name": None}, {}),
        ({"added": {"value": 4}, "name": "x"}, {"added": {"value": 4}, "name": "x"}),
        ({"phases": [{"inner": {"new": 0.5}}]}, {"phases": [{"inner": {"new": 0.5}}]}),
        ({"inner": "not a mapping"}, {"inner": "not a mapping"}),
    ],
)
def test_later_fields_at_their_default_are_left_out(tree: dict[str, Any], kept: dict[str, Any]) -> None:
    before = repr(tree)
    assert hashed(tree, Root) == kept
    assert repr(tree) == before


def test_the_later_fields_are_found_at_any_depth() -> None:
    assert list(later_fields(Root)) == ["inner.new", "added", "name"]


def test_the_order_of_keys_does_not_matter() -> None:
    assert fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) == fingerprint({"b": {"d": 3, "c": 2}, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_every_field_that_version_0_1_0_lacked_is_marked() -> None:
    first = set(FIRST_FIELDS.read_text(encoding="utf-8").split())
    today = {*field_paths(RunConfig), *(f"study.{path}" for path in field_paths(StudySection))}
    later = {*later_fields(RunConfig), *(f"study.{path}" for path in later_fields(StudySection))}
    unmarked = {path for path in today - first if not any(f"{path}.".startswith(f"{mark}.") for mark in later)}
    assert not unmarked, f"mark these fields with Since(…), or studies made before cannot be resumed: {unmarked}"
    assert first <= today, f"these fields are gone, so old studies cannot be read: {first - today}"


def test_the_old_name_of_an_operation_is_read_and_still_hashed() -> None:
    trees = [
        {
            "data": {"name": "cifar10"},
            "model": {"name": "small_cnn"},
            "augmentation": {"strength": 0.5, "ops": ["crop", name]},
            "phases": [{"augmentation": {"ops": [name]}}],
        }
        for name in ("color", "colour")
    ]
    configs = [RunConfig.model_validate(tree) for tree in trees]
    assert [config.augmentation.ops for config in configs] == [("crop", "color")] * 2
    assert [config.in_phases()[0].augmentation.ops for config in configs] == [("color",)] * 2
    assert hashed(trees[0], RunConfig) == hashed(trees[1], RunConfig)
    assert hashed(trees[0], RunConfig)["augmentation"]["ops"] == ["crop", "colour"]
    spaces = [parse_space(tree, "words", "a file") for tree in trees]
    assert spaces[0].fingerprint == spaces[1].fingerprint
