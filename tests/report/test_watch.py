from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from planted_race import Truth, fresh_runs_of, planted_race
from synthetic import make_study

from regstudy.report.watch import pause_after, progress, step_back, watch
from regstudy.study import attributes

REFRESH = '<meta http-equiv="refresh"'


@pytest.mark.parametrize(("seconds", "every", "pause"), [(0.1, 30, 30), (0.3, 30, 30), (3.0, 30, 300), (0.0, 5, 5)])
def test_writing_takes_at_most_one_per_cent_of_the_time(seconds: float, every: float, pause: float) -> None:
    assert pause_after(seconds, every) == pytest.approx(pause)


def test_a_finished_study_is_written_once_and_does_not_reload(tmp_path: Path) -> None:
    def rest(_: float) -> None:
        pytest.fail("nothing to wait for")

    page = watch(make_study(6, baseline=2), tmp_path, 30, print, rest)
    assert REFRESH not in page.read_text(encoding="utf-8")


def test_it_is_written_anew_as_the_study_moves_on_and_ends_with_it(tmp_path: Path) -> None:
    study = make_study(6, baseline=2)
    study.add_trial(optuna.create_trial(state=TrialState.RUNNING))
    said: list[str] = []
    reloading: list[bool] = []

    def rest(_: float) -> None:
        reloading.append(REFRESH in (tmp_path / "report.html").read_text(encoding="utf-8"))
        if len(reloading) == 3:
            study._storage.set_trial_state_values(study.trials[-1]._trial_id, TrialState.FAIL)

    page = watch(study, tmp_path, 1, said.append, rest)
    assert reloading == [True] * 3 and len(said) == 1
    assert REFRESH not in page.read_text(encoding="utf-8")


def test_epochs_and_ended_trials_count_as_progress() -> None:
    study = optuna.create_study()
    assert progress(study) == ((0, 0), True)
    trial = study.ask()
    assert progress(study) == ((0, 0), False)
    trial.report(1.0, 1)
    assert progress(study) == ((0, 1), False)
    study.tell(trial, 1.0)
    assert progress(study) == ((1, 1), True)


def test_a_slot_that_failed_or_is_not_queued_yet_is_still_to_come() -> None:
    study = make_study(6, baseline=2, failed=1)
    assert progress(study)[1]
    study.set_user_attr(attributes.TRIALS, 6)
    assert not progress(study)[1]
    study.set_user_attr(attributes.TRIALS, 2)
    assert progress(study)[1]


def test_the_study_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    monkeypatch.setattr("os.nice", steps.append, raising=False)
    step_back()
    assert steps == [10]


def test_confirmation_runs_count_and_their_race_must_have_ended() -> None:
    search, fresh = planted_race()
    alone, _ = progress(search)
    both, over = progress(search, fresh)
    assert over and both[0] == alone[0] + 14
    race = fresh.user_attrs[attributes.RACE]
    fresh.set_user_attr(attributes.RACE, {**race, "runs": race["runs"] + 2})
    assert not progress(search, fresh)[1]
    fresh.set_user_attr(attributes.RACE, race)
    fresh.add_trial(optuna.create_trial(state=TrialState.RUNNING))
    assert not progress(search, fresh)[1]


def test_confirmation_runs_that_begin_later_are_seen(tmp_path: Path) -> None:
    search, _ = planted_race()
    search.add_trial(optuna.create_trial(state=TrialState.RUNNING))
    found: list[optuna.Study] = []

    def rest(_: float) -> None:
        if found:
            search._storage.set_trial_state_values(search.trials[-1]._trial_id, TrialState.FAIL)
        else:
            found.append(fresh_runs_of(search, Truth()))

    page = watch(search, tmp_path, 1, print, rest, find_fresh=lambda: found[0] if found else None)
    assert "</svg>Confirmed</span>" in page.read_text(encoding="utf-8")
