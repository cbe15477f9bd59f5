"""How to type a call again: the command that a study stores, and the command for the full doctor."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from regstudy.space.search_space import Space
from regstudy.study.passwords import masked_url

DATA_DIR = Path("data")  # the default folder for data sets


def call_text(function: Callable[..., Any], given: Mapping[str, Any]) -> str:
    """A call of a public function, without arguments at their defaults and without passwords."""
    (_, subject), *others = given.items()
    defaults = getattr(function, "__kwdefaults__", None) or {}
    words = [_shown(subject), *(f"{key}={_shown(value)}" for key, value in others if defaults.get(key) != value)]
    return f"regstudy.{function.__name__}({', '.join(words)})"


def doctor_command(space: Space, data_dir: Path) -> str:
    """The command that runs the full doctor; FILE stands for a space that has no file."""
    words = ["regstudy", "doctor", space.source or "FILE"]
    for override in space.overrides:
        words += ["--set", override]
    return shlex.join([*words, *(["--data-dir", str(data_dir)] if data_dir != DATA_DIR else [])])


def _shown(value: object) -> str:
    """An argument as typed; objects made in Python that have no short form are described in angle brackets."""
    match value:
        case Space(source=""):
            return f"<the space '{value.name}', made in Python>"
        case Space():
            changed = f", {list(value.overrides)!r}" if value.overrides else ""
            return f"regstudy.load_space({value.source!r}{changed})"
        case Path():
            return repr(str(value))
        case Mapping():
            return "{" + ", ".join(f"{label!r}: <configuration>" for label in value) + "}"
        case list() | tuple():
            return f"[{', '.join(map(_shown, value))}]"
        case str():
            return repr(masked_url(value))
    return repr(value)
