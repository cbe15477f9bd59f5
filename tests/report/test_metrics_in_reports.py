"""Every number, axis and sentence of a report is in the metric that decides the study."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from metric_twin import twin, with_more
from synthetic import make_study
from synthetic_plan import WHOLE, plan_study

from regstudy.analysis.arm_statistics import load_comparison
from regstudy.analysis.constant_answer import constant_answer
from regstudy.analysis.curves import saturated, still_improving
from regstudy.analysis.gap import compare, relations
from regstudy.analysis.importance import importances
from regstudy.analysis.isolation import isolation
from regstudy.analysis.learned import qualify
from regstudy.analysis.stored_margin import stored_margin
from regstudy.analysis.winners_curse import winners_curse
from regstudy.metrics import METRICS
from regstudy.records import EpochRecord, dump_confusions
from regstudy.report.comparison.arm_rows import arm_rows
from regstudy.report.comparison.comparison_page import comparison_sections
from regstudy.report.comparison.comparison_phrasing import comparison_verdict
from regstudy.report.metric_phrasing import change, fit_got_worse, gap_definition
from regstudy.report.other_metric_phrasing import other_winners_sentence, positive_class
from regstudy.report.page import find, write_report
from regstudy.report.sections import sections
from regstudy.report.study_checks import checks
from regstudy.report.verdict_phrasing import constant_words, verdict
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables

pytestmark = pytest.mark.table

NAMES = list(METRICS)
OTHERS = [name for name in NAMES if name != "accuracy"]


@pytest.fixture(scope="module")
def planted() -> optuna.Study:
    return make_study(40, diverged=1, failed=1, underfit=3)


@pytest.mark.parametrize("name", OTHERS)
def test_the_analysis_finds_in_each_metric_what_it_finds_in_accuracy(planted: optuna.Study, name: str) -> None:
    study = twin(planted, name)
    own, found = load_tables(planted), load_tables(study)
    assert found.gap == f"gap_{name}"
    np.testing.assert_allclose(found.trials[found.gap], own.trials["gap_accuracy"], atol=1e-12)
    assert (qualify(found).mask == qualify(own).mask).all() and qualify(found).excluded == 3
    first, second = compare(own), compare(found)
    assert second.word == first.word and second.gains is first.gains
    assert second.val_gain == pytest.approx(first.val_gain) and second.gap_change == pytest.approx(first.gap_change)
    mean = [(r.path, round(r.plain, 9), round(r.rho, 9)) for r in relations(own)]
    assert [(r.path, round(r.plain, 9), round(r.rho, 9)) for r in relations(found)] == mean
    parts = isolation(own, "model.dropout"), isolation(found, "model.dropout")
    assert [part.gap for part in parts[1]] == pytest.approx([part.gap for part in parts[0]], nan_ok=True)
    frames = [importances(one, tables, permutations=20) for one, tables in ((planted, own), (study, found))]
    assert set(frames[1]["target"]) == {f"val_{name}", "gap"}
    pd.testing.assert_frame_equal(frames[0].drop(columns="target"), frames[1].drop(columns="target"))
    assert winners_curse(own) is not None and winners_curse(found) is None


AXES = {
    "accuracy": ("accuracy (%)", "gap (points)", "validation accuracy (%)"),
    "balanced_accuracy": ("balanced accuracy (%)", "gap (points)", "validation balanced accuracy (%)"),
    "macro_f1": ("macro F1 (%)", "gap (points)", "validation macro F1 (%)"),
    "worst_class_recall": ("recall of the worst class (%)", "gap (points)", "validation recall of the worst class (%)"),
    "auroc": ("AUROC (%)", "gap (points)", "validation AUROC (%)"),
    "average_precision": ("average precision (%)", "gap (points)", "validation average precision (%)"),
    "loss": ("loss (nats)", "gap (nats)", "validation loss (nats)"),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_axis_has_the_metric_and_its_unit(planted: optuna.Study, name: str) -> None:
    found = find(twin(planted, name))
    parts = {part.id: part for part in sections(found)}
    curves, gap, objective = AXES[name]
    drawn = [drawing.figure.layout.yaxis.title.text for drawing in parts["curves"].figures]
    unit = gap.removeprefix("gap ")
    ends = ["train (eval mode)", "validation"] if name != "loss" else ["validation", "train (eval mode)"]
    assert drawn == [curves, curves, f"gap: {' − '.join(ends)} {unit}", objective]
    assert {d.figure.layout.yaxis.title.text for d in parts["gap"].figures} == {gap, objective}
    assert parts["history"].figures[0].figure.layout.yaxis.title.text == objective
    lines = [trace.name for trace in parts["curves"].figures[0].figure.data]
    assert ("train (train mode)" in lines) == (name in ("accuracy", "loss"))  # nothing else is measured there


@pytest.mark.parametrize("name", NAMES)
def test_no_sentence_is_in_another_metric(planted: optuna.Study, name: str, tmp_path: Path) -> None:
    study, of = twin(planted, name), METRICS[name]
    found = find(study)
    text = verdict(found.tables, found.comparison, found.relations)
    assert text.good and f"validation {of.label}" in text.headline
    assert ("points" in text.headline, "nats" in text.headline) == (of.percent, not of.percent)
    evidence = next(sentence for sentence in text.sentences if sentence.startswith("Best baseline"))
    assert evidence.count("nats)" if not of.percent else "points)") == 3
    page = write_report(study, tmp_path).read_text(encoding="utf-8")
    shown = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.S)
    for said in (shown, (tmp_path / "summary.md").read_text(encoding="utf-8")):
        assert gap_definition(of) in shown
        if name != "accuracy":
            said = re.sub(r"<th[^>]*>[^<]*</th>", "", said)  # accuracy stands beside, in a column of its own
            assert not re.search(r"(train|validation) accuracy|balanced accuracy fell", said.replace(of.label, "•"))
    assert study.user_attrs[attributes.HEADLINE]["fair_gain"].endswith("points" if of.percent else "nats")


@pytest.mark.parametrize("name", NAMES)
def test_the_checks_are_in_the_metric(name: str) -> None:
    found = {check.id: check.finding for check in checks(load_tables(twin(make_study(30, underfit=14), name)))}
    of = METRICS[name]
    assert f"train {of.label} (eval mode) is too far {'below' if of.maximize else 'above'}" in found["excluded"]
    assert found["excluded"].endswith("%." if of.percent else ".")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("accuracy", "always answering 'healthy' (75.0 %)"),
        ("balanced_accuracy", "always answering the same class (balanced accuracy 50.0 %)"),
        ("macro_f1", "always answering 'healthy' (macro F1 42.9 %)"),
        ("worst_class_recall", "always answering the same class (recall of the worst class 0.0 %)"),
        ("auroc", "the same score for every image (AUROC 50.0 %)"),
        ("average_precision", "the same score for every image (average precision 25.0 %)"),
        ("loss", "always answering with the shares of the classes (loss 0.5623)"),
    ],
)
def test_the_constant_answer_is_named_for_every_metric(name: str, words: str) -> None:
    data = {"classes": ["healthy", "sick"], "validation_per_class": [300, 100], "positive": "sick"}
    constant = constant_answer(data, f"val_{name}")
    assert constant is not None and constant_words(constant).replace("\N{NO-BREAK SPACE}", " ") == words


@pytest.mark.parametrize(
    ("name", "moved", "worse"),
    [("auroc", "+4.1 points", "train AUROC fell"), ("loss", "+0.041 nats", "train loss rose")],
)
def test_changes_have_a_unit(name: str, moved: str, worse: str) -> None:
    assert (change(0.0412, METRICS[name]), fit_got_worse(METRICS[name])) == (moved, worse)


def test_a_study_in_an_unmeasured_metric_has_a_report_before_its_first_epoch(tmp_path: Path) -> None:
    study = twin(make_study(0), "auroc")
    assert load_tables(study).trials["gap_auroc"].empty
    assert write_report(study, tmp_path).exists()


UNEQUAL = {"classes": ["healthy", "sick"], "validation_per_class": [900, 100], "validation": 1000, "positive": "sick"}
EQUAL = {**UNEQUAL, "validation_per_class": [500, 500]}


@pytest.mark.parametrize(
    ("name", "data", "lead", "ends"),
    [
        ("balanced_accuracy", UNEQUAL, 0.2, ": accuracy hides the rarer classes."),
        ("worst_class_recall", UNEQUAL, 0.2, ": accuracy hides the rarer classes."),
        ("balanced_accuracy", UNEQUAL, 0.01, ")."),  # may be the choice among similar trials
        ("balanced_accuracy", EQUAL, 0.2, ")."),
        ("auroc", UNEQUAL, 0.2, ")."),  # says nothing of the classes
        ("balanced_accuracy", UNEQUAL, 0.002, None),  # within the margin
        ("balanced_accuracy", UNEQUAL, 0.0, None),
    ],
)
def test_another_winner_by_another_metric_is_said(name: str, data: dict[str, object], lead: float, ends: str) -> None:
    study = make_study(20, prune=0, data=data)
    best = int(np.argmax([trial.value or 0 for trial in study.trials]))
    other = (best + 1) % 20
    study = with_more(study, name, [0.62 + lead * (i == other) for i in range(20)])
    found = find(study)
    said = other_winners_sentence(found.tables)
    text = verdict(found.tables, found.comparison, found.relations)
    if ends is None:
        assert said == ""
        return
    label = METRICS[name].label
    wins = f"By {label} trial {other} would win ({100 * (0.62 + lead):.1f} % against 62.0 %)"
    assert said.replace("\N{NO-BREAK SPACE}", " ").startswith(wins) and said.endswith(ends)
    assert text.sentences[0] == said  # on the first screen
    assert f"validation {label}" in next(p for p in sections(found) if p.id == "comparison").grids[0].head


def with_confusions(study: optuna.Study, recalls: list[tuple[int, int]]) -> optuna.Study:
    """The study with a confusion matrix per trial: so many right answers of 900 healthy and 100 sick images."""
    made = optuna.create_study(direction="maximize", study_name=study.study_name)
    for name, value in study.user_attrs.items():
        made.set_user_attr(name, value)
    for trial, (healthy, sick) in zip(study.trials, recalls, strict=True):
        matrix = [[healthy, 900 - healthy], [100 - sick, sick]]
        trial.user_attrs[attributes.CONFUSION] = dump_confusions({"train": matrix, "validation": matrix})
        made.add_trial(trial)
    return made


@pytest.mark.parametrize(("data", "said"), [(UNEQUAL, True), (EQUAL, False)])
def test_accuracy_hides_rare_classes_even_if_nothing_else_was_recorded(data: dict[str, object], said: bool) -> None:
    study = make_study(20, prune=0, data=data)
    best = int(np.argmax([trial.value or 0 for trial in study.trials]))
    other = (best + 1) % 20
    study = with_confusions(study, [(810, 72) if number == other else (890, 24) for number in range(20)])
    text = other_winners_sentence(find(study).tables).replace("\N{NO-BREAK SPACE}", " ")
    wins = f"By balanced accuracy trial {other} would win (81.0 % against 61.4 %): accuracy hides the rarer classes."
    assert text == (wins if said else "")


def test_learning_that_only_another_metric_shows_is_not_called_nothing() -> None:
    """On 9:1 classes a network may be no more accurate than a constant answer and still tell the classes apart."""
    rarer = {**UNEQUAL, "validation_per_class": [970, 30]}
    study = twin(make_study(20, prune=0, data=rarer), "balanced_accuracy")
    study.set_user_attr(attributes.METRIC, "val_accuracy")
    assert not compare(load_tables(study)).nothing_learned
    blind = with_more(study, "balanced_accuracy", [0.55] * 20)
    assert compare(load_tables(blind)).nothing_learned


def test_the_positive_class_is_named_where_a_metric_needs_one() -> None:
    study = twin(make_study(20, data=UNEQUAL), "average_precision")
    found = find(study)
    said = positive_class(found.tables)
    assert "'sick' (the rarer one in training" in said
    assert said in verdict(found.tables, found.comparison, found.relations).sentences
    assert said in next(part for part in sections(found) if part.id == "data").notes
    assert positive_class(load_tables(twin(make_study(5, data=UNEQUAL), "balanced_accuracy"))) == ""


@pytest.mark.parametrize("name", NAMES)
def test_a_comparison_is_made_in_the_metric(name: str) -> None:
    own, found = load_comparison(plan_study(WHOLE)), load_comparison(twin(plan_study(WHOLE), name))
    of = METRICS[name]
    sign = 1 if of.maximize else -1
    measures = [f"val_{name}_last", f"gap_{name}_last", f"val_{name}_best", f"gap_{name}_best"]
    assert [d.measure for d in found.differences] == measures
    signs = [sign, 1, sign, 1]
    means = [factor * d.paired.mean for factor, d in zip(signs, own.differences, strict=True)]
    assert [d.paired.mean for d in found.differences] == pytest.approx(means)
    text = comparison_verdict(found)
    assert f"validation{'' if name == 'accuracy' else f' {of.label}'} " in text.headline
    assert ("points" in text.headline, "nats" in text.headline) == (of.percent, not of.percent)
    rows = [row[0] for row in arm_rows(found)]
    assert ("validation accuracy, last epoch (%)" in rows) == (name != "accuracy")  # beside the one that decides
    parts = {part.id: part for part in comparison_sections(found)}
    curves, gap, objective = AXES[name]
    assert parts["seeds"].figures[0].figure.layout.yaxis.title.text == objective
    assert parts["curves"].figures[0].figure.layout.yaxis.title.text == curves
    assert parts["differences"].grids[0].head[3] == f"difference {gap.removeprefix('gap ')}"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("accuracy", "train 60.0%  clean 70.0%  val 50.0%  gap +20.0"),
        ("loss", "loss: train 0.600  clean 0.300  val 0.700  gap +0.400  val accuracy 50.0%"),
        ("auroc", "AUROC: clean 90.0%  val 80.0%  gap +10.0  val accuracy 50.0%"),
    ],
)
def test_an_epoch_is_told_in_the_metric(name: str, words: str) -> None:
    more = {"clean_train_auroc": 0.9, "val_auroc": 0.8}
    record = EpochRecord(1, 0.6, 0.6, 0.3, 0.7, 0.7, 0.5, 0.1, 1.0, 1.0, more)
    assert record.words(f"val_{name}") == words


@pytest.mark.parametrize(
    ("name", "values", "improving", "flat"),
    [
        ("loss", [2.0 - 0.1 * i for i in range(16)], True, False),
        ("loss", [2.0, 1.0, 0.5, 0.4] + [0.4] * 12, False, True),
        ("loss", [0.020, 0.010] + [0.0095 - 0.0003 * i for i in range(14)], True, False),  # small, but it falls on
        ("loss", [0.5, 0.3, 0.2, 0.19] + [0.2 + 0.03 * i for i in range(12)], False, True),
        ("auroc", [0.5 + 0.02 * i for i in range(16)], True, False),
        ("auroc", [0.5, 0.8, 0.9, 0.95] + [0.95] * 12, False, True),
    ],
)
def test_progress_is_judged_in_the_metric(name: str, values: list[float], improving: bool, flat: bool) -> None:
    of = METRICS[name]
    epochs = pd.DataFrame({of.val: values, "epoch": range(1, 17)}).assign(val_accuracy=0.5)
    assert (still_improving(epochs, of), saturated(epochs, of)) == (improving, flat)


@pytest.mark.parametrize(
    ("given", "series", "stored"),
    [(None, "val_loss", 0.003), (None, "val_accuracy", 0.003), (0.5, "val_auroc", 0.005), (0.5, "val_loss", 0.5)],
)
def test_a_margin_is_in_points_or_nats(given: float | None, series: str, stored: float) -> None:
    assert stored_margin(given, series) == pytest.approx(stored)
