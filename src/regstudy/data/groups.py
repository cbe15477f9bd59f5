"""Groups of images that must stay in the same split: by file name, or because they are near duplicates.

`data.group` is a regular expression that is searched in each image's path, or ``near_duplicates``.
"""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt

from regstudy.data import near_duplicates
from regstudy.data.bounded_search import first_groups
from regstudy.data.image_set import ImageSet
from regstudy.errors import DataError
from regstudy.files import write_atomically

Indices = npt.NDArray[np.int64]

NEAR_DUPLICATES = "near_duplicates"
MAX_RULE_SHOWN = 200  # characters


def rule_problem(rule: str) -> str | None:
    """What is wrong with a rule; None if it is valid."""
    if rule == NEAR_DUPLICATES:
        return None
    try:
        with warnings.catch_warnings(action="ignore"):  # about sets that may mean something else in later Pythons
            re.compile(rule)
    except (re.error, OverflowError, RecursionError, MemoryError) as error:
        shown = rule if len(rule) <= MAX_RULE_SHOWN else f"{rule[:MAX_RULE_SHOWN]}…"
        return (
            f"'{shown}' is not a valid regular expression: {error}. It is searched in each image's path, and its first"
            f" (…) gives the group, as in '([^/_]+)_\\d+\\.png'. Or use {NEAR_DUPLICATES}."
        )
    return None


def group_keys(images: ImageSet, rule: str, name: str, data_dir: Path) -> Indices:
    """The number of each image's group, N, counted from 0. Raises DataError if the rule does not fit the images.

    Clusters of near duplicates are cached in ``data_dir`` because they take time.
    """
    if rule == NEAR_DUPLICATES:
        return _kept_clusters(images, data_dir)
    return path_groups(images.paths, rule, name)


def path_groups(paths: tuple[str, ...], rule: str, name: str) -> Indices:
    """As `group_keys`, for a regular expression on the paths."""
    if not paths:
        raise DataError(
            f"data.group '{rule}' is matched against image paths, but the images of '{name}' have no paths. Use"
            f" `group: {NEAR_DUPLICATES}`, which compares pixels, or remove data.group."
        )
    try:
        keys = first_groups(rule, paths)
    except TimeoutError as error:
        raise DataError(
            f"data.group '{rule}' takes too long on the paths of '{name}': {error}. A pattern with one repetition"
            " inside another, as in '(a+)+', can take forever. Use a pattern without nested repetition, such as"
            " '([^/_]+)_', or remove data.group."
        ) from None
    except ValueError as error:
        raise DataError(
            f"data.group '{rule}' fails on the paths of '{name}': {error}. Use a simpler pattern."
        ) from None
    missed = [path for path, key in zip(paths, keys, strict=True) if key is None]
    if len(missed) == len(keys):
        raise DataError(
            f"data.group '{rule}' matches none of the {len(keys):,} images of '{name}', for example '{missed[0]}'. It"
            " is"
            " a regular expression, searched in the path below the data set's folder. The group is its first (…), or"
            f" the whole match. Fix it, or use {NEAR_DUPLICATES}."
        )
    if missed:
        examples = " and ".join(f"'{path}'" for path in missed[:2])
        raise DataError(
            f"data.group '{rule}' does not match {len(missed):,} of the {len(keys):,} images of '{name}', for example"
            f" {examples}. Every image needs a group: extend the pattern, as in 'this|that', or move these files."
        )
    number: dict[str | None, int] = {}
    return np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.int64)


def _kept_clusters(images: ImageSet, data_dir: Path) -> Indices:
    """The clusters of these pixels, cached; an unreadable file is recomputed."""
    path = data_dir / "near_duplicates" / f"v{near_duplicates.CLUSTERS_VERSION}_{images.hash}.npy"
    kept = _read(path)
    if kept is not None and kept.shape == (len(images),) and kept.dtype == np.int64:
        return kept
    found = near_duplicates.clusters(images.images)
    buffer = io.BytesIO()
    np.save(buffer, found)
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        message = f"The groups of near duplicates cannot be saved in {path.parent}: {error}."
        message += " Choose another data folder (--data-dir)."
        raise DataError(message) from error
    return found


def _read(path: Path) -> Indices | None:
    try:
        found: Indices = np.lib.format.read_array(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except Exception:  # numpy raises many kinds for damaged files
        return None
    return found
