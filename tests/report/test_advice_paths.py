"""Every configuration path that an advice or finding names in backticks exists in the schema."""

from __future__ import annotations

import re
from pathlib import Path

import regstudy
from regstudy.config.fields import field_paths
from regstudy.config.run_config import RunConfig

PACKAGE = Path(regstudy.__file__).parent
DOTTED = re.compile(r"`([a-z_][a-z0-9_]*(?:\.[a-z0-9_]+)+)`")
DOCSTRING = re.compile(r'"""(?:.|\n)*?"""')


def advised_paths() -> dict[str, str]:
    """Dotted paths in backticks within the texts of report and doctor, with the file; docstrings name code instead."""
    found = {}
    for package in ("report", "doctor"):
        for file in sorted((PACKAGE / package).rglob("*.py")):
            for path in DOTTED.findall(DOCSTRING.sub("", file.read_text(encoding="utf-8"))):
                found[path] = str(file.relative_to(PACKAGE))
    return found


def test_advice_names_only_paths_that_exist() -> None:
    known, advised = set(field_paths(RunConfig)), advised_paths()
    unknown = {path: file for path, file in advised.items() if path not in known and not path.startswith("study.")}
    assert {"optimizer.lr", "training.epochs"} <= advised.keys()  # the search itself works
    assert not unknown
