"""Whatever a path is that a user gives: one paragraph, exit code 2, no traceback, no waiting, nothing written."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Command, require
from safetensors.torch import save_file
from torch import zeros

from regstudy.errors import FileError
from regstudy.files import check_file, check_folder, locked, make_folder, read_bytes, write_atomically
from regstudy.files.paths import given_path, reason, shown, system_error

pytestmark = pytest.mark.table

SPACE = """\
data: {name: digits, size: 8, train_limit: 60, validation: 60}
preprocessing: {normalize: half}
model: {name: small_cnn, dropout: {low: 0.0, high: 0.5}}
training: {batch_size: 20, epochs: 1, patience: null}
"""
CONFIG = SPACE.replace("{low: 0.0, high: 0.5}", "0.1")
LONG = "n" * 300
OVERRIDES = "-dac_override,-dac_read_search"


def folder(path: Path) -> None:
    path.mkdir(parents=True)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def dangling(path: Path) -> None:
    path.symlink_to("gone")


def circle(path: Path) -> None:
    path.symlink_to(path)


def binary(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def plain(path: Path) -> None:
    path.write_text("x")


def nothing(_path: Path) -> None: ...


STUDY = ("study", "--space", "ok.yaml", "--trials", "1", "--no-doctor", "--device", "cpu")
TRAIN = ("train", "config.yaml", "--device", "cpu")
# what stands in the way and where, the command, and words that must be said
CASES: list[tuple[Callable[[Path], None], str, tuple[str, ...], str]] = [
    *[
        (spoil, "x.yaml", ("study", "--space", "x.yaml"), words)
        for spoil, words in [
            (folder, "x.yaml cannot be read: it is a folder"),
            (pipe, "it is a pipe"),
            (dangling, "is a link to gone, which does not exist"),
            (circle, "its links lead in a circle"),
            (binary, "not UTF-8"),
            (device, "it is a device"),
            (nothing, "There is no space file 'x.yaml'"),
        ]
    ],
    *[
        (spoil, "x.yaml", ("train", "x.yaml"), words)
        for spoil, words in [
            (folder, "it is a folder"),
            (pipe, "it is a pipe"),
            (dangling, "is a link to gone"),
            (circle, "circle"),
            (device, "it is a device"),
            (nothing, "no such file"),
        ]
    ],
    (plain, "file", ("train", "file/x.yaml"), "file is a file, not a folder"),
    (plain, "file", ("study", "--space", "file/x.yaml"), "There is no space file"),
    *[
        (nothing, "x", (*command, option, value), words)
        for command, option in [
            (STUDY, "--results"),
            (STUDY, "--data-dir"),
            (TRAIN, "-o"),
            (TRAIN, "--data-dir"),
            (TRAIN, "--init"),
            (("preview", "ok.yaml"), "-o"),
            (("doctor", "ok.yaml"), "--json"),
            (("export", "results/x"), "-o"),
            (("worker", "--study", "x", "--storage", "postgresql://u@localhost:1/x"), "--results"),
        ]
        for value, words in [
            ("", "is empty"),
            (" ", "is empty"),
            (f"a/{LONG}", "has 300 bytes, and at most 255 are allowed"),
            ("ab/" * 1500, "has 4500 bytes" if option != "-o" else "bytes, and at most"),
            ("a\0b", "NUL"),
            ("~nobody_of_that_name/x", "there is no home folder of ~nobody_of_that_name"),
        ]
    ],
    *[
        (nothing, "x", (command, value), words)
        for command in ("train", "report", "dashboard", "export")
        for value, words in [("", "is empty"), (LONG, "has 300 bytes"), ("a\0b", "NUL"), ("~nobody_x", "home folder")]
    ],
    *[
        (spoil, "out", (*command, "out"), words)
        for command in ((*STUDY, "--results"), (*TRAIN, "-o"))
        for spoil, words in [
            (plain, "out is a file"),
            (dangling, "is a link to gone, which does not exist"),
            (pipe, "is a file"),
        ]
    ],
    (plain, "file", (*STUDY, "--results", "file/deeper"), "file is a file"),
    (folder, "p.png", ("preview", "ok.yaml", "-o", "p.png"), "p.png is a folder"),
    (pipe, "p.png", ("preview", "ok.yaml", "-o", "p.png"), "p.png is a pipe"),
    (device, "p.png", ("preview", "ok.yaml", "-o", "p.png"), "p.png is a device"),
    (folder, "d.json", ("doctor", "ok.yaml", "--json", "d.json"), "d.json is a folder"),
    (pipe, "d.json", ("doctor", "ok.yaml", "--json", "d.json"), "d.json is a pipe"),
    (folder, "w.pt", (*TRAIN, "--init", "w.pt"), "w.pt is a folder"),
    (pipe, "w.pt", (*TRAIN, "--init", "w.pt"), "w.pt is a folder, a pipe or a device"),
    (dangling, "w.pt", (*TRAIN, "--init", "w.pt"), "no file w.pt"),
    (folder, "results/ok/study.db", STUDY, "study.db is a folder"),
    (folder, "results/ok/study.lock", STUDY, "study.lock is a folder"),
    (folder, "results/ok/report.html", STUDY, "report.html is a folder"),
    (nothing, "x", (*STUDY, "--results", "/proc/self"), "/proc/self"),
    (folder, "data/test_openings.jsonl", TRAIN, "test_openings.jsonl is a folder"),
]


@pytest.mark.parametrize("dry", [False, True], ids=["run", "dry run"])
def test_a_path_that_cannot_be_used_is_one_paragraph(regstudy: Command, tmp_path: Path, dry: bool) -> None:
    """All in one test, because each command is fast and each fixture is not; a dry run checks the same."""
    wrong = []
    for number, (spoil, name, command, words) in enumerate(CASES):
        if dry and command[: len(STUDY)] != STUDY:
            continue
        here = tmp_path / str(number)
        here.mkdir()
        os.chdir(here)
        (here / "ok.yaml").write_text(SPACE)
        (here / "config.yaml").write_text(CONFIG)
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        spoil(here / name)
        before = sorted(here.rglob("*"))
        done = regstudy(*command, *(["--dry-run"] if dry else []))
        said = " ".join(done.stderr.split())
        fine = done.returncode == 2 and words in said and said.count("error: ") == 1 and "Traceback" not in said
        if not fine or sorted(here.rglob("*")) != before:
            wrong.append((command, done.returncode, said[-300:], sorted({*here.rglob("*")} ^ {*before})))
    assert wrong == []


@pytest.mark.parametrize("home", ["--results=~/mine", "--results=~"])
def test_the_home_folder_is_found_where_the_shell_leaves_the_tilde(
    regstudy: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    (tmp_path / "ok.yaml").write_text(SPACE)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert regstudy(*STUDY, home).returncode == 0
    assert list((tmp_path / "home").rglob("study.db"))
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "permission denied"),
        (errno.EPERM, "permission denied"),
        (errno.EROFS, "the file system is read-only"),
        (errno.ELOOP, "its links lead in a circle"),
        (errno.EISDIR, "it is a folder"),
        (errno.EIO, "input/output error"),
        (errno.ENXIO, "it is a pipe, a socket or a device"),
        (errno.ESTALE, "stale file handle"),
    ],
)
@pytest.mark.parametrize("action", [read_bytes, lambda path: write_atomically(path, "new"), check_file])
def test_what_the_system_says_is_put_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str, action: Callable[[Path], object]
) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    def refuse(path: object, *_: object) -> int:
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(FileError, match=f"file cannot be (read|written): {words}"):
            action(file)
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EIO])
def test_a_folder_that_the_system_refuses_is_put_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    for action in (check_folder, make_folder):
        with pytest.raises(FileError, match="cannot be used as a folder: "):
            action(tmp_path / "new")


def test_errors_that_nothing_explained_are_still_a_sentence() -> None:
    assert system_error(PermissionError(13, "Permission denied", "/x")) == "/x cannot be used: permission denied."
    assert system_error(ConnectionRefusedError(111, "Connection refused")) == "Connection refused."
    assert reason(OSError("odd")) == "odd"


def test_a_path_for_a_message_is_short_and_printable() -> None:
    assert shown("a\x1b[31m\n\udcff") == "a\\x1b[31m\\n\\udcff"
    assert len(shown("x" * 5000)) < 200


def test_a_lock_that_another_process_holds_is_told(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from regstudy.files import locked\n"
        f"with locked(Path({str(tmp_path / 'a.lock')!r})): print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline()
        with (
            pytest.raises(FileError, match=r"Another process has held .*a\.lock for 0\.2 seconds"),
            locked(tmp_path / "a.lock", 0.2),
        ):
            pass
        other.kill()


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_files_have_the_mode_that_the_umask_gives(regstudy: Command, tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        (tmp_path / "ok.yaml").write_text(SPACE)
        assert regstudy(*STUDY).returncode == 0
        assert regstudy("export", "results/ok").returncode == 0
        assert regstudy("train", "best.yaml", "--device", "cpu").returncode == 0
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"study.db", "report.html", "best.yaml", "metrics.json", "test_openings.jsonl"} <= names
    wrong = {path.name: oct(path.stat().st_mode) for path in files if path.stat().st_mode & 0o777 != 0o666 & ~mask}
    assert wrong == {}


def test_a_replaced_file_keeps_its_mode_and_a_link_its_target(tmp_path: Path) -> None:
    (tmp_path / "private").write_text("old")
    (tmp_path / "private").chmod(0o600)
    (tmp_path / "link").symlink_to("private")
    write_atomically(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "private").read_text() == "new"
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600


def test_a_device_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "null").symlink_to("/dev/null")
    for path in (Path("/dev/null"), tmp_path / "null"):
        with pytest.raises(FileError, match="is a device"):
            write_atomically(path, "x")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "📷" * 63])
def test_names_of_full_length_can_be_written(tmp_path: Path, name: str) -> None:
    write_atomically(tmp_path / name, "text")
    assert (tmp_path / name).read_text() == "text"


def bound(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command that permissions bind, although root may run it."""
    free = [] if os.geteuid() else ["setpriv", f"--inh-caps={OVERRIDES}", f"--bounding-set={OVERRIDES}"]
    require(not free or shutil.which("setpriv") is not None, "needs setpriv, to be bound by permissions as root")
    return subprocess.run([*free, sys.executable, "-m", "regstudy", *arguments], capture_output=True, text=True)


