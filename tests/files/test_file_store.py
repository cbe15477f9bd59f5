"""The disk as a store of checkpoints and weights."""

from __future__ import annotations

from pathlib import Path

from files.file_store_contract import check_store

from regstudy.files.file_store import DISK


def test_the_disk_is_a_file_store(tmp_path: Path) -> None:
    check_store(DISK, tmp_path)
