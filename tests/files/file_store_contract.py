"""What every `FileStore` must do, run against each implementation."""

from __future__ import annotations

from pathlib import Path

import pytest

from regstudy.errors import FileError
from regstudy.files.file_store import FileStore


def check_store(files: FileStore, folder: Path) -> None:
    """Go through all calls in a folder that is empty, and that the test can see."""
    path = folder / "weights" / "trial_00001.safetensors"
    assert files.names(path.parent) == []
    assert files.read(path) is None
    files.remove(path)  # nothing to delete is no error
    for content in (b"first", b"", bytes(range(256)) * 5000):
        files.write(path, content)  # replaces what was there, and creates folders
        assert files.read(path) == path.read_bytes() == content
    files.write(path.with_name(".hidden"), b"x")
    assert files.names(path.parent) == [".hidden", path.name]  # no half-written files beside them
    (folder / "file").write_bytes(b"")
    with pytest.raises(FileError, match="is a file"):
        files.write(folder / "file" / "below", b"")
    files.remove(path)
    assert not path.exists()
    assert files.names(path.parent) == [".hidden"]
