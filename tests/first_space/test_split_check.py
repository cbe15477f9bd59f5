"""A split that a study would refuse is refused before the file is written."""

from __future__ import annotations

import pytest
from first_space.seen_images import seen

from regstudy.config.schema import Data, KFold
from regstudy.errors import DataError
from regstudy.first_space.split_check import can_fold, check_split

TWENTY = [0] * 10 + [1] * 10
FOLDS = Data(name="images", resampling=KFold(kfold=5))


@pytest.mark.parametrize(
    ("labels", "groups", "data", "sound"),
    [
        (TWENTY, None, Data(name="images", validation=0.2), True),
        (TWENTY, None, FOLDS, True),
        ([0] * 19 + [1], None, Data(name="images", validation=0.2), False),
        ([0] * 17 + [1] * 3, None, FOLDS, False),
        (TWENTY, [0] * 10 + [1] * 10, Data(name="images", validation=0.2), False),  # a class in one group
        (TWENTY, [number // 2 for number in range(20)], Data(name="images", validation=0.2), True),
        (TWENTY, [number // 5 for number in range(20)], FOLDS, False),
    ],
)
def test_splits_as_a_study_makes_them(labels: list[int], groups: list[int] | None, data: Data, sound: bool) -> None:
    images = seen(labels=labels, group_of=groups)
    if sound:
        check_split(images, data)
    else:
        with pytest.raises(DataError):
            check_split(images, data)
    if data is FOLDS:
        assert can_fold(images) == sound


def test_a_validation_part_of_ones_own_is_as_it_is() -> None:
    check_split(seen(labels=[0, 0, 1], validation=3), Data(name="images"))
