"""The rule for files that are in the way: a command replaces only what the same command has written.

Every format has a place for its mark: a comment in YAML, HTML, SVG and Markdown, a key in JSON, a text chunk in PNG,
the metadata of safetensors, the names of the columns in CSV. What people like to edit also carries a digest, so that an
edited file counts as theirs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from regstudy.errors import FileError
from regstudy.files import check_file, read_bytes
from regstudy.files.paths import shown

HEAD_BYTES = 4096  # the mark stands near the beginning
BLANK = "0" * 12  # stands for the digest while that is computed
KEY = "written_by"  # of the mark in JSON
DATABASE = re.compile(r"study\.(db(-.*)?|lock)", re.IGNORECASE)
SQLITE = b"SQLite format 3\0"
PLACES = rb'(?:# Written by |<!-- Written by |"written_by": ?"|name="generator" content="|Software\0)regstudy '


def mark(command: str, *, sealed: bool = False) -> str:
    """What says that `regstudy <command>` wrote a file; a sealed text gets its digest from `seal`."""
    return f"regstudy {command}, digest {BLANK}" if sealed else f"regstudy {command}"


def seal(text: str) -> str:
    """A text that contains a sealed mark, with its digest filled in."""
    return text.replace(BLANK, _digest(text.encode()), 1)


def check_output(path: Path, command: str, overwrite: bool = False) -> None:
    """FileError unless `regstudy <command>` may write this file: see `check_outputs`."""
    check_outputs({path: ()}, command, overwrite)


def check_outputs(
    files: Mapping[Path, Sequence[bytes]], command: str, overwrite: bool = False, remedy: str = ""
) -> None:
    """FileError unless all files are free or empty, were written by the same command, or may be overwritten.

    Each file comes with regular expressions by which an unmarked one is recognized, such as the columns of a CSV file.
    The database of a study is never replaced.
    """
    foreign = []
    for path, signs in files.items():
        if DATABASE.fullmatch(path.name):
            raise _database(path)
        check_file(path)
        if not path.exists():
            continue
        head = read_bytes(path, HEAD_BYTES)
        if head.startswith(SQLITE):
            raise _database(path)
        if head.strip() and not overwrite and not _is_ours(path, head, command, signs):
            foreign.append(path)
    if foreign:
        names = ", ".join(shown(path) for path in foreign)
        study = next((path.parent for path in foreign if (path.parent / "study.db").exists()), None)
        of_study = f" It belongs to the study in {shown(study)}." if study is not None else ""
        there, it = ("exists", "it") if len(foreign) == 1 else ("exist", "them")
        raise FileError(
            f"{names} {there} already, and `regstudy {command}` did not write {it}, or somebody has changed {it} since."
            f"{of_study} {remedy or f'Choose another name, or replace {it} with --overwrite.'}"
        )


def _database(path: Path) -> FileError:
    return FileError(
        f"{shown(path)} is the name or the content of a study's database, which no command replaces. Choose another"
        " file name."
    )


def _is_ours(path: Path, head: bytes, command: str, signs: Sequence[bytes]) -> bool:
    if any(re.search(sign, head) for sign in signs):
        return True
    found = re.search(PLACES + re.escape(command.encode()) + rb"(?:, digest ([0-9a-f]{12}))?", head)
    if found is None:
        return False
    return found[1] is None or found[1].decode() == _digest(read_bytes(path).replace(found[1], BLANK.encode(), 1))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[: len(BLANK)]
