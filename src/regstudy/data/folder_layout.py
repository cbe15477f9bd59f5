"""Finds the images in ``<root>/<class>/*`` or ``<root>/{train,val,test}/<class>/*`` without decoding them.

Classes are the sorted names of the folders. `folder_parts` says which folders are parts, `file_rule` which files are
images, and `folder_walk` lists them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import category

from regstudy.config.schema import Data
from regstudy.data.file_rule import (
    LATEST_RULE,
    SUFFIXES,
    SUFFIXES_OF_RULE_1,
    ImageTest,
    image_test,
    named_like,
    suffix_of,
)
from regstudy.data.folder_parts import Division, division_of, equal_subfolders, looks_divided, unknown_folders
from regstudy.data.folder_walk import Walk, entries, folders, quoted
from regstudy.errors import DataError
from regstudy.text import counted


@dataclass(frozen=True)
class Found:
    """One part of a folder of images: the files' names relative to ``root`` and the number of each one's class.

    ``remarks`` are sentences about what was passed over, and about how the folders were read.
    """

    root: Path
    folder: Path
    classes: tuple[str, ...]
    names: list[str]
    labels: list[int]
    remarks: tuple[str, ...] = ()


def find_part(part: str, config: Data, rule: int = LATEST_RULE) -> Found | None:
    """The images of `train`, `validation` or `test`; None if the folder has no such part.

    Raises DataError if there is no such folder, if it has another layout, or if a class has no images.
    """
    division = division_of(config, rule)
    if part not in division.folders:
        return None
    try:
        return _find(part, division, rule, image_test(rule))
    except DataError as error:
        raise error if part == "train" else DataError(f"{error} {_leaving_out(part, division)}") from None


def unusable_test_part(train: Found, config: Data, rule: int = LATEST_RULE) -> str | None:
    """Why the test part cannot be used, as far as the names of its files tell; None if it can, or if there is none.

    No test file is opened. A name counts as an image's if its suffix does, here or in the training part.
    """
    division = division_of(config, rule)
    if "test" not in division.folders:
        return None
    suffixes = SUFFIXES | {suffix_of(name) for name in train.names}
    try:
        _find("test", division, rule, named_like(suffixes))
    except DataError as error:
        return f"{error} {_leaving_out('test', division)}"
    return None


def _find(part: str, division: Division, rule: int, is_image: ImageTest) -> Found:
    root, folder = division.root, division.folder(part)
    walk, remarks = Walk(root, is_image, rule), []
    classes = folders(folder, rule)
    if part == "train":
        remarks += _next_to_parts(division, walk)
    elif classes:
        _check_same_classes(folder, classes, division.folder("train"), rule)
    if len(classes) < 2:
        raise _too_few_classes(folder, classes, walk)
    _check_text(folder, classes, rule)
    within = f"{division.folders[part]}/" if division.folders[part] else ""
    by_class = {name: walk.images(within + name) for name in classes}
    if part == "train":
        remarks += _as_classes(folder, within, by_class, division, rule)
    empty = [name for name, images in by_class.items() if not images]
    if empty:
        raise DataError(
            f"{folder} has no images for {quoted(empty)}. Add images ({', '.join(sorted(SUFFIXES_OF_RULE_1))} or other"
            f" formats) or remove the folder. {walk.passed_over.sentence(folder)}".rstrip()
        )
    walk.loose(folder, within)
    if part == "train" and within:
        walk.loose(root, "")
    remarks += filter(None, [walk.passed_over.sentence(folder)])
    names = [name for images in by_class.values() for name in images]
    labels = [label for label, images in enumerate(by_class.values()) for _ in images]
    return Found(root, folder, classes, names, labels, tuple(remarks))


def _next_to_parts(division: Division, walk: Walk) -> list[str]:
    """What is said about folders next to the parts; DataError if one of them could be a part."""
    others, why = division.others, "not named in data.parts"
    if not division.given:
        why = "no images"
        with_images = [name for name in others if walk.has_image(name)]
        if with_images:
            why = _refuse(unknown_folders(division, with_images), walk.rule)
    return [f"Left out in {division.root}: {quoted(others)} ({why.rstrip('.')})."] if others else []


def _as_classes(folder: Path, within: str, by_class: dict[str, list[str]], division: Division, rule: int) -> list[str]:
    """What is said about folders that were read as classes; DataError if they look like parts."""
    depth = within.count("/") + 1
    inner = {
        name: {steps[depth] for image in images if len(steps := image.split("/")) > depth + 1}
        for name, images in by_class.items()
    }
    if not division.given:
        suspicion = looks_divided(folder, inner)
        if suspicion:
            return [_refuse(suspicion, rule)]
    remarks = [] if division.given else [equal_subfolders(folder, inner)]
    alike = _alike(by_class)
    remarks += [f"The classes {quoted(alike)} in {folder} differ only in capitals."] if alike else []
    return [remark for remark in remarks if remark]


def _refuse(sentence: str, rule: int) -> str:
    """DataError, except for studies that were created when such folders were still read."""
    if rule > 1:
        raise DataError(sentence)
    return sentence


def _check_text(folder: Path, classes: Sequence[str], rule: int) -> None:
    """DataError for class names that cannot be stored as text."""
    wrong = [name for name in classes if any(category(letter) in ("Cc", "Cs") for letter in name)]
    if wrong and rule > 1:
        shown = ", ".join(ascii(name) for name in wrong[:10])
        raise DataError(
            f"{folder} has class folders whose names have control characters or bytes that are not UTF-8: {shown}."
            " Rename them."
        )


def _check_same_classes(folder: Path, classes: Sequence[str], train: Path, rule: int) -> None:
    """DataError unless the class folders of a part are those of the training part."""
    trained = folders(train, rule)
    missing = [name for name in trained if name not in classes]
    extra = [name for name in classes if name not in trained]
    if not missing and not extra:
        return
    renamed = _alike([*missing, *extra])
    if renamed:
        pairs = [f"{train.name}/{a} and {folder.name}/{b}" for a in missing for b in extra if a.lower() == b.lower()]
        raise DataError(
            f"Some classes in {folder} and {train} differ only in capitals: {'; '.join(pairs[:10])}. Give both folders"
            " of a class the same name, for example"
            f" {folder.name}/{next(a for a in missing if a in renamed)}."
        )
    lacks = [f"{quoted(missing)} only in {train.name}"] if missing else []
    lacks += [f"{quoted(extra)} only in {folder.name}"] if extra else []
    raise DataError(
        f"{folder} and {train} have different classes: {', '.join(lacks)}. Both need the same subfolders, with images"
        " in each."
    )


def _leaving_out(part: str, division: Division) -> str:
    """How to go on without a part."""
    rest = ", ".join(f"{one}: {name}" for one, name in division.folders.items() if one != part)
    return f"Or leave this part out: data.parts: {{{rest}}}."


def _alike(names: Sequence[str] | dict[str, list[str]]) -> list[str]:
    """Names that differ from another one only in capitals."""
    count = Counter(name.lower() for name in names)
    return [name for name in names if count[name.lower()] > 1]


def _too_few_classes(folder: Path, classes: Sequence[str], walk: Walk) -> DataError:
    has = f"only {quoted(classes)}" if classes else "none"
    loose = sum(walk.is_image(entry) for entry in entries(folder, walk.rule))
    images = f" and {counted(loose, 'image')} outside of subfolders" if loose else ""
    inner = folders(folder / classes[0], walk.rule) if len(classes) == 1 else ()
    hint = f" If '{classes[0]}' is the data set itself, set data.root to {folder / classes[0]}." if inner else ""
    return DataError(
        f"{folder} must have at least two subfolders, one per class with its images, but it has {has}{images}.{hint}"
    )
