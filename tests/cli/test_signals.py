"""Ctrl-C and SIGTERM end every command cleanly: the exit code says which one it was, and what ran can be resumed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.checks import assert_curves_repeat, assert_sound, regstudy, study_in
from faults.commands import Command, Start, finished, running, until

from regstudy.cli.signals import ending_on_signals
from regstudy.study import attributes

pytest_plugins = ["faults.fixtures"]
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
COMMON = ("--device", "cpu", "--data-dir", ".")
SPACE = ("study", "--space", "faulty.yaml", "--no-doctor", *COMMON)


def send(command: Command, number: int, to: str) -> None:
    """As a terminal or SLURM to the whole group, or as Kubernetes to the command alone."""
    if to == "group":
        os.killpg(command.process.pid, number)
    else:
        command.process.send_signal(number)


def assert_clean_end(command: Command, number: int) -> None:
    assert command.wait() == CODES[signal.Signals(number)], command.said
    assert "Traceback" not in command.said
    assert "Error" not in command.stderr, command.said


@pytest.mark.table
@pytest.mark.parametrize(("workers", "to"), [(1, "group"), (3, "group"), (3, "alone")])
def test_a_study_that_is_ended_in_mid_trial_resumes_to_the_same_curves(
    folder: Path, start: Start, workers: int, to: str
) -> None:
    arguments = (*SPACE, "--trials", "4", "--workers", str(workers), "--threads", str(workers))
    place = folder / "results" / "faulty"
    command = start(*arguments, step=0.1)
    until(lambda: any((place / "checkpoints").glob("ticket*")), "a trial has a checkpoint")
    send(command, signal.SIGTERM, to)
    assert_clean_end(command, signal.SIGTERM)
    assert running(place / "study.db") == 0
    assert 0 <= finished(place / "study.db") < 4
    assert all(attributes.FAULT not in t.user_attrs for t in study_in(place).trials), "ended on purpose is no fault"
    assert "Run the same command again to resume" in command.stdout
    assert start(*arguments, step=0).wait() == 0
    trials = assert_sound(place, 4)
    assert any(t.user_attrs.get(attributes.RESUMED) for t in trials)
    assert_curves_repeat(place, trials, through_cli=0)


@pytest.mark.slow
@pytest.mark.parametrize("number", CODES)
def test_workers_that_are_just_starting_say_nothing(folder: Path, start: Start, number: int) -> None:
    arguments = (*SPACE, "--trials", "4", "--workers", "4", "--threads", "4")
    for delay in (0.0, 0.7):
        command = start(*arguments)
        until(lambda c=command: len(c.workers()) > 0 or not c.running, "a worker starts")
        time.sleep(delay)
        send(command, number, "group")
        assert_clean_end(command, number)
        assert "WARNING" not in command.said
    assert start(*arguments, step=0).wait() == 0
    assert_sound(folder / "results" / "faulty", 4)


@pytest.mark.table
def test_a_worker_that_gets_sigterm_alone_leaves_and_the_study_goes_on(folder: Path, start: Start) -> None:
    command = start(*SPACE, "--trials", "3", "--workers", "2", "--threads", "2", step=0.1)
    place = folder / "results" / "faulty"
    until(lambda: running(place / "study.db") == 2, "both workers have a trial")
    command.workers()[0].terminate()
    assert command.wait() == 0, command.said
    assert "Traceback" not in command.said
    assert_sound(place, 3)


def ready_to_train(folder: Path, start: Start) -> tuple[Command, Callable[[], bool]]:
    assert start(*SPACE, "--trials", "1", step=0).wait() == 0
    regstudy("export", "results/faulty", "-o", "best.yaml")
    command = start("train", "best.yaml", *COMMON, step=0.1)
    return command, lambda: (folder / "out" / "checkpoint.pt").exists()


def ready_to_compare(folder: Path, start: Start) -> tuple[Command, Callable[[], bool]]:
    command = start("compare", "faulty.yaml", "--arm", "a", "--arm", "b: model.dropout=0", *COMMON, step=0.1)
    return command, lambda: any((folder / "results").glob("*/checkpoints/ticket*"))


def ready_to_examine(_folder: Path, start: Start) -> tuple[Command, Callable[[], bool]]:
    command = start("doctor", "faulty.yaml", *COMMON, step=0.1)
    return command, lambda: "Examining" in command.stdout


def ready_to_watch(folder: Path, start: Start) -> tuple[Command, Callable[[], bool]]:
    assert start(*SPACE, "--trials", "1", step=0).wait() == 0
    start(*SPACE, "--trials", "2", step=5)
    until(lambda: running(folder / "results" / "faulty" / "study.db") == 1, "the study runs")
    command = start("report", "results/faulty", "--watch")
    return command, lambda: "Press Ctrl-C to stop" in command.stdout


def ready_to_serve(_folder: Path, start: Start) -> tuple[Command, Callable[[], bool]]:
    assert start(*SPACE, "--trials", "1", step=0).wait() == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = start("dashboard", "results/faulty", "--port", str(port))

    def answers() -> bool:
        with contextlib.suppress(OSError):
            return bool(urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=5).status == 200)
        return False

    return command, answers


@pytest.mark.table
@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("begin", [ready_to_train, ready_to_compare, ready_to_examine, ready_to_watch, ready_to_serve])
def test_every_command_that_takes_long_ends_with_the_code_of_the_signal(
    folder: Path, start: Start, begin: Callable[[Path, Start], tuple[Command, Callable[[], bool]]], number: int
) -> None:
    command, ready = begin(folder, start)
    until(lambda: ready() or not command.running, "the command is at work")
    assert command.running, command.said
    send(command, number, "group")
    assert_clean_end(command, number)
    assert not list(folder.rglob(".*.yaml.*")) + list(folder.rglob(".checkpoint*"))


@pytest.mark.parametrize("number", CODES)
def test_a_signal_in_any_code_becomes_an_exit_code_and_one_word(
    capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    before = [signal.getsignal(one) for one in CODES]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as ended, ending_on_signals():
            signal.raise_signal(number)
            time.sleep(5)
        assert ended.value.code == CODES[number]
        assert capsys.readouterr().err == "Interrupted.\n"
    finally:
        signal.signal(signal.SIGINT, before[0])
    assert [signal.getsignal(one) for one in CODES] == before


def test_sigterm_ends_a_job_that_ignores_ctrl_c() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit) as ended, ending_on_signals():
            signal.raise_signal(signal.SIGTERM)
            time.sleep(5)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 143
