"""Trained networks that are damaged, unfinished or no such folder, and images that cannot be classified."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from misuse.bad_folders import picture
from misuse.misuse_case import Misuse, Prepare
from trained_folder import make_trained

from regstudy.production.preprocessing_file import PREPROCESSING_FILE, WEIGHTS_FILE

USES = (("predict", "out", "new"), ("convert", "out", "--pt2"))


def sound(folder: Path) -> None:
    """A network of three classes in `out`, a picture in `new`."""
    make_trained(folder / "out", {"model.name": "small_cnn"})
    picture(folder / "new" / "0.png")


def spoiled(change: Callable[[Path], object]) -> Prepare:
    def make(folder: Path) -> None:
        sound(folder)
        change(folder / "out")

    return make


def plus(change: Callable[[Path], object]) -> Prepare:
    """A sound folder with something more in it."""

    def make(folder: Path) -> None:
        sound(folder)
        change(folder)

    return make


def rewritten(name: str, content: bytes | str) -> Callable[[Path], object]:
    return lambda out: (out / name).write_bytes(content.encode() if isinstance(content, str) else content)


def with_value(key: str, value: Any) -> Callable[[Path], object]:
    def change(out: Path) -> None:
        path = out / PREPROCESSING_FILE
        path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))

    return change


def replaced_by(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    def change(out: Path) -> None:
        (out / name).unlink()
        make(out / name)

    return change


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no configuration": (lambda out: (out / "config.yaml").unlink(), "config.yaml"),
    "an empty configuration": (rewritten("config.yaml", ""), "config.yaml"),
    "a configuration with ranges": (
        rewritten("config.yaml", "model: {name: small_cnn, dropout: {low: 0, high: 1}}"),
        "",
    ),
    "another network": (rewritten("config.yaml", "data: {name: digits}\nmodel: {name: dropout_cnn}"), "dropout_cnn"),
    "an unknown network": (rewritten("config.yaml", "data: {name: digits}\nmodel: {name: smal_cnn}"), "small_cnn"),
    "no preprocessing, no metrics": (lambda out: (out / PREPROCESSING_FILE).unlink(), PREPROCESSING_FILE),
    "preprocessing cut off": (rewritten(PREPROCESSING_FILE, '{"format": 1, "netw'), PREPROCESSING_FILE),
    "preprocessing of somebody else": (rewritten(PREPROCESSING_FILE, '{"do_resize": true}'), "did not write it"),
    "preprocessing of a later version": (with_value("format", 99), "newer version"),
    "a crop larger than the images": (with_value("crop", 99), "crop is 99"),
    "images that are too small for the network": (with_value("crop", 2), "small_cnn"),
    "huge images": (with_value("size", 10**9), "size"),
    "a class less": (with_value("classes", ["a", "b"]), "does not fit"),
    "another number of channels": (with_value("channels", 1), "one value per channel"),
    "members elsewhere": (with_value("members", ["../../x"]), "not within the folder"),
    "a member that is missing": (with_value("members", ["seed_1/model.safetensors"]), "seed_1"),
    "no weights": (lambda out: (out / WEIGHTS_FILE).unlink(), WEIGHTS_FILE),
    "empty weights": (rewritten(WEIGHTS_FILE, b""), WEIGHTS_FILE),
    "weights that are text": (rewritten(WEIGHTS_FILE, b"mine"), WEIGHTS_FILE),
    "weights cut off": (lambda out: os.truncate(out / WEIGHTS_FILE, 300), WEIGHTS_FILE),
    "weights that are a folder": (replaced_by(WEIGHTS_FILE, Path.mkdir), WEIGHTS_FILE),
    "weights that are a FIFO": (replaced_by(WEIGHTS_FILE, os.mkfifo), WEIGHTS_FILE),
    "preprocessing that is a FIFO": (replaced_by(PREPROCESSING_FILE, os.mkfifo), PREPROCESSING_FILE),
    "a configuration that is a FIFO": (replaced_by("config.yaml", os.mkfifo), "config.yaml"),
}
IMAGES: dict[str, tuple[tuple[str, ...], Prepare]] = {
    "no image": (("out",), sound),
    "a missing image": (("out", "gone.png"), sound),
    "an impossible path": (("out", "x" * 300), sound),
    "an empty path": (("out", ""), sound),
    "text as an image": (("out", "notes.png"), plus(lambda f: (f / "notes.png").write_text("x"))),
    "an empty folder": (("out", "empty"), plus(lambda f: (f / "empty").mkdir())),
    "a FIFO": (("out", "pipe.png"), plus(lambda f: os.mkfifo(f / "pipe.png"))),
    "a folder that links to itself": (("out", "loop"), plus(lambda f: (f / "loop").symlink_to("loop"))),
    "a device": (("out", "/dev/zero"), sound),
    "no network": (("new", "new"), sound),
    "a network that is a file": (("out/config.yaml", "new"), sound),
    "an output that is no CSV file": (("out", "new", "-o", "p.xlsx"), sound),
    "an output that is a folder": (("out", "new", "-o", "d.csv"), plus(lambda f: (f / "d.csv").mkdir())),
    "an output of the user's": (
        ("out", "new", "-o", "m.csv"),
        plus(lambda f: (f / "m.csv").write_text("x")),
    ),
    "an output below a file": (("out", "new", "-o", "out/config.yaml/p.csv"), sound),
    "an unknown device": (("out", "new", "--device", "tpu"), sound),
    "no such device": (("out", "new", "--device", "cuda:99"), sound),
}
CONVERSIONS: dict[str, tuple[str, ...]] = {
    "no format": ("out",),
    "an unknown format": ("out", "--tflite"),
    "no folder": ("nosuch", "--pt2"),
    "a folder of images": ("new", "--pt2"),
    "two folders": ("out", "new", "--pt2"),
}


def cases() -> Iterator[Misuse]:
    for name, (change, says) in SPOILED.items():
        for words in USES:
            yield Misuse(f"{words[0]}: {name}", words, spoiled(change), says=(says,))
    for name, (images, prepare) in IMAGES.items():
        yield Misuse(f"predict: {name}", ("predict", *images), prepare)
    for name, given in CONVERSIONS.items():
        yield Misuse(f"convert: {name}", ("convert", *given), sound)
    foreign = spoiled(rewritten("model.pt2", "mine"))
    yield Misuse("convert: a file of the user's", ("convert", "out", "--pt2"), foreign, says=("--overwrite",))
