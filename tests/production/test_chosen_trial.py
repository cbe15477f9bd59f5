"""Which trial is exported, and why there is none."""

from __future__ import annotations

import json
from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState
from planted_race import PLANTED, planted_race
from synthetic import make_study

from regstudy.errors import StudyError
from regstudy.production.export import chosen_trial, config_file, confirmation_of
from regstudy.space.yaml_values import read_yaml_text


def running() -> optuna.Study:
    study = optuna.create_study(study_name="mine")
    study.add_trial(optuna.create_trial(state=TrialState.RUNNING))
    return study


@pytest.mark.parametrize(
    ("study", "words"),
    [
        (make_study(4, baseline=0, diverged=4, name="mine"), "In the study 'mine', all 4 completed trials diverged"),
        (make_study(1, baseline=0, diverged=1, name="mine"), "In the study 'mine', its only completed trial diverged"),
        (running(), "The study 'mine' has no completed trial yet"),
        (make_study(0, name="mine"), "The study 'mine' has no completed trial yet"),
    ],
    ids=["all diverged", "one diverged", "running", "empty"],
)
def test_the_reason_why_there_is_nothing_to_export(study: optuna.Study, words: str) -> None:
    with pytest.raises(StudyError) as error:
        chosen_trial(study, None)
    assert str(error.value) == f"{words}, so there is nothing to export."


@pytest.mark.parametrize(
    ("kind", "heading"),
    [
        (
            "confirmed",
            "Confirmed: with fresh seeds validation accuracy 91.1 % (90.0 to 92.3); gain over the baseline +6.0 points"
            " (4.7 to 7.3), 5 rounds.",
        ),
        (
            "undecided",
            "Not decided whether the search is better. The baseline of the confirmation runs: with fresh seeds",
        ),
        ("no better", "The search is no better. The baseline of the confirmation runs: with fresh seeds"),
        ("too few rounds", "Not confirmed: with fresh seeds validation accuracy"),
        ("own validation", "The validation images are those of the search: selection on them is not removed."),
    ],
)
def test_the_winner_of_the_confirmation_runs_is_exported_and_the_heading_says_what_is_known(
    kind: str, heading: str
) -> None:
    search, fresh = planted_race(PLANTED[kind])
    confirmed = confirmation_of(search, fresh)
    assert confirmed is not None
    trial = chosen_trial(search, None, confirmed)
    assert trial.number == confirmed.recommended.number
    for as_json in (False, True):
        text = config_file(search, trial, json=as_json, confirmed=confirmed)
        assert heading in (json.dumps(json.loads(text), ensure_ascii=False) if as_json else text)
        read_yaml_text(text, "the file")


def test_another_winner_than_the_best_of_the_search_is_exported() -> None:
    search, fresh = planted_race()
    found = confirmation_of(search, fresh)
    assert found is not None
    confirmed = replace(found, winner=found.leaders[1])
    assert chosen_trial(search, None, confirmed).number == confirmed.winner.number != chosen_trial(search, None).number
    assert chosen_trial(search, 7, confirmed).number == 7  # what is asked for


def test_other_trials_say_what_is_known_of_them() -> None:
    search, fresh = planted_race()
    confirmed = confirmation_of(search, fresh)
    assert confirmed is not None

    def heading(number: int) -> str:
        return config_file(search, chosen_trial(search, number, confirmed), confirmed=confirmed)

    equal, behind = confirmed.equals[0].number, next(one.number for one in confirmed.leaders[1:] if not one.equal)
    assert f"it cannot be distinguished from trial {confirmed.winner.number}." in heading(equal)
    assert f"it is behind trial {confirmed.winner.number}." in heading(behind)
    assert "The baseline of the confirmation runs: with fresh seeds" in heading(confirmed.baseline.number)
    other = next(t.number for t in search.trials if t.number not in {one.number for one in confirmed.leaders})
    assert "Not confirmed: one of" in heading(other) or other == confirmed.baseline.number


def test_without_confirmation_runs_the_best_of_the_search_is_called_so() -> None:
    search = make_study(20, baseline=3)
    assert confirmation_of(search, None) is None
    text = config_file(search, chosen_trial(search, None))
    assert "# Not confirmed: the best of" in text and "on the same validation images" in text
