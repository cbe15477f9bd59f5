"""Which two values of an item are the image and the label, and the names of a data set's classes.

Items are pairs, or mappings as in data sets of Hugging Face. Those are known by their attributes, because the library
is not needed to read them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from regstudy.config.schema import Data
from regstudy.data.own.labels import class_names
from regstudy.data.own.refusals import MULTI_LABEL, REGRESSION, Unusable
from regstudy.errors import unknown

IMAGE_WORDS = ("image", "img", "picture", "photo", "pixels", "pixel_values", "x")
LABEL_WORDS = ("label", "labels", "class", "target", "y")


def columns_of_items(data: Any, first: Mapping[Any, Any], config: Data) -> tuple[str, str]:
    """The keys of the image and of the label. Raises Unusable if they are unclear, or if the label is no class."""
    features = _features(data)
    names = [str(name) for name in first]
    image = _column("image", config.image, names, _of_kind(features, "Image"), IMAGE_WORDS)
    label = _column(
        "label", config.label, [name for name in names if name != image], _of_kind(features, "ClassLabel"), LABEL_WORDS
    )
    feature = features.get(label)
    kind, dtype = type(feature).__name__, str(getattr(feature, "dtype", ""))
    if isinstance(feature, list) or kind in ("Sequence", "List", "LargeList"):
        raise Unusable(f"the column '{label}' has a list of labels for each image. {MULTI_LABEL}")
    if kind == "Value" and dtype.startswith("float"):
        raise Unusable(f"the column '{label}' has {dtype} numbers. {REGRESSION}")
    return image, label


def names_of(data: Any, label: str | None) -> tuple[str, ...] | None:
    """The names of the classes as a data set, or the one that it is a part of, tells them."""
    for one in _chain(data):
        names = getattr(_features(one).get(label), "names", None) if label else None
        for given in (names, getattr(one, "classes", None), getattr(one, "num_classes", None)):
            if isinstance(given, list | tuple | int) and not isinstance(given, bool) and given:
                return class_names(given)
    return None


def pair_of(item: Any, columns: tuple[str, str] | None) -> tuple[Any, Any]:
    """The image and the label of an item. Raises Unusable if it has another form."""
    if columns is not None and isinstance(item, Mapping):
        if missing := [name for name in columns if name not in item]:
            raise Unusable(f"it has no '{missing[0]}'. Every item needs the same keys.")
        return item[columns[0]], item[columns[1]]
    if isinstance(item, tuple | list) and len(item) == 2:
        return item[0], item[1]
    if isinstance(item, tuple | list):
        raise Unusable(
            f"an item must be an image and its label, but it has {len(item)} values. Use [(item[0], item[1]) for item"
            " in data] with the places of these two."
        )
    raise Unusable(
        f"an item must be (image, label), or a mapping with both, but it is of the type {type(item).__name__}. Use"
        " [(image, label), …], or return (images, labels)."
    )


def _features(data: Any) -> Mapping[str, Any]:
    features = getattr(data, "features", None)
    return features if isinstance(features, Mapping) else {}


def _chain(data: Any) -> list[Any]:
    """A data set, and those that it is a part or a union of."""
    found: list[Any] = []
    while data is not None and len(found) < 20:
        found.append(data)
        several = getattr(data, "datasets", None)
        data = several[0] if isinstance(several, Sequence) and several else getattr(data, "dataset", None)
    return found


def _of_kind(features: Mapping[str, Any], kind: str) -> list[str]:
    """The columns of a kind, or of lists of that kind."""
    inner = {name: getattr(feature, "feature", feature) for name, feature in features.items()}
    return [str(name) for name, feature in inner.items() if type(feature).__name__ == kind]


def _column(use: str, given: str | None, names: list[str], typed: list[str], words: Sequence[str]) -> str:
    if given is not None:
        if given not in names:
            raise Unusable(f"data.{use} is '{given}', but {unknown('column', given, names)}")
        return given
    known = typed or [name for name in names if name.lower() in words]
    if len(known) != 1:
        what = f"{', '.join(known)} could be it" if known else f"none is called {words[0]}"
        raise Unusable(
            f"it is unclear which column has the {use}: {what}. Columns: {', '.join(names)}. Name it in the space file,"
            f" as in data.{use}: {(known or names)[0]}."
        )
    return known[0]
