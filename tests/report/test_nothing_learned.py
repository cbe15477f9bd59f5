"""A study in which every network gives the same answer to all images: the whole report says so and blames nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from synthetic import make_study

from regstudy.report.page import find, write_report
from regstudy.report.sections import sections
from regstudy.report.study_checks import checks
from regstudy.report.verdict_phrasing import ASSUMED_CLASSES, verdict
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables

SICK = {"classes": ["healthy", "sick"], "validation": 200, "validation_per_class": [190, 10]}
UNLEARNED = "No trial learned anything: none beats always answering 'healthy' (95.0\N{NO-BREAK SPACE}%)."
CONTRADICTIONS = re.compile(
    r"regularizers? off|extend the range|stronger regularizers|upper bounds|works best|above chance \(|more trials"
    r"|longer training|use the settings|the gap falls|the gap rises|fewer epochs|winner's curse",
    re.IGNORECASE,
)


def constant_study(
    trials: int, data: Mapping[str, Any], best: float | None = None, balance: str | None = None
) -> optuna.Study:
    """All trials reach 95 % in training and validation; ``best``: what the last one reaches."""
    made = make_study(trials, prune=0.2, data=data)
    study = optuna.create_study(direction="maximize", study_name=made.study_name)
    for name, value in made.user_attrs.items():
        study.set_user_attr(name, value)
    for trial in made.trials:
        reached = best if best is not None and trial.number == trials - 1 else 0.95
        facts = dict(trial.user_attrs)
        stored = facts[attributes.EPOCHS]
        rows = [
            [
                reached if name.endswith("accuracy") else value
                for name, value in zip(stored["columns"], row, strict=True)
            ]
            for row in stored["rows"]
        ]
        facts[attributes.EPOCHS] = {**stored, "rows": rows}
        facts[attributes.BEST_VALUE], facts[attributes.BEST_EPOCH] = reached, 1
        if balance is not None:
            config = facts[attributes.CONFIG]
            facts[attributes.CONFIG] = {**config, "training": {**config["training"], "balance": balance}}
        study.add_trial(
            optuna.create_trial(
                state=trial.state,
                value=reached,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs=facts,
                intermediate_values=dict.fromkeys(trial.intermediate_values, reached),
            )
        )
    return study


def test_the_whole_report_says_that_nothing_was_learned(tmp_path: Path) -> None:
    study = constant_study(30, SICK)
    weak = {"id": "decay", "severity": "distorts", "sentence": "Decay is weak.", "advice": "Use stronger regularizers."}
    findings = [{**weak, "stage": "regularizers"}, {**weak, "stage": "data", "advice": "Look at the labels."}]
    study.set_user_attr(attributes.DOCTOR, {"findings": findings, "verdict": "2 findings (2 distort results)."})
    found = find(study)
    text = verdict(found.tables, found.comparison, found.relations)
    assert text.headline == UNLEARNED and not text.good
    assert "says nothing about the regularizers" in " ".join(text.sentences)
    parts = {part.id: part for part in sections(found)}
    for name in ("gap", "importance", "settings"):
        assert parts[name].finding == UNLEARNED and parts[name].empty
    assert [check.id for check in checks(found.tables)] == ["learned", "infeasible"]
    assert "`training.balance`" in checks(found.tables)[0].advice
    page = write_report(study, tmp_path).read_text(encoding="utf-8")
    shown = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S)
    for said in (shown, (tmp_path / "summary.md").read_text(encoding="utf-8")):
        assert not CONTRADICTIONS.search(said), CONTRADICTIONS.search(said)
        assert "Look at the labels." in said
    assert (tmp_path / "summary.md").read_text(encoding="utf-8").count("No trial learned anything") == 2
    assert "Not shown, because nothing was learned: 1 finding about regularizers." in parts["checks"].finding
    status = {"word": "Nothing learned", "tone": "none"}
    assert study.user_attrs[attributes.HEADLINE] == {"text": UNLEARNED, "fair_gain": None, **status}


@pytest.mark.parametrize(
    ("trials", "data", "best", "balance", "headline"),
    [
        (3, SICK, None, None, UNLEARNED),  # however few trials
        (30, SICK, 0.945, None, UNLEARNED),
        (30, SICK, 0.99, None, "No verdict: the baseline has barely learned. Best so far: trial 29"),
        (30, SICK, None, "weights", "No trial beats always answering 'healthy' (95.0\N{NO-BREAK SPACE}%)."),
        (30, SICK, None, "none", UNLEARNED),
        (30, {**SICK, "validation_per_class": [150, 50]}, None, None, "Leave the regularizers off"),  # 75 %
    ],
    ids=["3 trials", "worse", "one learned", "balanced", "not balanced", "all learned"],
)
def test_the_headline(
    trials: int, data: dict[str, Any], best: float | None, balance: str | None, headline: str
) -> None:
    found = find(constant_study(trials, data, best, balance))
    assert verdict(found.tables, found.comparison, found.relations).headline.startswith(headline)


def test_an_older_study_says_that_classes_are_taken_as_equal() -> None:
    old = {"classes": ["a", "b"], "validation": 200}
    tables = load_tables(constant_study(30, old))
    found = find(constant_study(30, old))
    assert not found.comparison.nothing_learned  # 95 % beats the 50 % of equal classes
    data = next(part for part in sections(found) if part.id == "data")
    assert ASSUMED_CLASSES in data.notes and "guessing among 2 classes (50.0\N{NO-BREAK SPACE}%)" in data.notes[0]
    assert tables.data == found.tables.data


def test_the_size_of_each_class_stands_with_the_data() -> None:
    found = find(constant_study(12, SICK))
    data = next(part for part in sections(found) if part.id == "data")
    assert ["validation images per class", "healthy: 190, sick: 10"] in data.grids[0].rows
    assert ASSUMED_CLASSES not in data.notes
