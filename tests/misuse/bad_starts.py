"""Wrong things to start a search from: configurations to try first, and earlier studies."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from misuse.misuse_case import PLAIN, SPACE, STUDY, Misuse, Prepare, nothing

STUDIES = Path(__file__).parents[1] / "fixtures" / "studies"
GIVEN: dict[str, tuple[str | bytes, str]] = {
    "not YAML": ("a: [1", "is not valid YAML"),
    "not text": (b"\x00\xff\x01", "cannot be read"),
    "empty": ("", "is empty"),
    "a comment": ("# nothing\n", "is empty"),
    "a list": ("[1, 2]", "is not a mapping"),
    "a number": ("3", "is not a mapping"),
    "an unknown name": ("model.dropot: 0.1\nmodel.dropout: 0.1", "Did you mean 'model.dropout'?"),
    "an unknown section": ("optimzer: {lr: 0.001}\nmodel.dropout: 0.1", "Did you mean 'optimizer.lr'?"),
    "no hyperparameter": ("training: {epochs: 1}", "These are searched: model.dropout, optimizer.lr."),
    "values outside": ("model.dropout: 0.9\noptimizer: {lr: 7}", "has 2 problems"),
    "a value outside": ("optimizer.lr: 7", "is 7, but the space has 0.0001 to 0.01."),
    "text for a number": ("model.dropout: much", "is 'much', but the space has 0 to 0.5."),
    "true for a number": ("model.dropout: true", "is True, but the space has 0 to 0.5."),
    "null": ("model.dropout:", "is None, but the space has 0 to 0.5."),
    "a range": ("model: {dropout: {low: 0.1, high: 0.2}}", "is a range or a choice, but the space has 0 to 0.5."),
    "a value twice": ("model.dropout: 0.1\nmodel: {dropout: 0.2}", "is given twice"),
    "infinity": ("model.dropout: .inf", "must be a finite number"),
    "a space": (SPACE, "is a range or a choice"),
}


def fixture(name: str, statements: str = "") -> Prepare:
    """A stored study in the folder ``old``, after changes of its database."""

    def make(folder: Path) -> None:
        shutil.copytree(STUDIES / name, folder / "old")
        connection = sqlite3.connect(folder / "old" / "study.db")
        connection.executescript(statements)
        connection.close()

    return make


SOURCES: dict[str, tuple[Callable[[Path], None], str]] = {
    "nothing": (nothing, "There is no study in old."),
    "an empty folder": (lambda folder: (folder / "old").mkdir(), "There is no study in old."),
    "a file": (lambda folder: (folder / "old").write_text("a: 1") and None, "To try a configuration, use --try."),
    "a comparison": (fixture("comparison"), "old (--from) is a comparison."),
    "no trials": (fixture("search", "DELETE FROM trials;"), "has no finished trials to start from."),
    "no finished trials": (
        fixture("search", "UPDATE trials SET state = 'FAIL';"), "has no finished trials to start from.",
    ),
    "no attributes": (fixture("search", "DELETE FROM study_user_attributes;"), "was not created by `regstudy study`"),
    "no configurations": (
        fixture("search", "DELETE FROM trial_user_attributes;"), "its configuration is not stored",
    ),
    "a damaged file": (lambda folder: (folder / "old.db").write_bytes(b"x" * 99) and None, "There is no study in old."),
}  # fmt: skip


def cases() -> Iterator[Misuse]:
    for name, (content, words) in GIVEN.items():
        files: dict[str, str | bytes] = {"s.yaml": SPACE, "best.yaml": content}
        yield Misuse(f"--try {name}", (*STUDY, "--try", "best.yaml"), files=files, says=("best.yaml", words))
    spaces: dict[str, str | bytes] = {"s.yaml": SPACE, "c.yaml": PLAIN}
    yield Misuse("--try a file that is not there", (*STUDY, "--try", "best.yaml"), files=spaces, says=("best.yaml",))
    yield Misuse("--try a folder", (*STUDY, "--try", "."), files=spaces)
    yield Misuse("--try without a file", (*STUDY, "--try"), files=spaces)
    yield Misuse("--try an empty name", (*STUDY, "--try", ""), files=spaces)
    fixed = ("study", "--space", "c.yaml", "--trials", "1", "--no-doctor", "--try", "s.yaml")
    yield Misuse("--try in a space without ranges", fixed, files=spaces, says=("has no hyperparameters",))
    wrong = {**spaces, "a.yaml": "model.dropout: 3", "b.yaml": "x: 1"}
    two = (*STUDY, "--try", "a.yaml", "--try", "b.yaml")
    yield Misuse("two wrong files to --try", two, files=wrong, says=("a.yaml", "b.yaml"))
    for name, (prepare, words) in SOURCES.items():
        yield Misuse(f"--from {name}", (*STUDY, "--from", "old"), prepare, files=spaces, says=(words,))
    overlap = {**spaces, "s.yaml": SPACE.replace("low: 1e-4, high: 1e-2", "low: 1, high: 2")}
    none = (*STUDY, "--from", "old")
    says = ("none of its", "optimizer.lr is outside the space")
    yield Misuse("--from a study without overlap", none, fixture("search"), files=overlap, says=says)
    itself = (*STUDY, "--results", ".", "--study", "search", "--from", "search")
    yield Misuse("--from the study itself", itself, _itself, files=spaces)
    empty = (*STUDY, "--from", "")
    yield Misuse("--from an empty name", empty, files=spaces)


def _itself(folder: Path) -> None:
    shutil.copytree(STUDIES / "search", folder / "search")
    (folder / "s.yaml").write_text((STUDIES / "digits.yaml").read_text())
