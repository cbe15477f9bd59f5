"""The count of finished trials that every trial's end carries: that of the study, whoever ran them."""

from __future__ import annotations

from pathlib import Path

import pytest
from confirmed import load, study
from optuna.trial import TrialState, create_trial

from regstudy.search.events import Event, TrialEnded
from regstudy.study import attributes


@pytest.mark.parametrize(("others", "told"), [([], [1, 2, 3]), ([1], [1, 3]), ([1, 2], [1])])
def test_it_has_what_another_process_finished_in_between(tmp_path: Path, others: list[int], told: list[int]) -> None:
    found: list[int | None] = []

    def listen(event: Event) -> None:
        if not isinstance(event, TrialEnded):
            return
        found.append(event.finished)
        if len(found) == 1:  # over another connection, as another process would
            there = load(tmp_path / "s")
            (first,) = (one for one in there.trials if one.state == TrialState.COMPLETE)
            for slot in others:
                facts = {**first.user_attrs, attributes.SLOT: slot}
                there.add_trial(create_trial(value=first.value, user_attrs=facts))

    study(tmp_path, 3, confirm=0.0, progress=listen)
    assert found == told


def test_a_failed_trial_has_none_and_the_next_one_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from regstudy.search import worker

    train, calls = worker.run, iter([True])

    def fails_first(*given: object) -> object:
        if next(calls, False):
            raise ValueError("no luck")
        return train(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(worker, "run", fails_first)
    ended = [event for event in study(tmp_path, 2, confirm=0.0) if isinstance(event, TrialEnded)]
    assert [(one.outcome == "failed", one.finished) for one in ended] == [(True, None), (False, 1), (False, 2)]
