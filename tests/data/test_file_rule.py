"""Which files are images: by suffix, or by how they begin; and that everything else is counted."""

from __future__ import annotations

import inspect
import io
import os
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from regstudy.config.schema import Data
from regstudy.data import image_folder, loading_events
from regstudy.data.decoding import FORMATS, FORMATS_OF_RULE_1, Policy, Unreadable, decode, large_images
from regstudy.data.file_rule import LATEST_RULE, SUFFIXES, SUFFIXES_OF_RULE_1, image_test
from regstudy.data.folder_walk import PassedOver, Walk
from regstudy.data.image_set import ImageSet
from regstudy.errors import DataError

SAVED = [
    *("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "MPO", "JPEG2000", "AVIF", "QOI", "DDS", "SGI"),
]
BY_SUFFIX_ONLY = {"PCX": "pcx", "TGA": "tga"}  # their files begin with nothing that is sure


def bytes_of(form: str, mode: str = "RGB") -> bytes:
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    content = io.BytesIO()
    Image.new(mode, (12, 12), 200).save(content, form, **({"save_all": True} if form == "MPO" else {}))
    return content.getvalue()


def images_of(folder: Path, rule: int = LATEST_RULE) -> tuple[list[str], PassedOver]:
    walk = Walk(folder.parent, image_test(rule), rule)
    return walk.images(folder.name), walk.passed_over


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cat").mkdir()
    return tmp_path / "cat"


@pytest.mark.parametrize("name", ["picture", "picture.dat", "picture.heic", "picture.PNG_", "picture.txt", "1.2"])
@pytest.mark.parametrize("form", SAVED)
def test_an_image_is_known_by_its_first_bytes_whatever_its_name(folder: Path, form: str, name: str) -> None:
    (folder / name).write_bytes(bytes_of(form))
    assert images_of(folder)[0] == [f"cat/{name}"]
    with large_images():
        assert decode((folder / name).read_bytes(), Policy(12)).shape == (3, 12, 12)
    found, passed = images_of(folder, rule=1)
    assert not found and passed.kinds.total() == 1


@pytest.mark.parametrize("form", BY_SUFFIX_ONLY)
def test_some_formats_are_known_by_their_suffix_only(folder: Path, form: str) -> None:
    (folder / f"picture.{BY_SUFFIX_ONLY[form]}").write_bytes(bytes_of(form))
    (folder / "picture").write_bytes(bytes_of(form))
    assert images_of(folder)[0] == [f"cat/picture.{BY_SUFFIX_ONLY[form]}"]


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_every_netpbm_file_is_known(folder: Path, mode: str) -> None:
    (folder / "picture").write_bytes(bytes_of("PPM", mode))
    (folder / "plain").write_bytes(b"P2 # gray\n2 2\n9\n0 1 2 3\n")
    assert images_of(folder)[0] == ["cat/picture", "cat/plain"]


OTHERS = {
    "text": b"a cat\n",
    "nothing": b"",
    "one byte": b"\xff",
    "a table": b"image,label\n1.png,0\n",
    "names that begin like formats": b"BMW and other cars, a list of many lines",
    "P1 of a list": b"P1 is the first of the parts",
    "a HEIC image": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "a film": b"\0\0\0\x18ftypmp42\0\0\0\0mp42",
    "a sound": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0",
    "an array": b"\x93NUMPY\x01\0v\0{'descr': '|u1'}",
    "an archive": b"PK\x03\x04\x14\0\0\0\x08\0",
    "a program": b"\x7fELF\x02\x01\x01\0\0\0\0\0",
    "zeros": bytes(100),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_passed_over_and_counted(folder: Path, name: str) -> None:
    (folder / "other.bin").write_bytes(OTHERS[name])
    (folder / "other").write_bytes(OTHERS[name])
    found, passed = images_of(folder)
    assert not found and passed.kinds == {".bin": 1, "without a suffix": 1}


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_a_file_with_the_suffix_of_an_image_is_one_even_if_it_is_broken(folder: Path, suffix: str) -> None:
    (folder / f"a{suffix.upper()}").write_bytes(b"")
    assert len(images_of(folder)[0]) == 1
    assert len(images_of(folder, rule=1)[0]) == (suffix in SUFFIXES_OF_RULE_1)


@pytest.mark.parametrize(
    "name", [".DS_Store", "._1.png", "Thumbs.db", "desktop.ini", "THUMBS.DB", "__MACOSX/1.png", "@eaDir/1.jpg"]
)
def test_what_systems_leave_behind_is_never_mentioned(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(bytes_of("PNG"))
    found, passed = images_of(folder)
    assert not found and not passed.kinds


SPECIAL = ["pipe", "socket", "device", "knot", "broken link"]


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file_is_never_opened(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = folder / "odd"
    if kind == "pipe":
        os.mkfifo(place)  # opening it would wait for ever
    elif kind == "socket":
        monkeypatch.chdir(folder)  # the name of a socket must be short
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("odd")
    else:
        place.symlink_to({"device": "/dev/zero", "knot": "odd", "broken link": "gone"}[kind])
    found, passed = images_of(folder)
    assert not found and passed.kinds == {"no regular file": 1}


def test_ways_to_the_same_folder_are_counted(folder: Path) -> None:
    (folder / "in" / "deep").mkdir(parents=True)
    (folder / "in" / "deep" / "a.png").touch()
    (folder / "up").symlink_to(folder)
    (folder / "other").symlink_to(folder / "in" / "deep")
    found, passed = images_of(folder)
    assert found == ["cat/in/deep/a.png"]
    assert passed.kinds == {"link to a folder read elsewhere": 2} and set(passed.names) == {"cat/other", "cat/up"}


def test_folders_may_be_nested_deeper_than_calls(folder: Path) -> None:
    deepest = folder.joinpath(*["d"] * 300)
    deepest.mkdir(parents=True)
    (deepest / "a.png").touch()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 120)
    try:
        found, _ = images_of(folder)
    finally:
        sys.setrecursionlimit(limit)
    assert found == ["cat/" + "d/" * 300 + "a.png"]


@pytest.mark.parametrize("what", ["stat", "scandir"])
@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), FileNotFoundError(2, "No such file")])
def test_a_folder_that_cannot_be_read_or_vanishes_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, what: str, error: OSError
) -> None:
    (folder / "within").mkdir()
    place, name = (Path, "stat") if what == "stat" else (os, "scandir")
    genuine = getattr(place, name)

    def fail(path: Any, *args: Any, **given: Any) -> Any:
        if Path(path).name == "within":
            raise error
        return genuine(path, *args, **given)

    monkeypatch.setattr(place, name, fail)
    with pytest.raises(DataError, match=r"The folder .*within cannot be read: (permission denied|no such file)\."):
        images_of(folder)


