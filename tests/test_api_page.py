"""docs/api.md: its examples run in their order, and it describes every column of the tables."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from regstudy.records import COLUMNS
from regstudy.study.tables import TRIAL_COLUMNS

PAGE = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.table
def test_the_examples_run_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(EXAMPLES) >= 10
    names: dict[str, object] = {"__name__": "page"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Lightning, and of a schedule that was drawn with mix-up
        for example in EXAMPLES:
            exec(compile(example, "docs/api.md", "exec"), names)


def described(heading: str) -> set[str]:
    """The columns in the table beneath a heading."""
    table = PAGE.partition(heading)[2].partition("\n#")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_column_of_the_trials_is_described() -> None:
    assert set(TRIAL_COLUMNS) <= described("### `trials.csv`")


def test_every_column_of_the_epochs_is_described() -> None:
    wanted = {"number", "slot", "arm", *COLUMNS, "gap_accuracy", "gap_loss"}
    assert described("### `epochs.csv`") == wanted
