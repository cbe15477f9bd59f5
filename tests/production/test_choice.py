"""Which trial is exported and why, what its heading says of it, and why there is none."""

from __future__ import annotations

import json
from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState
from planted_race import PLANTED, planted_race
from synthetic import make_study

from regstudy.analysis.confirmation import Confirmation
from regstudy.analysis.simplicity import simplicity
from regstudy.errors import ArgumentError, StudyError
from regstudy.production.choice import Choice, Chosen, choose, confirmation_of
from regstudy.production.claims import trust_in
from regstudy.production.export import ExportFormat, exported_text
from regstudy.space.yaml_values import read_yaml_text
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables
from regstudy.study.ranking import usable_trials


def text_of(
    study: optuna.Study, chosen: Chosen, confirmed: Confirmation | None = None, file_format: ExportFormat = "yaml"
) -> str:
    return exported_text(study, chosen, trust_in(study, chosen.trial, confirmed), file_format)


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
        choose(study, Choice())
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
    chosen = choose(search, Choice(), confirmed)
    assert chosen.trial.number == confirmed.recommended.number
    for as_json in (False, True):
        text = text_of(search, chosen, confirmed, "json" if as_json else "yaml")
        assert heading in (json.dumps(json.loads(text), ensure_ascii=False) if as_json else text)
        read_yaml_text(text, "the file")


def test_another_winner_than_the_best_of_the_search_is_exported() -> None:
    search, fresh = planted_race()
    found = confirmation_of(search, fresh)
    assert found is not None
    confirmed = replace(found, winner=found.leaders[1])
    chosen, best = choose(search, Choice(), confirmed).trial, choose(search, Choice()).trial
    assert chosen.number == confirmed.winner.number != best.number
    assert choose(search, Choice(trial=7), confirmed).trial.number == 7  # what is asked for


def test_other_trials_say_what_is_known_of_them() -> None:
    search, fresh = planted_race()
    confirmed = confirmation_of(search, fresh)
    assert confirmed is not None

    def heading(number: int) -> str:
        return text_of(search, choose(search, Choice(trial=number), confirmed), confirmed)

    equal, behind = confirmed.equals[0].number, next(one.number for one in confirmed.leaders[1:] if not one.equal)
    assert f"it cannot be distinguished from trial {confirmed.winner.number}." in heading(equal)
    assert f"it is behind trial {confirmed.winner.number}." in heading(behind)
    assert "The baseline of the confirmation runs: with fresh seeds" in heading(confirmed.baseline.number)
    other = next(t.number for t in search.trials if t.number not in {one.number for one in confirmed.leaders})
    assert "Not confirmed: one of" in heading(other) or other == confirmed.baseline.number


def test_without_confirmation_runs_the_best_of_the_search_is_called_so() -> None:
    search = make_study(20, baseline=3)
    assert confirmation_of(search, None) is None
    text = text_of(search, choose(search, Choice()))
    assert "# Warning: Not confirmed: the best of" in text and "on the same validation images" in text


def test_the_ranking_is_that_of_the_confirmation_runs_and_then_that_of_the_search() -> None:
    search, fresh = planted_race()
    confirmed = confirmation_of(search, fresh)
    assert confirmed is not None
    leaders = [one.number for one in confirmed.leaders]
    order = [choose(search, Choice(rank=rank), confirmed).trial.number for rank in range(1, 9)]
    assert order[: len(leaders)] == leaders
    rest = [one.number for one in usable_trials(search) if one.number not in leaders]
    assert order[len(leaders) :] == rest[: 8 - len(leaders)]
    plain = [choose(search, Choice(rank=rank)).trial.number for rank in (1, 2, 3)]
    assert plain == [one.number for one in usable_trials(search)[:3]]


