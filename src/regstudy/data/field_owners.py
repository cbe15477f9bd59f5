"""Which data sets a field of `data` is for; a field that would do nothing is refused, not ignored."""

from __future__ import annotations

from collections.abc import Iterable

from regstudy.config.plugins import is_plugin
from regstudy.config.schema import Data
from regstudy.errors import Problem
from regstudy.text import listing

OWN = "package.module:function"
OWNERS = {
    "root": ("image_folder", "cifar10"),
    "parts": ("image_folder",),
    "file": ("table",),
    "split": ("table",),
    "image": ("table", OWN),
    "label": ("table", OWN),
    "channels": ("image_folder", "table", OWN),
}
OWN_ROOT = "root"  # which a function of the user's own may look at by itself
NEEDED = {
    "image_folder": ("root", "the folder that has one subfolder of images per class"),
    "table": ("file", "the CSV file with a row for each image"),
}


def foreign_problems(data: Data) -> Iterable[Problem]:
    """Fields that this data set needs or does not have."""
    own = is_plugin(data.name)
    name = OWN if own else data.name
    for field, owners in OWNERS.items():
        if getattr(data, field) is None or name in owners or (own and field == OWN_ROOT):
            continue
        yield Problem(f"data.{field}", f"is for {listing([*owners])} only, but data.name is {data.name}. Remove it.")
    field, what = NEEDED.get(data.name, ("", ""))
    if field and getattr(data, field) is None:
        yield Problem(f"data.{field}", f"is required for {data.name}: {what}.")
