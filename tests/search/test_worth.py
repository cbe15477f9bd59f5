"""A search that ends once more trials are not worth it: when, what becomes of the other trials, and how it resumes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from confirmed import confirm, finished, load, space, study

from regstudy.analysis.next_trials import IN_A_ROW, MIN_TRIALS, NextTrials
from regstudy.analysis.outlook import Outlook
from regstudy.errors import ArgumentError
from regstudy.metrics import METRICS
from regstudy.search.division import MOST_RUNS, Division, after_stop
from regstudy.search.events import Event, StudyEnded, TrialEnded
from regstudy.search.search_options import SearchOptions
from regstudy.search.worth import end_search, gain_words, go_on, stopped_division
from regstudy.study import attributes
from regstudy.study.storage import OpenStudy, open_named, open_storage, sqlite_url

FIRST_END = MIN_TRIALS + IN_A_ROW - 1
ALIKE = space(  # all trainings are the same to within rounding, so nothing is ever gained
    model={"dropout": 0.0},
    regularization={"label_smoothing": {"low": 0.0, "high": 1e-9}},
    optimizer={"lr": 0.05},
    training={"epochs": 1, "seed": 1},
    study={"nuisance": []},
)
IDLE = NextTrials(20, 0.0, 0.001, 0.02, measured=True, worth=False)


def searched(results: Path, trials: int, **more: Any) -> list[Event]:
    """Run or resume the study of equal trainings until it is no longer worth it."""
    return study(results, trials, **{"space": ALIKE, "until": "worth", "pruner": "none", **more})


def words(events: list[Event]) -> str:
    return "\n".join(str(event) for event in events if not isinstance(event, TrialEnded))


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """A study of at most 40 trials that has ended its search early and used the rest."""
    results = tmp_path_factory.mktemp("worth")
    return results, searched(results, 40)


def test_it_ends_at_the_first_look_that_allows_it_and_confirms_with_the_rest(ended: tuple[Path, list[Event]]) -> None:
    results, events = ended
    assert finished(results / "s") == (FIRST_END, 40 - FIRST_END)
    stored = load(results / "s").user_attrs
    assert stored[attributes.TRIALS] == FIRST_END and stored[attributes.CONFIRM]["runs"] == 40 - FIRST_END
    assert stored[attributes.STOPPED]["asked"] == 40 and stored[attributes.STOPPED]["gain"] == 0
    text = words(events)
    assert f"The search ends after {FIRST_END} trials: its next 10 trials would truly gain about +0.0 ± 0.0" in text
    assert text.count("The search ends after") == 1
    assert f"The other trials become confirmation runs: {40 - FIRST_END} in all." in text
    assert str(events[-1]) == "All 40 trials finished."


def test_every_trial_tells_what_is_ahead_from_the_fifteenth_on(ended: tuple[Path, list[Event]]) -> None:
    trials = [one for one in ended[1] if isinstance(one, TrialEnded)]
    told = [one.ahead is not None for one in trials if not one.confirms]
    assert told == [count >= MIN_TRIALS for count in range(1, FIRST_END + 1)]
    assert not any(one.ahead for one in trials if one.confirms)


@pytest.mark.parametrize("until", ["worth", "trials"])
def test_it_does_not_begin_to_search_again(ended: tuple[Path, list[Event]], until: str) -> None:
    results, _ = ended
    events = searched(results, 40, until=until)
    assert "Nothing left to do" in str(events[-1]) and "--until worth" in str(events[-1])
    assert finished(results / "s") == (FIRST_END, 40 - FIRST_END)


@pytest.mark.table
def test_more_trials_confirm_with_the_rule_and_search_without_it(tmp_path: Path) -> None:
    searched(tmp_path, 28)
    assert finished(tmp_path / "s") == (FIRST_END, 9)
    searched(tmp_path, 30)
    assert finished(tmp_path / "s") == (FIRST_END, 11)
    searched(tmp_path, 33, until="trials")
    assert finished(tmp_path / "s") == (22, 11)
    assert load(tmp_path / "s").user_attrs[attributes.STOPPED] is None


@pytest.mark.table
def test_two_workers_stop_both(tmp_path: Path) -> None:
    events = searched(tmp_path, 40, workers=2)
    trials, runs = finished(tmp_path / "s")
    assert FIRST_END <= trials <= FIRST_END + 1  # one may have been under way
    assert trials + runs == 40
    assert str(events[-1]) == "All 40 trials finished."


@pytest.mark.table
def test_with_nothing_to_confirm_the_rest_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regstudy.search.session.why_not_confirmed", lambda _: "Nothing to confirm.")
    events = searched(tmp_path, 30)
    assert finished(tmp_path / "s") == (FIRST_END, 0)
    assert f"Nothing to confirm. The {30 - FIRST_END} trials left for it are not used." in words(events)
    assert isinstance(events[-1], StudyEnded) and events[-1].unused == 30 - FIRST_END


@pytest.mark.table
def test_without_confirmation_the_rest_is_not_used_and_this_is_said(tmp_path: Path) -> None:
    events = searched(tmp_path, 24, confirm=0)
    assert finished(tmp_path / "s") == (FIRST_END, 0)
    assert f"{24 - FIRST_END} trials of those asked for are not used." in words(events)
    assert isinstance(events[-1], StudyEnded) and events[-1].unused == 24 - FIRST_END
    assert "5 of those asked for were not used" in str(events[-1])
    confirm(tmp_path / "s", runs=8)
    assert finished(tmp_path / "s") == (FIRST_END, 8)


@pytest.mark.parametrize(
    ("trials", "share", "searched_", "planned", "division"),
    [
        (100, 0.3, 40, 0, Division(40, 60)),
        (100, 0.3, 95, 0, Division(95, 0, unused=5)),  # too few for a winner and a baseline in four rounds
        (100, 0.0, 40, 0, Division(40, 0, unused=60)),
        (40, 0.3, 40, 0, Division(40, 0)),
        (30, 0.3, 40, 12, Division(40, 12)),  # what is decided stays
        (10_000_000, 0.3, 40, 0, Division(40, MOST_RUNS, unused=10_000_000 - 40 - MOST_RUNS)),
    ],
)
def test_the_rest_after_a_stop(trials: int, share: float, searched_: int, planned: int, division: Division) -> None:
    found = after_stop(trials, share, searched_, planned)
    assert found == division and found.total + found.unused == max(trials, searched_ + planned)


@pytest.mark.parametrize("until", ["wort", "", None, 3, True])
def test_an_unknown_rule_is_refused(until: Any) -> None:
    with pytest.raises(ArgumentError, match=r"until: there is no end of the search .*Allowed: trials, worth"):
        SearchOptions(10, "cpu", 1, until=until)


@pytest.mark.parametrize(
    ("name", "words_"),
    [("accuracy", "+0.1 ± 1.2 points"), ("auroc", "+0.1 ± 1.2 points"), ("loss", "+0.001 ± 0.012 nats")],
)
def test_gains_in_words(name: str, words_: str) -> None:
    assert gain_words(0.0012, 0.0123, METRICS[name]) == words_


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenStudy]:
    """A study of 50 search trials and 20 confirmation runs, of which 20 trials are finished and one runs."""
    url = sqlite_url(tmp_path / "study.db")
    made = optuna.create_study(study_name="s", storage=open_storage(url), direction="maximize")
    facts = {attributes.METRIC: "val_accuracy", attributes.TRIALS: 50, attributes.UNTIL: "worth"}
    for name, value in {**facts, attributes.CONFIRM: {"share": 0.3, "runs": 20}}.items():
        made.set_user_attr(name, value)
    made.add_trials([_trial(slot) for slot in range(20)])
    made.add_trial(optuna.create_trial(state=optuna.trial.TrialState.RUNNING, user_attrs={attributes.SLOT: 20}))
    found = open_named(url, "s")
    yield found
    found.close()


def _trial(slot: int, value: float = 0.5, **more: Any) -> optuna.trial.FrozenTrial:
    return optuna.create_trial(value=value, user_attrs={attributes.SLOT: slot, attributes.ARM: "search", **more})


def test_the_end_keeps_what_runs_and_gives_the_rest_to_the_confirmation(opened: OpenStudy) -> None:
    end_search(opened, IDLE)
    stored = opened.study.user_attrs
    assert stored[attributes.TRIALS] == 21 and stored[attributes.CONFIRM] == {"share": 0.3, "runs": 49}
    opened.study.set_user_attr(attributes.CONFIRM, {"share": 0.3, "runs": 60})  # asked for later
    end_search(opened, IDLE)  # of another worker
    assert opened.study.user_attrs[attributes.CONFIRM]["runs"] == 60


def test_an_end_that_was_cut_off_is_made_whole(opened: OpenStudy) -> None:
    end_search(opened, IDLE)
    whole = dict(opened.study.user_attrs)
    opened.study.set_user_attr(attributes.TRIALS, 50)
    opened.study.set_user_attr(attributes.CONFIRM, {"share": 0.3, "runs": 20})
    end_search(opened, IDLE)
    assert dict(opened.study.user_attrs) == whole


@pytest.mark.parametrize("reason", ["not asked for", "a point is enqueued", "a configuration is to be tried"])
def test_no_end_yet(opened: OpenStudy, reason: str) -> None:
    if reason == "not asked for":
        opened.study.set_user_attr(attributes.UNTIL, "trials")
    elif reason == "a point is enqueued":
        opened.study.enqueue_trial({})
    else:
        start = {"tries": {"21": {"optimizer.lr": 0.1}}, "files": [], "sources": []}
        opened.study.set_user_attr(attributes.START, start)
    end_search(opened, IDLE)
    assert opened.study.user_attrs[attributes.TRIALS] == 50 and attributes.STOPPED not in opened.study.user_attrs


@pytest.mark.parametrize(
    ("trials", "until", "ends"), [(70, "trials", True), (70, "worth", True), (90, "worth", True), (90, "trials", False)]
)
def test_when_a_search_stays_ended(opened: OpenStudy, trials: int, until: str, ends: bool) -> None:
    assert stopped_division(opened.study, trials, until, 0.3, 0) is None
    end_search(opened, IDLE)
    assert stopped_division(opened.study, trials, until, 0.3, 0) == (Division(21, trials - 21) if ends else None)
    go_on(opened.study, trials, until)
    assert (opened.study.user_attrs[attributes.STOPPED] is not None) == ends


def _epochs(clean: float, val: float) -> dict[str, Any]:
    columns = ["epoch", "clean_train_accuracy", "val_accuracy"]
    return {attributes.EPOCHS: {"columns": columns, "rows": [[1, clean, val]]}, attributes.BEST_EPOCH: 1}


def _study(trials: list[optuna.trial.FrozenTrial], direction: str = "maximize", **facts: Any) -> optuna.Study:
    made = optuna.create_study(direction=direction)
    data = {"split_hash": "x", "split_seed": 0, "validation": 100}
    known = {"METRIC": "val_accuracy", "DATA": data, **facts}
    for name, value in known.items():
        made.set_user_attr(getattr(attributes, name), value)
    made.add_trials(trials)
    return made


def test_the_outlook_counts_only_trials_that_may_win() -> None:
    pruned = optuna.create_trial(state=optuna.trial.TrialState.PRUNED, user_attrs={attributes.SLOT: 20})
    failed = optuna.create_trial(state=optuna.trial.TrialState.FAIL, user_attrs={attributes.SLOT: 21})
    diverged = _trial(22, 0.99, **{attributes.OUTCOME: "diverged"})
    wide, narrow = _trial(23, 0.95, **_epochs(1.0, 0.95)), _trial(24, 0.9, **_epochs(0.91, 0.9))
    usual = [_trial(slot, 0.5, **_epochs(0.5, 0.5)) for slot in range(20)]
    outlook = Outlook()
    found = outlook.of(_study([*usual, pruned, failed, diverged, wide, narrow], GAP_AT_MOST=0.02))
    assert found is not None and found.trials == 24 and found.measured
    assert [number for number, value in outlook.values.items() if value != value] == [20, 22, 23]
    assert found.noise == pytest.approx((0.9 * 0.1 / 100) ** 0.5)  # of the best within the limit


@pytest.mark.parametrize(
    ("metric", "direction", "measured"),
    [("val_accuracy", "maximize", True), ("val_macro_f1", "maximize", False), ("val_loss", "minimize", False)],
)
def test_only_an_accuracy_has_a_known_noise(metric: str, direction: str, measured: bool) -> None:
    trials = [_trial(slot, 0.5 + 0.01 * (slot % 7)) for slot in range(20)]
    found = Outlook().of(_study(trials, direction, METRIC=metric))
    assert found is not None and found.measured is measured


def test_confirmation_runs_tell_the_noise() -> None:
    trials = [_trial(slot, 0.5 + 0.01 * (slot % 7)) for slot in range(20)]
    fresh = optuna.create_study(direction="maximize")
    whole = optuna.distributions.IntDistribution(1, 99)
    for arm in ("baseline", "trial 3"):
        for number in range(1, 11):
            value = 0.5 + 0.1 * number + (0.01 if (number % 2) == (arm == "baseline") else -0.01)
            trial = optuna.create_trial(
                value=value, params={"round": number}, distributions={"round": whole}, user_attrs={attributes.ARM: arm}
            )
            fresh.add_trial(trial)
    found = Outlook().of(_study(trials), fresh)
    assert found is not None and found.noise == pytest.approx(0.0149, abs=0.001)


def test_a_study_of_plain_optuna_has_no_outlook() -> None:
    made = optuna.create_study()
    made.add_trials([_trial(slot, 0.5) for slot in range(30)])
    assert Outlook().of(made) is None