@pytest.mark.parametrize("rank", [0, -1, 10_000])
def test_a_rank_beyond_the_ranking_says_how_many_there_are(rank: int) -> None:
    search = make_study(20, baseline=3)
    count = len(usable_trials(search))
    with pytest.raises(ArgumentError, match=rf"from 1 to {count}.* but it is {rank}\."):
        choose(search, Choice(rank=rank))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"trial": 1, "rank": 1}, r"trial \(--trial\) and rank \(--rank\) each"),
        ({"trial": 0, "simplest": True}, r"trial \(--trial\) and simplest \(--simplest\) each"),
        ({"trial": 1, "rank": 0, "simplest": True}, r"trial \(--trial\), rank \(--rank\) and simplest"),
    ],
)
def test_two_choices_at_once_are_refused(asked: dict[str, int], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        Choice(**asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["confirmed", "too few rounds", "own validation"])
def test_the_simplest_of_the_winner_and_its_equals(kind: str) -> None:
    search, fresh = planted_race(PLANTED[kind])
    confirmed = confirmation_of(search, fresh)
    assert confirmed is not None
    chosen = choose(search, Choice(simplest=True), confirmed)
    assert chosen.trial.number == confirmed.simplest.number
    assert "cannot be distinguished in the confirmation runs" in chosen.why


def test_where_no_configuration_is_better_the_simplest_is_the_baseline() -> None:
    search, fresh = planted_race(PLANTED["no better"])
    confirmed = confirmation_of(search, fresh)
    assert confirmed is not None
    chosen = choose(search, Choice(simplest=True), confirmed)
    assert chosen.trial.number == confirmed.baseline.number
    assert "every regularizer off" in chosen.why


def test_without_confirmation_runs_the_simplest_lies_within_one_standard_error() -> None:
    search = make_study(40, baseline=0, seed=3)
    chosen = choose(search, Choice(simplest=True)).trial
    best = usable_trials(search)[0]
    error = (best.value * (1 - best.value) / 400) ** 0.5
    equals = [one for one in usable_trials(search) if best.value - one.value <= error]
    tables = load_tables(search)
    assert chosen.number in [one.number for one in equals]
    assert len(equals) > 1
    assert all(simplicity(tables, chosen.number).order <= simplicity(tables, one.number).order for one in equals)


def test_the_simplest_needs_a_known_error() -> None:
    search = make_study(20, baseline=3)
    search.set_user_attr(attributes.METRIC, "val_loss")
    with pytest.raises(StudyError, match="Run `regstudy confirm` first"):
        choose(search, Choice(simplest=True))


def comparison() -> optuna.Study:
    study = make_study(6, baseline=0)
    study.set_user_attr(attributes.PLAN, "arms: {}")
    return study


def test_a_comparison_has_no_simplest_trial_and_says_that_it_is_one() -> None:
    study = comparison()
    with pytest.raises(StudyError, match="is a comparison of fixed configurations"):
        choose(study, Choice(simplest=True))
    chosen = choose(study, Choice())
    assert "# Warning: The study is a comparison: this is a single run" in text_of(study, chosen)


@pytest.mark.parametrize(
    ("number", "words"),
    [(5, "Trial 5 of the study 'mine' failed"), (99, "has no trial 99. Its trials are numbered 0 to 19.")],
)
def test_a_trial_that_failed_or_does_not_exist_is_refused(number: int, words: str) -> None:
    study = make_study(20, baseline=5, failed=1, name="mine")
    study.set_user_attr(attributes.FINGERPRINT, "x")
    with pytest.raises(StudyError, match=words):
        choose(study, Choice(trial=number))


def test_a_trial_that_still_runs_is_refused() -> None:
    with pytest.raises(StudyError, match="has not ended yet"):
        choose(running(), Choice(trial=0))


@pytest.mark.parametrize("asked", [6, 1000])
def test_an_unfinished_study_says_so(asked: int) -> None:
    study = make_study(4, baseline=1, prune=0.0)
    study.set_user_attr(attributes.TRIALS, asked)
    warnings = trust_in(study, choose(study, Choice()).trial, None).warnings
    assert warnings[0] == f"The study is unfinished: 4 of {asked:,} trials, so a better one may follow."
    study.set_user_attr(attributes.TRIALS, 4)
    assert not any("unfinished" in one for one in trust_in(study, choose(study, Choice()).trial, None).warnings)


def test_pruned_and_diverged_trials_are_exported_with_a_warning() -> None:
    study = make_study(20, baseline=2, diverged=1)
    for trial in study.trials:
        if trial.state == TrialState.PRUNED:
            pruned = trial.number
    assert any("was pruned" in one for one in trust_in(study, choose(study, Choice(trial=pruned)).trial, None).warnings)
    assert any("diverged" in one for one in trust_in(study, choose(study, Choice(trial=2)).trial, None).warnings)
