"""Which files of a folder are images; the rule is numbered, because more files mean another split.

A study stores the number of its rule and keeps it. Rule 1 (version 0.1.0) goes by ten suffixes. Rule 2 takes any file
that is named like an image, or that begins like one whatever its name is. The formats are listed here, and not asked
of Pillow, so that another Pillow does not change which files a study uses.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from pathlib import Path, PurePath

Entry = os.DirEntry[str]
ImageTest = Callable[[Entry], bool]

LATEST_RULE = 2
SUFFIXES_OF_RULE_1 = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))
SUFFIXES = SUFFIXES_OF_RULE_1 | {
    *(".apng", ".avif", ".dds", ".jfi", ".jfif", ".jif", ".jp2", ".jpe", ".j2k", ".jpx"),
    *(".mpo", ".pbm", ".pcx", ".pfm", ".pnm", ".psd", ".qoi", ".ras", ".sgi", ".tga"),
}
# what operating systems, archives and network drives leave behind; like hidden files, they are never mentioned
LEFT_BEHIND = frozenset(
    ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "system volume information")
)

HEAD = 26  # bytes that are enough to know a format by
_BEGINNINGS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # TIFF
    *(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),  # JPEG 2000
    *(b"8BPS\0\1", b"DDS \x7c\0\0\0", b"qoif", b"\x59\xa6\x6a\x95"),  # the last is Sun raster
    *(b"\x01\xda\0\1", b"\x01\xda\0\2", b"\x01\xda\1\1", b"\x01\xda\1\2"),  # SGI
)
_NETPBM = re.compile(rb"P[1-7]\s+(#|WIDTH|\d+\s+\d+\s)")
_BMP_HEADER_SIZES = (12, 40, 52, 56, 64, 108, 124)


def suffix_of(name: str) -> str:
    """The suffix in lowercase, with its dot; empty if there is none."""
    return PurePath(name).suffix.lower()


def image_test(rule: int) -> ImageTest:
    """Whether an entry of a folder is an image under a rule; it may open the file."""
    if rule == 1:
        return named_like(SUFFIXES_OF_RULE_1)
    return lambda entry: suffix_of(entry.name) in SUFFIXES or _begins_like_an_image(entry)


def named_like(suffixes: Collection[str]) -> ImageTest:
    """As `image_test`, by the suffix alone."""
    return lambda entry: suffix_of(entry.name) in suffixes


def ignored(name: str, rule: int) -> bool:
    """Whether a file or folder is ignored without a word."""
    return name.startswith(".") or (rule > 1 and name.lower() in LEFT_BEHIND)


def is_regular(entry: Entry) -> bool:
    """Whether an entry is a file with content, or a link to one: no pipe, no socket, no device, no broken link."""
    try:
        return entry.is_file()
    except OSError:  # a link to itself, or a folder that may not be searched
        return False


def _begins_like_an_image(entry: Entry) -> bool:
    if not is_regular(entry):  # opening a pipe would wait for its other end
        return False
    try:
        with Path(entry.path).open("rb", buffering=0) as file:
            return _is_head_of_image(file.read(HEAD) or b"")
    except OSError:
        return False


def _is_head_of_image(head: bytes) -> bool:
    if head.startswith(_BEGINNINGS):
        return True
    if head[:2] == b"BM":
        return int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES
    if head[:4] == b"RIFF":
        return head[8:12] == b"WEBP"
    if head[4:8] == b"ftyp":
        return head[8:12] in (b"avif", b"avis")
    return _NETPBM.match(head) is not None
