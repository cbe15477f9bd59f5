"""Copies a shipped space, with its comments, to start one's own from."""

from __future__ import annotations

from pathlib import Path

from regstudy.errors import ConfigError, unknown
from regstudy.files.outputs import mark, seal
from regstudy.space.loader import read_text, shipped_spaces


def copied_text(name: str) -> str:
    """The text of a shipped space with a line that says where it is from. ConfigError if there is no such space."""
    shipped = shipped_spaces()
    if name not in shipped:
        sentence = unknown("shipped space", name, shipped)
        raise ConfigError(f"--from: {sentence} To copy a file of your own, use your system's copy command.")
    question, _, rest = read_text(shipped[name]).partition("\n")
    return seal(f"{question}\n# Written by {mark('init', sealed=True)}: a copy of {name}.\n{rest}")


def copy_output(name: str) -> Path:
    """The file of a copy: not the name of the original, whose study is another one."""
    return Path(f"my_{name}.yaml")
