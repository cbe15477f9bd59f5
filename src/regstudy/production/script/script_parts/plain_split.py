"""Training and validation images of a script."""

from __future__ import annotations

from pathlib import Path

from regstudy.data.split import split_groups, split_indices, stratified_subset
from regstudy.production.script.script_parts.plain_images import Images, groups_of, read_part
from regstudy.production.script.script_parts.plain_settings import (
    GROUP,
    OWN_LOADER,
    SPLIT_SEED,
    TRAIN_LIMIT,
    VALIDATION,
    VALIDATION_FOLDER,
)


def training_and_validation(root: Path) -> tuple[Images, Images]:
    """The images to train on and those to validate on; classes have the same shares in both."""
    whole = read_part("train", root)
    assert whole is not None
    if OWN_LOADER or VALIDATION_FOLDER:
        validation = read_part("validation", root)
        if VALIDATION_FOLDER or validation is not None:
            assert validation is not None
            if TRAIN_LIMIT is not None:
                whole = whole.at(stratified_subset(whole.labels.numpy(), TRAIN_LIMIT, SPLIT_SEED, least=1))
            return whole, validation
    labels = whole.labels.numpy()
    if GROUP:
        groups = groups_of(whole, GROUP)
        places = split_groups(labels, groups, VALIDATION, TRAIN_LIMIT, SPLIT_SEED, whole.classes)
    else:
        places = split_indices(labels, VALIDATION, TRAIN_LIMIT, SPLIT_SEED, whole.classes)
    return whole.at(places[0]), whole.at(places[1])
