"""What no page may say: one trials, two full stops in a row, advice that cannot be followed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from synthetic import make_study

from regstudy.report.page import find, write_report
from regstudy.report.stored_diagnosis import diagnosed
from regstudy.report.verdict_phrasing import verdict
from regstudy.study import attributes

ONE_OF_MANY = re.compile(
    r"(?<![\d.,/–-])1 (?:\w+ )?(?:trials|epochs|classes|images|checks|findings|attempts|notes|runs|seeds|repeats"
    r"|threads|workers|steps|layers|hyperparameters|parameters)\b"
)
TWO_STOPS = re.compile(r"[^.]\.\.(?!\.)|[?!]\.\s")
NOTE: dict[str, Any] = {"id": "x", "severity": "note", "sentence": "Something.", "advice": "Do it."}


def plain(trials: int) -> optuna.Study:
    study = optuna.create_study(direction="minimize")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=trials)
    return study


def failed_with(reason: str) -> optuna.Study:
    study = optuna.create_study()
    kept = {attributes.REASON: reason, attributes.SLOT: 0, attributes.FAULT: "error"}
    study.add_trial(optuna.create_trial(state=TrialState.FAIL, user_attrs=kept))
    return study


def doctored(verdict: str) -> optuna.Study:
    study = make_study(1, baseline=1, epochs=1, data={"validation_per_class": [40] * 10})
    study.set_user_attr(attributes.DOCTOR, {"findings": [NOTE], "verdict": verdict, "checked": [{}]})
    return study


STUDIES: dict[str, Callable[[], optuna.Study]] = {
    "one baseline trial": lambda: make_study(1, baseline=1, epochs=1),
    "one search trial": lambda: make_study(1, baseline=0, prune=0, epochs=1),
    "one of each": lambda: make_study(2, baseline=1, prune=0, epochs=1),
    "one pruned": lambda: make_study(1, baseline=0, prune=1.0),
    "one failed": lambda: make_study(1, baseline=0, failed=1),
    "one diverged": lambda: make_study(1, baseline=0, diverged=1),
    "one plain": lambda: plain(1),
    "one underfit": lambda: make_study(14, baseline=3, underfit=1, epochs=1),
    "a reason with a stop": lambda: failed_with("It failed."),
    "a question": lambda: failed_with("Is the file missing?"),
    "one finding, as stored earlier": lambda: doctored("1 finding: 1 note."),
    "one finding": lambda: doctored("1 finding (1 note)."),
}


@pytest.mark.parametrize("kind", STUDIES)
def test_counts_and_stops(kind: str, tmp_path: Path) -> None:
    page = write_report(STUDIES[kind](), tmp_path).read_text(encoding="utf-8")
    shown = re.sub(r"<[^>]+>", " ", re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S))
    titles = " ".join(re.findall(r'"text":"([^"]*)"', page))
    for text in (shown, titles, (tmp_path / "summary.md").read_text(encoding="utf-8")):
        for wrong in (ONE_OF_MANY, TWO_STOPS):
            assert not wrong.search(text), text[max(0, wrong.search(text).start() - 60) :][:120]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ("1 finding: 1 note.", "Doctor, before the search: 1 finding (1 note)."),
        ("1 finding (1 note).", "Doctor, before the search: 1 finding (1 note)."),
        (
            "3 findings: 2 block the study, 1 note.",
            "Doctor, before the search: 3 findings (2 block the study, 1 note).",
        ),
    ],
)
def test_the_doctor_has_one_colon(stored: str, words: str) -> None:
    assert diagnosed({"findings": [NOTE], "verdict": stored}).words == words


@pytest.mark.parametrize(("make", "told"), [(lambda: plain(15), False), (lambda: make_study(30), True)])
def test_only_a_stored_configuration_can_be_confirmed(make: Callable[[], optuna.Study], told: bool) -> None:
    found = find(make())
    assert ("regstudy confirm" in str(verdict(found.tables, found.comparison, found.relations))) is told


@pytest.mark.parametrize(
    ("study", "headline"),
    [
        (lambda: make_study(4, baseline=0, diverged=4), "All 4 trials diverged, so there is nothing to recommend."),
        (lambda: make_study(1, baseline=0, diverged=1), "The only trial diverged, so there is nothing to recommend."),
        (lambda: make_study(4, baseline=0, diverged=2, failed=2), "No trial finished with a usable result"),
        (lambda: make_study(4, baseline=0, failed=4), "No trial finished with a usable result"),
    ],
)
def test_diverged_trials_are_not_unfinished_ones(study: Callable[[], optuna.Study], headline: str) -> None:
    found = find(study())
    assert verdict(found.tables, found.comparison, found.relations).headline.startswith(headline)


def test_advice_waits_for_as_many_trials_as_the_verdict(tmp_path: Path) -> None:
    study = make_study(6, baseline=3, prune=0)
    write_report(study, tmp_path)
    text = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "Too few trials for a verdict" in text
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    shown = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S)
    assert not re.search(r"upper bounds|stronger regularizers|extend the range|works best", shown, re.I)
    assert "3 search trials finished, too few to judge ranges and regularizers by" in shown
