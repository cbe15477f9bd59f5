"""What several tests need: the command line as a function, real image sets, and the rule for missing ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from regstudy.cli.app import main

# a busy machine is no fault of the code under test
settings.register_profile("regstudy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("regstudy")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command line does; torch is not loaded yet
if "PYTEST_XDIST_WORKER" in os.environ:  # tests share the cores already
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def require(condition: bool, reason: str) -> None:
    """Skip a test whose surroundings are missing; in CI they must not be, so there it fails."""
    if condition:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def real_images() -> Path:
    """The folder of real image sets that REGSTUDY_TEST_DATA names."""
    folder = os.environ.get("REGSTUDY_TEST_DATA")
    require(bool(folder), "REGSTUDY_TEST_DATA does not name the folder of real image sets")
    return Path(str(folder))


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def regstudy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in an empty working folder, in this process: importing torch anew would take seconds each time."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        printed = capsys.readouterr()
        code = ended.value.code
        return Done(code if isinstance(code, int) else 0, printed.out, printed.err)

    return run
