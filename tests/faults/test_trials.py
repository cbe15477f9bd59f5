"""Trials that raise, hang, crash, run out of memory, diverge at once or have the wrong shape: the study goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.checks import assert_curves_repeat, assert_sound, regstudy, study_in
from faults.commands import Start, prepare_folder
from optuna.trial import FrozenTrial, TrialState

from regstudy.study import attributes
from regstudy.study.queue_state import ATTEMPTS

pytest_plugins = ["faults.fixtures"]
pytestmark = pytest.mark.slow
STUDY = (
    "study", "--space", "faulty.yaml", "--no-doctor", "--device", "cpu", "--data-dir", ".",
    "--workers", "2", "--threads", "2",
)  # fmt: skip
WHOLLY = {1: "raise", 2: "shape", 4: "memory", 5: "nan", 6: "hang"}  # by slot
ENDS = {  # of the slots that can never be finished: kind of fault, and words of the reason
    "raise": ("error", "RuntimeError: this network is broken on purpose"),
    "shape": ("error", "ValueError: Expected input batch_size (19) to match target batch_size (20)"),
    "memory": ("error", "out of memory: training with batch_size 20 asked for"),
    "hang": ("timeout", "took longer than 4 s"),
}


def test_what_is_wrong_with_a_configuration_is_recorded_and_costs_only_its_slot(folder: Path, start: Start) -> None:
    prepare_folder(folder, ("ok", *WHOLLY.values()))
    assert start(*STUDY, "--trials", "1").wait() == 0
    place = folder / "results" / "faulty"
    study = study_in(place)
    for slot in range(1, 10):
        params = {"model.options.behaviour": WHOLLY.get(slot, "ok")}
        study.enqueue_trial(params, user_attrs={attributes.SLOT: slot, attributes.ARM: "search"})

    command = start(*STUDY, "--trials", "10", "--trial-timeout", "4s")
    assert command.wait() == 2, command.said
    hopeless = {slot for slot, behaviour in WHOLLY.items() if behaviour in ENDS}
    trials = assert_sound(place, 10, given_up=hopeless)
    for slot in hopeless:
        fault, reason = ENDS[WHOLLY[slot]]
        failed = of_slot(study_in(place).trials, slot)
        assert [t.user_attrs[attributes.FAULT] for t in failed] == [fault] * ATTEMPTS[fault]
        assert all(t.user_attrs[attributes.REASON].startswith(reason) for t in failed), failed[0].user_attrs
    (diverged,) = of_slot(trials, 5)
    assert diverged.state == TrialState.COMPLETE
    sizes = study_in(place).user_attrs[attributes.DATA]["validation_per_class"]
    assert diverged.value == pytest.approx(max(sizes) / sum(sizes))  # the best constant answer
    assert diverged.user_attrs[attributes.OUTCOME] == "diverged"
    assert "4 of 10 trials failed repeatedly and were given up" in command.stdout
    assert "Traceback" not in command.said
    assert_curves_repeat(place, trials)

    again = start(*STUDY, "--trials", "10")
    assert again.wait() == 2
    assert "Nothing left to do" in again.stdout and "gave up 4 after repeated failures" in again.stdout


def test_faults_that_pass_cost_no_trial_at_all(folder: Path, start: Start) -> None:
    (folder / "mischief").mkdir()
    for number, behaviour in enumerate(["raise", "crash", "memory", "hang", "shape"]):
        (folder / "mischief" / f"{behaviour}-{number}").touch()
    command = start(*STUDY, "--trials", "8", "--trial-timeout", "6s")
    assert command.wait() == 0, command.said
    place = folder / "results" / "faulty"
    trials = assert_sound(place, 8)
    failed = [t for t in study_in(place).trials if t.state == TrialState.FAIL]
    assert sorted(t.user_attrs[attributes.FAULT] for t in failed) == ["error"] * 3 + ["killed", "timeout"]
    assert [t.user_attrs[attributes.REASON] for t in failed if t.user_attrs[attributes.FAULT] == "killed"] == [
        "its process ended with code -11"
    ]
    assert "5 attempts failed and were retried" in command.stdout
    assert_curves_repeat(place, trials, through_cli=0)
    assert "Report" in regstudy("report", str(place))


def test_a_network_whose_defaults_are_broken_is_told_before_anything_is_written(folder: Path, start: Start) -> None:
    prepare_folder(folder, ("shape", "ok"))
    command = start(*STUDY, "--trials", "3")
    assert command.wait() == 2, command.said
    assert command.stderr.startswith("error: 'faulty:network' must return one logit per class")
    assert command.stderr.count("\n") == 1 and ".." not in command.stderr
    assert not (folder / "results").exists()


def of_slot(trials: list[FrozenTrial], slot: int) -> list[FrozenTrial]:
    """The trials of a slot, in their order."""
    return [t for t in trials if t.user_attrs[attributes.SLOT] == slot]
