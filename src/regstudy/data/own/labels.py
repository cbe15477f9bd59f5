"""Labels of the user's own as class numbers: integers, names, one-hot rows; in lists, arrays or tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from regstudy.data.own.refusals import MULTI_LABEL, REGRESSION, Unusable
from regstudy.errors import unknown

THIRD_VALUE = "Return the class names, or their number, as the third value: (images, labels, classes)."


def class_names(given: Any) -> tuple[str, ...] | None:
    """Names of classes from a list of names or their number; None stays None. Raises Unusable."""
    if given is None:
        return None
    if isinstance(given, int | np.integer) and not isinstance(given, bool) and given > 0:
        return tuple(map(str, range(int(given))))
    plain = given.tolist() if isinstance(given, np.ndarray) else given
    if isinstance(plain, list | tuple) and plain and all(isinstance(name, str) for name in plain):
        if len(set(plain)) == len(plain):
            return tuple(plain)
        twice = next(name for name in plain if plain.count(name) > 1)
        raise Unusable(f"class names must differ, but '{twice}' is there twice.")
    raise Unusable(
        f"classes must be a list of names, or their number, but it is {str(given)[:60]!r} of the type"
        f" {type(given).__name__}. Use for example ['cat', 'dog'], or 2."
    )


def read_labels(given: Any, count: int, named: tuple[str, ...] | None) -> tuple[Tensor, tuple[str, ...]]:
    """Class numbers, int64 N, and the names of the classes. Raises Unusable.

    Names as labels are numbered in the order of ``named``, or alphabetically. Numbers without names must be 0 to K-1,
    and are their names.
    """
    values = _one_each(_as_array(given), count)
    if values.dtype.kind == "U":
        classes = named or tuple(sorted(set(values.tolist())))
        number = {name: place for place, name in enumerate(classes)}
        strange = next((name for name in values.tolist() if name not in number), None)
        if strange is not None:
            raise Unusable(f"among the labels, {unknown('class', strange, classes)}")
        return torch.tensor([number[name] for name in values.tolist()], dtype=torch.int64), classes
    return _numbered(values, named)


def _as_array(given: Any) -> npt.NDArray[Any]:
    if isinstance(given, Tensor):
        return np.asarray(given.detach().cpu().float() if given.is_floating_point() else given.detach().cpu())
    if isinstance(given, list | tuple):
        given = [one.tolist() if isinstance(one, Tensor | np.ndarray | np.generic) else one for one in given]
        missing = next((place for place, one in enumerate(given) if one is None), None)
        if missing is not None:
            raise Unusable(f"every image needs a label, but that of image {missing} is None.")
        odd = next((one for one in given if not isinstance(one, bool | int | float | str | list | tuple)), None)
        if odd is not None:
            what = f"{type(odd).__module__}.{type(odd).__qualname__}".removeprefix("builtins.")
            raise Unusable(
                f"a label must be a class number or name, but one is of the type {what}. Only classification of whole"
                " images is supported."
            )
    try:
        values = np.asarray(given)
    except ValueError:
        raise Unusable(f"labels are lists of different lengths. {MULTI_LABEL}") from None
    if values.dtype.kind in "OS":
        plain = values.tolist()
        if not isinstance(plain, list):
            raise Unusable(f"labels must be a list, an array or a tensor, but are of the type {type(given).__name__}.")
        if _texts(plain):
            return np.asarray(plain)
        if isinstance(given, list | tuple):
            raise Unusable("labels must be class numbers, or class names, all of one kind.")
        return _as_array(plain)
    return values


def _texts(values: Sequence[Any]) -> bool:
    return bool(values) and all(isinstance(one, str) for one in values)


def _one_each(values: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """One label for each image: a column is flattened, one-hot rows become numbers."""
    shape = "×".join(map(str, values.shape))
    if values.ndim and len(values) != count:
        raise Unusable(f"there must be one label per image, but there are {len(values):,} labels for {count:,} images.")
    if values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    if values.ndim == 2 and values.dtype.kind in "biuf":
        binary = bool(np.isin(values, (0, 1)).all())
        if binary and (values.sum(1) == 1).all():
            return np.asarray(values.argmax(1))
        if binary:
            raise Unusable(f"labels are {shape} zeros and ones, and some rows have not exactly one 1. {MULTI_LABEL}")
        raise Unusable(
            f"labels must have one number per image, but the shape is {shape}. If these are scores of classes, use"
            f" labels.argmax(1). {MULTI_LABEL}"
        )
    if values.ndim == 2:
        raise Unusable(f"labels must be one per image, but the shape is {shape}. {MULTI_LABEL}")
    if values.ndim != 1:
        raise Unusable(f"labels must have one number per image, but the shape is {shape or 'that of a single number'}.")
    return values


def _numbered(values: npt.NDArray[Any], named: tuple[str, ...] | None) -> tuple[Tensor, tuple[str, ...]]:
    if values.dtype.kind == "f":
        broken = values[~np.isclose(values, np.rint(values))]
        if np.isnan(values).any():
            raise Unusable(f"every image needs a label, but that of image {int(np.isnan(values).argmax())} is NaN.")
        if len(broken):
            raise Unusable(f"labels are {values.dtype} numbers such as {broken[0]:g}. {REGRESSION}")
        raise Unusable(
            f"labels must be whole numbers, but they are {values.dtype}, such as {values[0]:g}. If they are class"
            " numbers, use labels.astype(int) of an array or labels.long() of a tensor."
        )
    if values.dtype.kind not in "biu":
        raise Unusable(f"labels must be class numbers or names, but they are {values.dtype}, such as {values[0]!r}.")
    numbers = torch.from_numpy(values.astype(np.int64))
    low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    if named is not None:
        if low < 0 or high >= len(named):
            how = " Labels count from 0: use labels - 1." if low == 1 and high == len(named) else ""
            raise Unusable(
                f"labels must lie between 0 and {len(named) - 1}, because there are {len(named)} classes, but they lie"
                f" between {low} and {high}.{how}"
            )
        return numbers, named
    absent = sorted(set(range(min(high, 10_000) + 1)) - set(numbers.tolist()))
    if low < 0 or absent:
        how = " Labels count from 0: use labels - 1." if absent == [0] else ""
        lies = "some are negative" if low < 0 else f"no image has {absent[0]}"
        raise Unusable(
            f"labels must be 0, 1, 2, … without a gap, but they lie between {low} and {high} and {lies}.{how}"
            f" {THIRD_VALUE}"
        )
    return numbers, tuple(map(str, range(high + 1)))
