"""A disk that runs full in mid-study: one paragraph, a sound database, and the same command goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import require
from faults.checks import assert_curves_repeat, assert_intact, assert_sound
from faults.commands import Start, finished, until

pytest_plugins = ["faults.fixtures"]
pytestmark = pytest.mark.table
STUDY = ("study", "--space", "faulty.yaml", "--no-doctor", "--device", "cpu", "--data-dir", ".", "--results", "small")


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system in the working folder that holds a small study and its report, and little more."""
    place = folder / "small"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], capture_output=True)
    require(done.returncode == 0, f"a tmpfs cannot be mounted: {done.stderr!r}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path, leave: int) -> None:
    """Write a file until only so many bytes are free."""
    with (disk / "ballast").open("wb", buffering=0) as ballast, pytest.raises(OSError, match="No space left"):
        while True:
            ballast.write(b"x" * 4096)
    with (disk / "ballast").open("r+b") as ballast:
        ballast.truncate(max(0, (disk / "ballast").stat().st_size - leave))


@pytest.mark.parametrize(("workers", "leave"), [(1, 50_000), (2, 0)])
def test_a_full_disk_ends_the_study_in_a_paragraph_and_costs_no_trial(
    start: Start, small_disk: Path, workers: int, leave: int
) -> None:
    arguments = (*STUDY, "--trials", "8", "--workers", str(workers), "--threads", str(workers))
    place = small_disk / "faulty"
    command = start(*arguments)
    until(lambda: finished(place / "study.db") > 0, "a trial is finished")
    fill(small_disk, leave)
    assert command.wait() == 2, command.said
    assert "full" in command.stderr
    assert command.stderr.count("\n") == 1, command.stderr
    before = finished(place / "study.db")
    assert 0 < before < 8
    (small_disk / "ballast").unlink()
    assert_intact(place / "study.db")

    again = start(*arguments)
    assert again.wait() == 0, again.said
    assert_curves_repeat(place, assert_sound(place, 8), through_cli=0)


def test_a_disk_that_is_full_from_the_start_is_told_in_a_paragraph(start: Start, small_disk: Path) -> None:
    fill(small_disk, 0)
    command = start(*STUDY, "--trials", "2")
    assert command.wait() == 2, command.said
    assert "full" in command.stderr
    assert command.stderr.count("\n") == 1, command.stderr
