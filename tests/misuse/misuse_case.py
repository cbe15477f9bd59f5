"""One wrong input: what to prepare in an empty folder, the command, and how it may end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SPACE = """
data: {name: digits, train_limit: 60, validation: 40}
model: {name: small_cnn, dropout: {low: 0.0, high: 0.5}}
optimizer: {name: adamw, lr: {low: 1e-4, high: 1e-2, log: true}}
training: {epochs: 1, batch_size: 32}
"""
PLAIN = """
data: {name: digits, train_limit: 60, validation: 40}
model: {name: small_cnn, dropout: 0.1}
training: {epochs: 1, batch_size: 32}
"""
STUDY = ("study", "--space", "s.yaml", "--trials", "1", "--no-doctor")
CHECKED = (*STUDY, "--dry-run")

Prepare = Callable[[Path], None]


def nothing(_folder: Path) -> None:
    """An empty folder."""


@dataclass(frozen=True)
class Misuse:
    """``codes`` are the exit codes that are right, ``says`` the words that the message must contain."""

    name: str
    arguments: tuple[str, ...]
    prepare: Prepare = nothing
    codes: frozenset[int] = frozenset({2})
    says: tuple[str, ...] = ()
    files: dict[str, str | bytes] = field(default_factory=dict)

    def lay_out(self, folder: Path) -> None:
        """Write the files and prepare the folder."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.prepare(folder)
