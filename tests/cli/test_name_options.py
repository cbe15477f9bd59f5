"""Every option of every command that takes one of some names, found in the program: what a wrong name leads to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import pytest
import typer
from conftest import Command

from regstudy.cli.app import app
from regstudy.cli.name_options import name_option, number_or_auto
from regstudy.errors import RegstudyError

FREE = {  # options of any text, or of a name that depends on the user's files
    "--arm", "--budget", "--from", "--set", "--space", "--storage", "--study", "--trial-timeout", "--try",
}  # fmt: skip
NEEDED = {  # what each command needs besides the option
    "answer": ("s.yaml", "--budget", "1h"), "compare": ("s.yaml",), "init": ("photos",), "predict": ("out", "a.png"),
    "preview": ("s.yaml",), "spaces": (), "study": ("--space", "s.yaml", "--dry-run"), "train": ("s.yaml",),
    "worker": ("--study", "s", "--storage", "postgresql://u@127.0.0.1:1/s"),
}  # fmt: skip
WITH = {"--address": ("--launcher", "ray")}
SPACE = "data: {name: digits}\nmodel: {name: small_cnn}\ntraining: {epochs: 1}\n"


class Option(NamedTuple):
    """An option of a command, and the names that it takes."""

    command: str
    option: str
    names: tuple[str, ...]


def options(program: typer.Typer) -> Iterator[tuple[Option, bool]]:
    """All options but flags, and whether each takes text."""
    made = typer.main.get_command(program).commands  # type: ignore[attr-defined]
    for command in program.registered_commands:
        assert command.callback is not None
        name = command.callback.__name__
        hints = get_type_hints(command.callback)
        for one in made[name].params:
            if not one.opts[0].startswith("-") or one.name not in hints:
                continue  # an argument, or an option of typer's own
            shown = [word for word in (one.metavar or "").split("|") if re.fullmatch("[a-z][a-z+]*", word)]
            names = tuple(dict.fromkeys([*literals(hints[one.name]), *shown]))
            yield Option(name, one.opts[-1], names), bool({str, Any} & {*parts(hints[one.name])})


def parts(kind: Any) -> list[Any]:
    """The types within a type."""
    return [kind, *(inner for one in get_args(kind) if get_origin(kind) is not Literal for inner in parts(one))]


def literals(kind: Any) -> list[str]:
    """The names that a type allows."""
    found = [str(one) for part in parts(kind) if get_origin(part) is Literal for one in get_args(part)]
    enums = [part for part in parts(kind) if isinstance(part, type) and issubclass(part, Enum)]
    return found + [str(one.value) for part in enums for one in part]


FOUND = [(option, text) for option, text in options(app)]
NAMED = [option for option, _ in FOUND if option.names]


def test_the_scan_finds_the_options() -> None:
    assert len(FOUND) > 120 and len(NAMED) >= 20
    known = {"--address", "--device", "--format", "--launcher", "--on", "--pruner", "--until", "--workers"}
    assert {option.option for option in NAMED} >= known


def test_every_other_text_is_free() -> None:
    unclear = {option.option for option, text in FOUND if text and not option.names} - FREE
    assert not unclear, "say which names it takes, by name_option or metavar, or put it into FREE"


def wrong(name: str) -> set[str]:
    """Misspellings of a name."""
    return {name[:-1], name.upper(), f"{name[0]}{name[2]}{name[1]}{name[3:]}"} - {"cp"}


CASES = [(option, name, given) for option in NAMED for name in option.names for given in sorted(wrong(name) - {name})]


@pytest.mark.parametrize(("option", "name", "given"), CASES, ids=lambda case: case if isinstance(case, str) else "")
def test_a_misspelled_name_is_told_with_the_nearest_and_all(
    option: Option, name: str, given: str, regstudy: Command, tmp_path: Path
) -> None:
    assert f"Did you mean '{name}'?" in message(option, given, regstudy, tmp_path)


@pytest.mark.parametrize("given", ["zzz", ""])
@pytest.mark.parametrize("option", NAMED, ids=lambda one: f"{one.command} {one.option}")
def test_a_name_near_to_none_gets_no_guess(option: Option, given: str, regstudy: Command, tmp_path: Path) -> None:
    assert "Did you mean" not in message(option, given, regstudy, tmp_path)


def message(option: Option, given: str, regstudy: Command, folder: Path) -> str:
    """What a command says to a wrong name, which must be one paragraph with all names."""
    (folder / "s.yaml").write_text(SPACE)
    before = sorted(folder.rglob("*"))
    arguments = (*NEEDED.get(option.command, ("results/s",)), *WITH.get(option.option, ()), option.option, given)
    done = regstudy(option.command, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    said = done.stderr.strip()
    assert re.match(rf"error: {option.option[2:]} \({option.option}\): ", said) and "\n\n" not in said, said
    assert "Value error" not in said and f"'{given}'" in said
    assert all(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", said) for name in option.names), said
    assert sorted(folder.rglob("*")) == before
    return said


@pytest.mark.parametrize(("given", "meant"), [("gpu", "cuda"), ("GPU:1", "cuda"), ("cuad:1", "cuda")])
def test_a_gpu_is_called_cuda(given: str, meant: str, regstudy: Command) -> None:
    assert f"Did you mean '{meant}'" in regstudy("doctor", "digits_cnn", "--device", given).stderr


def test_names_are_offered_by_the_shell_and_taken() -> None:
    option = name_option("color", ("red", "green"), "--color")
    assert option.autocompletion("g") == ["green"] and option.parser("red") == "red"
    with pytest.raises(RegstudyError) as told:
        option.parser("gren")
    assert str(told.value) == "color (--color): there is no color 'gren'. Did you mean 'green'? Allowed: green, red."
    assert not isinstance(told.value, ValueError)  # typer would put words before it


@pytest.mark.parametrize(("text", "value"), [("auto", "auto"), ("1", 1), ("256", 256)])
def test_numbers_and_auto(text: str, value: int | str) -> None:
    assert number_or_auto(256, "--workers").parser(text) == value


@pytest.mark.parametrize("text", ["0", "257", "1.5", "-1", "", "²", "9" * 5000])
def test_other_numbers_are_refused(text: str) -> None:
    with pytest.raises(RegstudyError, match="must be auto or a whole number from 1 to 256"):
        number_or_auto(256, "--workers").parser(text)
