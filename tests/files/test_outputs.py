"""A command replaces only what it has written itself, and never a study's database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Command

from regstudy.errors import FileError
from regstudy.files.outputs import check_output, mark, seal

pytestmark = pytest.mark.table

SPACE = """\
# A space of the user's, to be checked by: regstudy doctor mine.yaml, digest 000000000000
data: {name: digits, size: 8, train_limit: 60, validation: 60}
preprocessing: {normalize: half}
model: {name: small_cnn, dropout: {low: 0.0, high: 0.5}}
augmentation: {strength: {low: 0.0, high: 1.0}, ops: [crop]}
training: {batch_size: 20, epochs: 1, patience: null}
"""
STUDY = ("study", "--space", "mine.yaml", "--trials", "1", "--no-doctor", "--device", "cpu")
MARKED = {
    "yaml": f"# Written by {mark('export')}.\na: 1\n",
    "sealed": seal(f"# Written by {mark('export', sealed=True)}.\na: 1\n"),
    "json": f'{{\n  "written_by": "{mark("export")}",\n  "a": 1}}\n',
    "html": f'<!doctype html><meta name="generator" content="{mark("export")}">',
    "markdown": f"<!-- Written by {mark('export')} -->\n## a",
    "empty": "",
    "blank": "\n",
}


@pytest.mark.parametrize("content", MARKED.values(), ids=MARKED)
def test_what_the_same_command_has_written_is_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / "x").write_text(content)
    check_output(tmp_path / "x", "export")


@pytest.mark.parametrize(
    "content",
    [
        "data: {name: digits}\n",
        "# Written by me\na: 1\n",
        "# made for: regstudy export\n",
        f"# Written by {mark('doctor')}.\n",
        MARKED["sealed"].replace("a: 1", "a: 2"),
        "x" * 5000 + MARKED["yaml"],
    ],
)
def test_anything_else_is_not_unless_asked(tmp_path: Path, content: str) -> None:
    (tmp_path / "x").write_text(content)
    with pytest.raises(FileError, match=r"exists already, and `regstudy export` did not write it.*--overwrite"):
        check_output(tmp_path / "x", "export")
    check_output(tmp_path / "x", "export", overwrite=True)


@pytest.mark.parametrize("name", ["study.db", "study.db-wal", "study.db-shm", "study.lock", "STUDY.DB"])
def test_the_names_of_a_database_are_never_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match="database, which no command replaces"):
        check_output(tmp_path / name, "export", overwrite=True)


def test_a_database_of_any_name_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "backup.yaml").write_bytes(b"SQLite format 3\0...")
    (tmp_path / "link.yaml").symlink_to(tmp_path / "backup.yaml")
    for name in ("backup.yaml", "link.yaml"):
        with pytest.raises(FileError, match="database"):
            check_output(tmp_path / name, "export", overwrite=True)


@pytest.fixture
def finished(regstudy: Command, tmp_path: Path) -> Path:
    """A working folder with a space, a finished study of one trial and its export."""
    (tmp_path / "mine.yaml").write_text(SPACE)
    assert regstudy(*STUDY).returncode == 0
    assert regstudy("export", "results/mine", "-o", "best.yaml").returncode == 0
    return tmp_path


PLACE = "results/mine"
TRAIN = ("train", "best.yaml", "--device", "cpu", "-o")
CASES: list[tuple[tuple[str, ...], str]] = [
    (("export", PLACE, "-o", "mine.yaml"), "mine.yaml"),
    (("export", PLACE, "-o", f"{PLACE}/report.html"), f"{PLACE}/report.html"),
    (("export", PLACE, "-o", f"{PLACE}/study.db"), f"{PLACE}/study.db"),
    (("doctor", "mine.yaml", "--json", "mine.yaml"), "mine.yaml"),
    (("doctor", "mine.yaml", "--json", f"{PLACE}/study.db"), f"{PLACE}/study.db"),
    (("doctor", "mine.yaml", "-o", f"{PLACE}/report.html"), f"{PLACE}/report.html"),
    (("preview", "mine.yaml", "-o", "photo.png"), "photo.png"),
    ((*TRAIN, "."), "config.yaml"),
    ((*TRAIN, "."), "metrics.json"),
    ((*TRAIN, "."), "checkpoint.pt"),
    ((*TRAIN, "."), "model.safetensors"),
    ((*TRAIN, "."), "epochs.csv"),
    (("report", PLACE), f"{PLACE}/summary.md"),
    (("report", PLACE), f"{PLACE}/trials.csv"),
    (("report", PLACE), f"{PLACE}/report.html"),
    ((*STUDY, "--study", "new"), "results/new/report.html"),
    ((*STUDY, "--study", "new", "--dry-run"), "results/new/epochs.csv"),
]


def test_no_command_replaces_a_file_of_the_users(finished: Path, regstudy: Command) -> None:
    for command, name in CASES:
        file = finished / name
        before = file.read_bytes() if file.exists() else None
        if not file.exists() or (name.startswith(f"{PLACE}/") and command[0] == "report"):
            file.parent.mkdir(exist_ok=True)
            file.write_text("of the user")
        held = file.read_bytes()
        done = regstudy(*command)
        assert done.returncode == 2, (command, name)
        assert done.stderr.startswith("error: ") and file.name in done.stderr, (command, done.stderr)
        assert file.read_bytes() == held, (command, name)
        if before is not None:
            file.write_bytes(before)
        else:
            file.unlink()
    assert not list(finished.glob(".*"))


def test_every_command_replaces_what_it_wrote_and_asked_for_also_the_rest(finished: Path, regstudy: Command) -> None:
    commands: list[tuple[str, ...]] = [
        ("export", PLACE, "-o", "again.yaml"),
        ("export", PLACE, "-o", "again.json"),
        ("export", PLACE, "-o", f"{PLACE}/best.yaml"),
        ("preview", "mine.yaml", "-o", "again.png"),
        ("doctor", "mine.yaml", "--preflight", "--json", "found.json", "-o", "found.html"),
        (*TRAIN, "out"),
        ("report", PLACE),
    ]
    for command in [*commands, *commands]:
        done = regstudy(*command)
        assert done.returncode in (0, 1) and "error" not in done.stderr, (command, done.stderr)
    for name in ("again.yaml", "again.json", "again.png", "found.json", "out/config.yaml"):
        (finished / name).write_text("of the user")
    for command in [commands[0], commands[1], commands[3], commands[4], commands[5]]:
        assert regstudy(*command).returncode == 2, command
        assert regstudy(*command, "--overwrite").returncode in (0, 1), command


def test_an_export_to_json_is_json_and_trains(finished: Path, regstudy: Command) -> None:
    assert regstudy("export", PLACE, "-o", "best.json").returncode == 0
    tree = json.loads((finished / "best.json").read_text())
    assert tree["written_by"].startswith("regstudy export, digest ")
    assert tree["model"]["name"] == "small_cnn"
    assert regstudy("train", "best.json", "--device", "cpu", "-o", "one").returncode == 0
    assert regstudy(*TRAIN, "two").returncode == 0
    assert (finished / "one" / "config.yaml").read_bytes() == (finished / "two" / "config.yaml").read_bytes()


def test_an_edited_export_counts_as_the_users(finished: Path, regstudy: Command) -> None:
    file = finished / "best.yaml"
    file.write_text(file.read_text().replace("epochs: 1", "epochs: 2"))
    edited = file.read_text()
    assert regstudy("export", PLACE).returncode == 2
    assert file.read_text() == edited
