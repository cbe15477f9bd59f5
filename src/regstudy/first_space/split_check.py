"""Whether the images can be split as a space says, by the rules of a study, before any image is read."""

from __future__ import annotations

import numpy as np

from regstudy.config.schema import Data, KFold
from regstudy.data.fold_split import split_folds
from regstudy.data.split import split_groups, split_indices
from regstudy.errors import DataError
from regstudy.first_space.evening import FOLDS
from regstudy.first_space.seen import Seen


def check_split(seen: Seen, data: Data) -> None:
    """DataError if a part would lack a class. A validation part of the data set's own is as it is."""
    if seen.own_validation:
        return
    labels, classes = np.array(seen.labels), tuple(seen.per_class)
    groups = None if seen.group_of is None else np.array(seen.group_of)
    if isinstance(data.resampling, KFold):
        split_folds(labels, groups, data.resampling.kfold, data.train_limit, data.split_seed, classes)
    elif groups is None:
        split_indices(labels, data.validation, data.train_limit, data.split_seed, classes)
    else:
        split_groups(labels, groups, data.validation, data.train_limit, data.split_seed, classes)


def can_fold(seen: Seen) -> bool:
    """Whether every fold would have every class."""
    try:
        check_split(seen, Data(name="images", resampling=KFold(kfold=max(FOLDS))))
    except DataError:
        return False
    return True
