"""Folders of images that are laid out wrongly, hold other things, or cannot be split."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from misuse.misuse_case import Misuse
from PIL import Image

OWN = """
data: {name: image_folder, root: photos, size: 8, validation: 0.25}
model: {name: small_cnn, dropout: {low: 0.0, high: 0.5}}
training: {epochs: 1, batch_size: 8}
"""
DRY = ("study", "--space", "s.yaml", "--trials", "1", "--no-doctor", "--dry-run")


def picture(path: Path, number: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def layout(**counts: int) -> Callable[[Path], None]:
    """Pictures below `photos`: so many in each folder, `__` for `/` and `_0` for no picture but the folder."""

    def make(folder: Path) -> None:
        for name, count in counts.items():
            place = folder / "photos" / name.replace("__", "/")
            place.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                picture(place / f"{number}.png", number)

    return make


def with_file(name: str, content: bytes) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        layout(a=8, b=8)(folder)
        (folder / "photos" / name).write_bytes(content)

    return make


def changed(change: Callable[[Path], None]) -> Callable[[Path], None]:
    """A sound folder after a change."""

    def make(folder: Path) -> None:
        layout(a=8, b=8)(folder)
        change(folder / "photos")

    return make


def png_that_declares(width: int) -> bytes:
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", width, width, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"0")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "no folder": lambda _folder: None,
    "a file": lambda folder: (folder / "photos").write_text("x") and None,
    "an archive": lambda folder: (folder / "photos").write_bytes(b"PK\x03\x04" + bytes(50)) and None,
    "empty": lambda folder: (folder / "photos").mkdir(),
    "loose images": layout(**{"": 8}),
    "one class": layout(a=8),
    "an empty class": layout(a=8, b=0),
    "all classes empty": layout(a=0, b=0),
    "one image per class": layout(a=1, b=1),
    "a class of one": layout(a=20, b=1),
    "only train": layout(train__a=8),
    "only validation and test": layout(val__a=8, val__b=8, test__a=8, test__b=8),
    "train and validation differ": layout(train__a=8, train__b=8, val__a=4, val__c=4),
    "validation lacks a class": layout(train__a=8, train__b=8, val__a=4),
    "an empty class in validation": layout(train__a=8, train__b=8, val__a=4, val__b=0),
    "two validations": layout(train__a=8, train__b=8, val__a=4, val__b=4, valid__a=4, valid__b=4),
    "train_data, val, test": layout(train_data__a=8, train_data__b=8, val__a=4, val__b=4, test__a=4, test__b=4),
    "Training_Set and Test_Set": layout(Training_Set__a=8, Training_Set__b=8, Test_Set__a=8, Test_Set__b=8),
    "my_train and my_holdout": layout(my_train__a=8, my_train__b=8, my_holdout__a=8, my_holdout__b=8),
    "train next to dev2": layout(train__a=8, train__b=8, dev2__a=4, dev2__b=4),
    "train next to something else": layout(train__a=8, train__b=8, extra__a=4, extra__b=4),
    "capitals differ": layout(train__cat=8, train__dog=8, val__Cat=4, val__dog=4),
    "a test part that lacks a class": layout(train__a=8, train__b=8, test__a=8),
    "an empty test part": layout(train__a=8, train__b=8, test__a=0, test__b=0),
    "text as an image": with_file("a/notes.png", b"not a picture"),
    "an empty image": with_file("a/empty.png", b""),
    "a truncated image": with_file("a/short.png", b"\x89PNG\r\n\x1a\n" + bytes(20)),
    "a picture of 2 gigapixels": with_file("a/huge.png", png_that_declares(50_000)),
    "a picture of no pixels": with_file("a/none.png", png_that_declares(0)),
    "a FIFO as an image": changed(lambda photos: os.mkfifo(photos / "a" / "pipe.png")),
    "a link to nothing": changed(lambda photos: (photos / "a" / "gone.png").symlink_to("nothing")),
    "a link to itself": changed(lambda photos: (photos / "a" / "loop.png").symlink_to("loop.png")),
    "a class that links to itself": changed(lambda photos: (photos / "c").symlink_to("c")),
    "a class that links above": changed(lambda photos: (photos / "c").symlink_to("..")),
}
ALLOWED = {  # read with a word about it, or refused
    "a FIFO as an image",
    "a class that links to itself",
    "a class that links above",
    "a picture of 2 gigapixels",
    "a link to nothing",
    "a link to itself",
    "a test part that lacks a class",
    "an empty test part",
}
SETTINGS = [
    "data.root=",
    "data.root=nosuch",
    "data.root=s.yaml",
    "data.root=~nosuchuser",
    f"data.root={'x' * 300}",
    "data.root=null",
    "data.root=7",
    "data.size=3",
    "data.size=100000",
    "data.validation=0",
    "data.validation=1",
    "data.validation=16",
    "data.validation=100",
    "data.validation=0.001",
    "data.train_limit=1",
    "data.train_limit=0",
    "data.group=(",
    "data.group=zzz",
    "data.group=photos|a|b",
    "data.group=(a+)+$",
    "data.group=near_duplicate",
    "data.options={x: 1}",
    "data.name=imagefolder",
    "data.parts=maybe",
    "data.parts={train: nosuch}",
    "data.parts={train: a, validation: a}",
    "data.parts={training: a}",
    "data.parts=[a, b]",
    "data.parts={test: a}",
]


FLAT = layout(**{"": 8})
INIT: list[tuple[str, tuple[str, ...], Callable[[Path], None], tuple[str, ...]]] = [
    # what is wrong, the arguments, what lies there, what the message must say
    ("no folder", ("photo",), layout(a=8, b=8), ("photo does not exist", "Did you mean 'photos'?")),
    ("an empty folder", ("photos",), LAYOUTS["empty"], ("must have at least two subfolders", "it has none")),
    ("a flat folder", ("photos",), FLAT, ("8 images outside of subfolders", "regstudy init labels.csv")),
    ("one class", ("photos",), layout(a=8), ("has only 'a'", "a folder of its own")),
    ("a file", ("photos/a/0.png",), layout(a=8, b=8), ("is a file, not a folder", "CSV")),
    ("a space", ("s.yaml",), layout(), ("is a file, not a folder",)),
    ("no table", ("label.csv",), layout(), ("label.csv does not exist", "Did you mean 'labels.csv'?")),
    ("a table of no images", ("labels.csv",), layout(), ("the paths of image files", "'a', 'b'")),
    ("a table of missing images", ("gone.csv",), layout(), ("2 missing files", "image: 'file'")),
    ("an unknown space", ("--from", "svhn_resnett"), layout(), ("Did you mean 'svhn_resnet'?",)),
    ("a file to copy", ("--from", "s.yaml"), layout(), ("there is no shipped space 's.yaml'",)),
    ("a folder and a space", ("photos", "--from", "svhn_resnet"), layout(a=8, b=8), ("both a folder and --from",)),
    ("nothing", (), layout(), ("neither a folder nor --from",)),
    ("an output without .yaml", ("photos", "-o", "mine"), layout(a=8, b=8), ("must end in .yaml",)),
    ("an output without .yaml of a copy", ("--from", "svhn_resnet", "-o", "m.txt"), layout(), ("must end in .yaml",)),
    ("an output that exists", ("photos", "-o", "s.yaml"), layout(a=8, b=8), ("s.yaml exists already", "--overwrite")),
    ("a copy that exists", ("--from", "svhn_resnet", "-o", "s.yaml"), layout(), ("s.yaml exists already",)),
    ("an output below a file", ("photos", "-o", "s.yaml/x.yaml"), layout(a=8, b=8), ("s.yaml is a file",)),
    ("another device", ("photos", "--device", "tpu"), layout(a=8, b=8), ("there is no device 'tpu'",)),
    ("a subfolder of text", ("text",), layout(), ("has no images for 'a', 'b'", "10 .txt")),
    ("pictures of text", ("bad",), layout(), ("None of the 10 images tried", "not an image")),
    ("a class of one image", ("photos",), LAYOUTS["a class of one"], ("'b'",)),
    ("unclear parts", ("photos",), LAYOUTS["train_data, val, test"], ("look like parts",)),
]
INIT_FILES: dict[str, str | bytes] = {
    "s.yaml": OWN,
    "labels.csv": "a,b\n1,2\n3,4\n",
    "gone.csv": "file,label\na.png,ill\nb.png,well\n",
    **{f"text/{name}/{number}.txt": "hello" for name in "ab" for number in range(5)},
    **{f"bad/{name}/{number}.png": "hello" for name in "ab" for number in range(5)},
}


def cases() -> Iterator[Misuse]:
    for name, arguments, make, says in INIT:
        yield Misuse(f"init with {name}", ("init", *arguments), make, says=says, files=INIT_FILES)
    for name, make in LAYOUTS.items():
        codes = frozenset({0, 2}) if name in ALLOWED else frozenset({2})
        yield Misuse(f"folder: {name}", DRY, make, codes, files={"s.yaml": OWN})
    for setting in SETTINGS:
        path = setting.partition("=")[0]
        yield Misuse(
            f"folder with {setting[:50]}",
            (*DRY, "--set", setting),
            layout(a=8, b=8),
            says=(path,),
            files={"s.yaml": OWN},
        )
    for command in (
        ("train", "s.yaml", "--set", "model.dropout=0", "-o", "out"),
        ("preview", "s.yaml"),
        ("doctor", "s.yaml"),
        ("compare", "s.yaml", "--set", "model.dropout=0", "--repeats", "1"),
    ):
        for name in ("no folder", "one class", "text as an image", "train_data, val, test", "validation lacks a class"):
            yield Misuse(f"{command[0]} on folder: {name}", command, LAYOUTS[name], files={"s.yaml": OWN})