def test_the_sentence_names_kinds_and_examples_and_bounds_both(folder: Path) -> None:
    passed = PassedOver()
    assert passed.sentence(folder) == ""
    passed.add(".txt", "cat/a.txt")
    assert passed.sentence(Path("x")) == "Passed over 1 file in x: 1 .txt ('cat/a.txt')."
    for number in range(1000):
        for kind in range(number % 8):
            passed.add(f".{kind}", f"cat/{number}.{kind}")
    assert passed.sentence(Path("x")) == (
        "Passed over 3,501 files in x: 875 .0, 750 .1, 625 .2, 500 .3, 375 .4, 376 of other kinds (for example"
        " 'cat/a.txt', 'cat/1.0', 'cat/2.0')."
    )


def test_names_are_shown_on_one_line(folder: Path) -> None:
    passed = PassedOver()
    passed.add(".txt", "cat/ä\n\x1b[31m\udcff.txt")
    assert passed.sentence(folder).endswith(r"('cat/ä\n\x1b[31m\udcff.txt').")


# The whole way


def write(root: Path, suffix: str, count: int, form: str, first: int = 0) -> None:
    for number, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(first, first + count):
            pixels = np.random.default_rng(100 * number + index).integers(0, 256, (10, 10, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}{suffix}", form)


def loaded(root: Path, rule: int = LATEST_RULE, **changes: Any) -> tuple[ImageSet, list[str]]:
    heard: list[str] = []
    section = Data.model_validate({"name": "image_folder", "root": str(root), "size": 10, **changes})
    with loading_events.listening(
        lambda event: heard.append(str(event)) if isinstance(event, loading_events.Notice) else None
    ):
        found = image_folder.load("train", section, root.parent / "data", rule)
    assert found is not None
    return found, heard


def test_pictures_of_another_suffix_are_read_and_the_rest_is_named(tmp_path: Path) -> None:
    root = tmp_path / "images"
    write(root, ".png", 4, "PNG")
    write(root, ".jfif", 2, "JPEG", first=4)
    write(root, "", 1, "GIF", first=6)
    (root / "cat" / "notes.txt").write_text("x")
    (root / "labels.csv").write_text("x")
    (root / "stray.png").write_bytes(bytes_of("PNG"))
    found, heard = loaded(root)
    assert len(found) == 14
    assert heard == [
        f"Passed over 3 files in {root}: 1 .txt, 1 .csv, 1 image outside of the class folders ('cat/notes.txt',"
        " 'labels.csv', 'stray.png')."
    ]
    older, heard = loaded(root, rule=1)
    assert len(older) == 8 and older.hash != found.hash
    assert any("4 .jfif" in one for one in heard) and any("keeps its rule for image files" in one for one in heard)


def test_an_older_study_that_skips_files_skips_them_still(tmp_path: Path) -> None:
    root = tmp_path / "images"
    write(root, ".png", 4, "PNG")
    (root / "cat" / "0.png").write_bytes(bytes_of("JPEG2000"))
    for _ in range(2):  # the second time from the cache
        assert len(loaded(root, rule=1, unreadable="skip")[0]) == 7
        assert len(loaded(root, unreadable="skip")[0]) == len(loaded(root)[0]) == 8


def test_a_picture_larger_than_it_says_is_no_way_around_the_limit() -> None:
    """An icon declares a side of at most 256 pixels and can hold any PNG, so icons are not read."""
    assert not {"ICO", "ICNS", "EPS", "WMF"} & {*FORMATS, *FORMATS_OF_RULE_1}
    with large_images(), pytest.raises(Unreadable, match="not an image"):
        decode(bytes_of("ICO"), Policy(12))


def test_a_file_larger_than_memory_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from regstudy.data import pixel_cache

    root = tmp_path / "images"
    write(root, ".png", 2, "PNG")

    def decode_with_little_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(pixel_cache, "decode", decode_with_little_memory)
    with pytest.raises(DataError, match=r"4 of 4 images .*too large for the available memory"):
        loaded(root)
