"""kill -9 at random moments, of workers, of the parent and of everything; Ctrl-C once and twice; two parents."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest
from faults.checks import assert_curves_repeat, assert_intact, assert_sound, study_in
from faults.commands import Command, Start, finished, running, states, until

from regstudy.study import attributes

pytest_plugins = ["faults.fixtures"]
pytestmark = pytest.mark.slow
ROUNDS = ["worker"] * 12 + ["parent"] * 4 + ["everything"] * 4
STUDY = ("study", "--space", "faulty.yaml", "--no-doctor", "--device", "cpu", "--data-dir", ".", "--confirm", "0")


@pytest.mark.parametrize("workers", [1, 3])
def test_twenty_kills_at_random_moments_leave_exactly_the_trials_asked_for(
    folder: Path, start: Start, workers: int
) -> None:
    """The total grows while the study runs so fast that it would end before the last kill."""
    chance, pool = random.Random(20 + workers), ("--workers", str(workers), "--threads", str(workers))
    rounds = [victim if workers > 1 else victim.replace("worker", "parent") for victim in ROUNDS]
    chance.shuffle(rounds)
    place, total = folder / "results" / "faulty", 20
    database = place / "study.db"
    killed, known, command = 0, 0, None
    while rounds:
        if command is None or not command.running:
            assert command is None or command.process.returncode in (0, -9), command.said
            total += 4 if finished(database) > total - 8 else 0
            known = len(states(database))  # a killed trial still counts as running
            command = start(*STUDY, "--trials", str(total), *pool)
        if chance.random() < 0.75:  # else any moment, that of starting up too
            with contextlib.suppress(AssertionError):
                until(lambda c=command, n=known: len(states(database)) > n or not c.running, "a trial began")
        time.sleep(chance.uniform(0, 1.2))
        if command.running and _strike(command, rounds[-1], chance):
            rounds.pop()
            killed += 1
            if database.exists():
                assert_intact(database)
    assert killed == len(ROUNDS)
    # what a kill leaves between two steps of a trial's end; those moments are too short to be hit by chance
    total += 2
    for leftover in (
        "checkpoints/ticket_00000.pt",
        "checkpoints/.ticket_00000.pt.x",
        "weights/.trial_00000.safetensors.x",
    ):
        (place / leftover).touch()
    for _ in range(3):  # the orphans of the last round may hold slots that only the next command can have back
        code = start(*STUDY, "--trials", str(total), *pool).wait(240)
        assert code == 0
        if finished(database) >= total:
            break
    trials = assert_sound(place, total)
    assert not list(place.glob("*/.*")), "half-written files stay behind"
    assert any(t.user_attrs.get(attributes.RESUMED) for t in trials), "no trial went on from a checkpoint"
    assert states(database).count("FAIL") > 0
    assert_curves_repeat(place, trials)


def _strike(command: Command, whom: str, chance: random.Random) -> bool:
    if whom == "worker":
        return command.kill_worker(chance)
    if whom == "parent":
        command.kill()
    else:
        command.kill_everything()
    return True


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_stops_cleanly_and_twice_at_once(folder: Path, start: Start, workers: int) -> None:
    arguments = (*STUDY, "--trials", "5", "--workers", str(workers), "--threads", str(workers))
    place = folder / "results" / "faulty"
    once = start(*arguments, step=0.1)
    until(lambda: running(place / "study.db") == workers, "all workers have a trial")
    once.interrupt()
    assert once.wait(30) == 130, once.said
    assert running(place / "study.db") == 0
    assert "Run the same command again to resume" in once.stdout
    assert "Traceback" not in once.said
    faults = [t.user_attrs.get(attributes.FAULT) for t in study_in(place).trials]
    assert faults == [None] * len(faults), "an interruption on purpose is no fault"

    twice = start(*arguments, step=0.1)
    until(lambda: running(place / "study.db") == workers, "all workers have a trial")
    (folder / "step").write_text("600")  # so long a step that the first Ctrl-C would have to wait for it
    time.sleep(1)
    twice.interrupt()
    time.sleep(1)
    assert twice.running, twice.said
    twice.interrupt()
    assert twice.wait(10) == 130, twice.said
    assert "Traceback" not in twice.said
    (folder / "step").unlink()
    assert running(place / "study.db") == 0

    assert start(*arguments, step=0).wait() == 0
    assert_curves_repeat(place, assert_sound(place, 5), through_cli=0)


def test_two_parents_on_one_study_share_its_trials(folder: Path, start: Start) -> None:
    arguments = (*STUDY, "--trials", "14", "--threads", "1")
    both = [start(*arguments), start(*arguments, "--workers", "2")]
    codes = [command.wait() for command in both]
    assert codes == [0, 0], [command.said for command in both]
    place = folder / "results" / "faulty"
    trials = assert_sound(place, 14)
    owners = {t.user_attrs[attributes.OWNER]["pid"] for t in trials}
    assert both[0].process.pid in owners
    assert len(owners) > 1
    assert "FAIL" not in states(place / "study.db")
    assert_curves_repeat(place, trials, through_cli=0)


def test_the_server_that_forks_the_workers_may_die(folder: Path, start: Start) -> None:
    command = start(*STUDY, "--trials", "10", "--workers", "2", "--threads", "2", step=0.05)
    place = folder / "results" / "faulty"
    until(lambda: running(place / "study.db") == 2, "both workers have a trial")
    (server,) = {worker.ppid() for worker in command.workers()}
    os.kill(server, signal.SIGKILL)
    assert command.wait() == 0, command.said
    assert_curves_repeat(place, assert_sound(place, 10), through_cli=0)
    assert "Traceback" not in command.said
