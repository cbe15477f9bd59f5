"""benchmarks/scale.py: two simulated workers take and record real trials, and the table has them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "scale.py"


@pytest.mark.table
def test_two_simulated_workers_are_measured_and_not_measured_again(tmp_path: Path) -> None:
    command = [sys.executable, BENCHMARK, "--quick", "--csv", "scale.csv", "--data-dir", tmp_path]
    first = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=240)
    assert "share" in first.stdout and first.stdout.count("SQLite") == 4  # three measurements and what follows
    rows = (tmp_path / "scale.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 4 and rows[0].startswith("storage,workers,trial")
    assert all(float(row.split(",")[6]) > 0 for row in rows[1:])  # trials per second
    again = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=240)
    assert again.stdout == first.stdout and not again.stderr