def test_a_path_without_permission_is_one_paragraph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ok.yaml").write_text(SPACE)
    Path("config.yaml").write_text(CONFIG)
    Path("secret.yaml").write_text(SPACE)
    save_file({"a": zeros(1)}, "w.safetensors")
    Path("results/ok").mkdir(parents=True)
    Path("results/ok/study.lock").touch()
    for name, mode in [("closed", 0o000), ("read_only", 0o555)]:
        Path(name).mkdir()
        Path(name).chmod(mode)
    for name in ("secret.yaml", "w.safetensors", "results/ok/study.lock"):
        Path(name).chmod(0o000)
    try:
        for command, words in [
            (("study", "--space", "secret.yaml"), "secret.yaml cannot be read: permission denied"),
            (("study", "--space", "closed/x.yaml"), "closed/x.yaml cannot be read: permission denied"),
            ((*STUDY, "--results", "read_only"), "permission denied"),
            ((*STUDY, "--results", "closed/deeper", "--dry-run"), "permission denied"),
            ((*STUDY, "--dry-run"), "study.lock cannot be written: permission denied"),
            ((*TRAIN, "--init", "w.safetensors"), "w.safetensors cannot be read: permission denied"),
            ((*TRAIN, "-o", "read_only/out"), "permission denied"),
            ((*TRAIN, "--data-dir", "read_only"), "permission denied"),
            (("report", "closed/x"), "permission denied"),
        ]:
            done = bound(*command)
            assert (done.returncode, done.stderr.count("\n")) == (2, 1), (command, done.stderr)
            assert words in done.stderr and done.stderr.startswith("error: "), (command, done.stderr)
    finally:
        Path("closed").chmod(0o700)


def test_given_path_leaves_ordinary_paths_alone() -> None:
    assert given_path("a/b c/ü.yaml") == Path("a/b c/ü.yaml")
    assert given_path(given_path("./~x")) == Path("~x")
