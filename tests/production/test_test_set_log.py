"""The groups of test images: known, or missing with a word about it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_parts import load

from regstudy.config.schema import Data
from regstudy.data.loading_events import Notice, listening
from regstudy.production.test_set_log import with_groups


@pytest.mark.parametrize(("rule", "groups"), [(None, None), (r"patient(\d+)", 15), (r"ward(\d+)", None)])
def test_groups_of_test_images_are_found_or_their_absence_is_said(
    tmp_path: Path, rule: str | None, groups: int | None
) -> None:
    config = Data(name="tiny_parts:load", group=rule)
    test = load("test", config, tmp_path)
    assert test is not None
    said: list[object] = []
    with listening(said.append):
        found = with_groups(test, config, tmp_path).groups
    assert (None if found is None else len(found.unique())) == groups
    assert [isinstance(one, Notice) and "as independent" in str(one) for one in said] == (
        [True] if rule is not None and groups is None else []
    )
