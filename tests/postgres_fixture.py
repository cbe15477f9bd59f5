"""A PostgreSQL server for the tests of a module; a plugin of the modules that use it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import require
from postgres import Server, binaries


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that is gone after the module's tests."""
    programs = binaries()
    require(programs is not None, "no PostgreSQL server is installed (Debian: apt install postgresql)")
    assert programs is not None
    started = Server(programs)
    yield started
    started.remove()
