"""What the terminal shows: names as they are, commands that can be pasted, completion, the version."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Command

from regstudy.cli.completion import complete_space
from regstudy.cli.console import PlainConsole
from regstudy.text import printable

pytestmark = pytest.mark.table

SMALL = "data: {name: digits, train_limit: 60, validation: 60}\nmodel: {name: dropout_cnn}\ntraining: {epochs: 1}\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with ä, × and 日本", "plain, with ä, × and 日本"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x00\x07\r\x7f\x9b", "\\x00\\x07\\r\\x7f\\x9b"),
        ("abc\u202egnp.exe", "abc\\u202egnp.exe"),
        ("half \ud800", "half \\ud800"),
        (":smile: [red]x[/red]", ":smile: [red]x[/red]"),
    ],
)
def test_names_are_shown_as_they_are(text: str, shown: str) -> None:
    assert printable(text) == shown
    console = PlainConsole()
    console.file = io.StringIO()
    console.print(text)
    assert console.file.getvalue().rstrip("\n").expandtabs() == shown.expandtabs()


NAMES = [":smile:", "[red]", "[bold]a[/bold]"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_arms_are_shown_as_they_are(name: str, regstudy: Command, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(SMALL)
    arms = ["--arm", f"{name}: training.epochs=1", "--arm", "b"]
    done = regstudy("compare", "own.yaml", *arms, "--repeats", "2", "--dry-run")
    assert name in done.stdout + done.stderr


def test_errors_show_control_characters_escaped(regstudy: Command) -> None:
    done = regstudy("study", "--space", "\x1b[31m:smile:[red].yaml")
    assert done.returncode == 2
    assert "\\x1b[31m:smile:[red].yaml" in done.stderr and "\x1b" not in done.stderr


@pytest.mark.parametrize("name", ["my space.yaml", "größe.yaml", "it's.yaml", "a;b.yaml", "$HOME.yaml"])
def test_printed_commands_can_be_pasted(name: str, regstudy: Command, tmp_path: Path) -> None:
    (tmp_path / name).write_text(SMALL)
    done = regstudy("study", "--space", name, "--trials", "1", "--results", "my results")
    assert done.returncode == 0, done.stderr
    commands = [
        line.partition(": ")[2].strip()
        for line in done.stdout.splitlines()
        if ": regstudy " in line or ":    regstudy " in line
    ]
    assert len(commands) == 3
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "regstudy"
        assert words[2] == name if words[1] == "doctor" else Path(words[2]).parent == Path("my results")
    shown = regstudy("doctor", name, "--preflight")
    hints = [line for line in shown.stdout.splitlines() if "regstudy doctor" in line]
    assert all(shlex.quote(name) in line for line in hints)


def test_init_takes_a_path_whatever_its_name(regstudy: Command, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(SMALL)
    for name in ("null", "1.5", "{a: b}.pt", "a: b.pt", "# x.pt", "*.pt", 'q"u\\o.pt'):
        done = regstudy("train", "own.yaml", "--init", name)
        assert done.returncode == 2
        assert "model.weights: " in done.stderr and name in done.stderr, done.stderr


def test_bad_files_in_the_folder_of_spaces_are_listed_with_the_reason(regstudy: Command, tmp_path: Path) -> None:
    folder = tmp_path / "search_spaces"
    folder.mkdir()
    (folder / "good.yaml").write_text("# Good?\n" + SMALL)
    (folder / "latin.yaml").write_bytes("# Größe\n".encode("latin-1"))
    (folder / "syntax.yaml").write_text("a: [\n")
    (folder / "bomb.yaml").write_text("a: &a [*a]\n")
    (folder / "date.yaml").write_text("study: {seed: 2021-02-31}\n")
    (folder / "empty.yaml").write_text("")
    (folder / "keys.yaml").write_text("1: 2\n? [a]\n: 3\n")
    (folder / "dir.yaml").mkdir()
    (folder / "gone.yaml").symlink_to(folder / "nowhere")
    (folder / "huge.yaml").write_text("# huge\n" * 100_000)
    done = regstudy("spaces")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("cannot be used: ") == 9
    assert "good\n    Good?\n    0 hyperparameters of dropout_cnn on digits" in done.stdout
    assert "svhn_resnet" in done.stdout


def test_the_version(regstudy: Command) -> None:
    done = regstudy("--version")
    assert done.returncode == 0 and done.stdout.startswith("regstudy ")


def test_completion_offers_spaces_files_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits.yaml").write_text("")
    (tmp_path / "digits.txt").write_text("")
    (tmp_path / "dig").mkdir()
    assert complete_space("dig") == ["digits_cnn", "digits.yaml", "dig/"]
    assert "svhn_resnet" in complete_space("")
    assert complete_space("[") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_shown_for_every_shell(shell: str) -> None:
    done = _python({"_REGSTUDY_COMPLETE": f"source_{shell}"})
    assert done.returncode == 0 and "regstudy" in done.stdout and "COMPLETE" in done.stdout


def test_the_shell_completes_spaces_without_torch() -> None:
    script = "import sys; from regstudy.cli.app import main\ntry: main([])\nfinally: assert 'torch' not in sys.modules"
    given = {"_REGSTUDY_COMPLETE": "complete_bash", "COMP_WORDS": "regstudy study --space svhn_v", "COMP_CWORD": "3"}
    done = _python(given, "-c", script)
    assert done.returncode == 0 and done.stdout.split() == ["svhn_vgg"], done.stderr


def _python(given: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(arguments or ("-m", "regstudy"))]
    return subprocess.run(command, env={**os.environ, **given}, capture_output=True, text=True, check=False)
