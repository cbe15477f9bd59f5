"""The report of ordinary and of strange studies: complete, self-contained, escaped."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState
from synthetic import make_study

from regstudy.analysis import importance
from regstudy.analysis.constant_answer import ConstantAnswer
from regstudy.analysis.gap import BaselineComparison, Relation, Scores
from regstudy.metrics import METRICS
from regstudy.report.figures import history, learning_curves
from regstudy.report.grids import best_and_newest, trial_grid
from regstudy.report.metric_phrasing import gap_of
from regstudy.report.page import coded, find, write_report
from regstudy.report.phrasing import gap_finding, objective, percent, points
from regstudy.report.sections import sections
from regstudy.report.verdict_phrasing import fair_gain_words, verdict
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables
from regstudy.text import counted

pytestmark = pytest.mark.table

FILES = {"report.html", "trials.csv", "epochs.csv", "importance.csv", "importance.md", "summary.md"}
EVIL = "<script>alert(1)</script>"
TEN = ConstantAnswer("val_accuracy", 0.1, 10)
IMAGE = "<img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def few_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page does not care how sharp the null is."""
    original = importance.importances
    monkeypatch.setattr(
        "regstudy.report.page.importances", lambda study, tables: original(study, tables, permutations=20)
    )


def plain() -> optuna.Study:
    study = optuna.create_study(direction="minimize")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1) + trial.suggest_int("n", 1, 3), n_trials=15)
    return study


def with_running() -> optuna.Study:
    study = make_study(12, baseline=3)
    study.add_trial(optuna.create_trial(state=TrialState.RUNNING))
    return study


def only_running() -> optuna.Study:
    study = optuna.create_study()
    study.add_trial(optuna.create_trial(state=TrialState.RUNNING))
    return study


def losing() -> optuna.Study:
    """Regularization only hurts."""
    return make_study(30, effects={"model.dropout": -0.3, "augmentation.strength": -0.3})


STUDIES: dict[str, tuple[Callable[[], optuna.Study], str]] = {
    "ordinary": (lambda: make_study(50, failed=1, diverged=1, underfit=2), "Use the settings of trial"),
    "plain": (plain, "Trial "),
    "empty": (lambda: make_study(0), "the study has no trial"),
    "single baseline": (lambda: make_study(1, baseline=1), "Only the baseline has results"),
    "single search": (lambda: make_study(1, baseline=0, prune=0), "cannot tell whether"),
    "all pruned": (lambda: make_study(12, baseline=0, prune=1.0), "nothing to recommend"),
    "all failed": (lambda: make_study(4, baseline=0, failed=4), "MemoryError"),
    "all diverged": (lambda: make_study(4, baseline=0, diverged=4), "4 diverged trials"),
    "running": (with_running, "this report is a snapshot"),
    "only running": (only_running, "1 running trial"),
    "losing": (losing, "Leave the regularizers off"),
    "few": (
        lambda: make_study(4, baseline=2, epochs=2, prune=0),
        "Too few trials for a verdict. Best so far: trial ",
    ),
    "one epoch": (lambda: make_study(15, epochs=1), "at epoch 1 of 1 (1 planned)"),
}


@pytest.mark.parametrize("kind", STUDIES)
def test_every_study_gets_a_whole_report(kind: str, tmp_path: Path) -> None:
    make, expected = STUDIES[kind]
    page = write_report(make(), tmp_path / "new" / "folder")
    assert {path.name for path in page.parent.iterdir()} == FILES  # and no temporary file
    text = page.read_text(encoding="utf-8")
    assert expected in text
    body = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    assert not re.search(r"\bnan\b|\bNone\b|<NA>", re.sub(r"<script.*?</script>", "", body, flags=re.S))


def test_the_page_is_self_contained_with_one_copy_of_plotly(tmp_path: Path) -> None:
    text = write_report(make_study(20), tmp_path).read_text(encoding="utf-8")
    assert text.count("* plotly.js v") == 1
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", text)
    assert "default-src 'none'" in text
    figures = re.findall(r'<script type="application/json">(.*?)</script>', text, flags=re.S)
    assert len(figures) == 4 + 2 * 5 + 2 + 3 + 1  # curves, regularizers, importances, history
    assert all(json.loads(figure)["data"] for figure in figures)


def test_names_are_escaped_everywhere(tmp_path: Path) -> None:
    study = make_study(20, name=EVIL, failed=1, data={"name": EVIL, "fallback_reason": EVIL, "classes": [EVIL]})
    study.set_user_attr(attributes.COMMAND, EVIL)
    study.set_user_attr(attributes.REGULARIZERS, {EVIL: 0.0})
    study.set_user_attr(attributes.METRIC, IMAGE)
    attrs = {**study.trials[-1].user_attrs, attributes.REASON: EVIL, attributes.ARM: EVIL}
    attrs[attributes.CONFIG] = {EVIL: 0.3}
    study.add_trial(optuna.create_trial(value=0.99, user_attrs=attrs))
    page = write_report(study, tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert IMAGE not in text and "&lt;img src=x onerror=alert(1)&gt; by trial" in text  # a heading, escaped once
    assert json.dumps("&lt;img src=x")[:-1] in text  # the title of an axis, escaped for Plotly
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    markdown = "\n".join(line for line in summary.splitlines() if not line.startswith("    "))  # outside code
    assert "<script>" not in markdown


def test_a_fallback_is_announced(tmp_path: Path) -> None:
    data = {"name": "street_digits", "requested": "svhn", "fallback_reason": "No file was found."}
    page = write_report(make_study(12, data=data), tmp_path)
    for name in ("report.html", "summary.md"):
        text = (tmp_path / name).read_text(encoding="utf-8").replace("\\_", "_")
        assert "This study did not use svhn: street_digits was used instead. No file was found." in text
    assert 'class="banner"' in page.read_text(encoding="utf-8")


def test_the_tables_can_be_read_back(tmp_path: Path) -> None:
    write_report(make_study(20), tmp_path)
    trials, epochs = pd.read_csv(tmp_path / "trials.csv"), pd.read_csv(tmp_path / "epochs.csv")
    assert len(trials) == 20 and trials["epochs"].sum() == len(epochs)
    assert set(pd.read_csv(tmp_path / "importance.csv")["target"]) == {"val_accuracy", "gap"}


def test_the_summary_is_short(tmp_path: Path) -> None:
    write_report(make_study(50), tmp_path)
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert len(summary.splitlines()) < 40 and "| best of the search |" in summary


def test_writing_again_replaces(tmp_path: Path) -> None:
    write_report(make_study(5), tmp_path)
    before = (tmp_path / "trials.csv").read_text(encoding="utf-8")
    write_report(make_study(6), tmp_path)
    assert (tmp_path / "trials.csv").read_text(encoding="utf-8") != before
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_a_minimised_loss_may_choose_a_trial_with_worse_accuracy(tmp_path: Path) -> None:
    source = make_study(20, baseline=3, prune=0.0)
    study = optuna.create_study(direction="minimize")
    for key, value in source.user_attrs.items():
        study.set_user_attr(key, "val_loss" if key == attributes.METRIC else value)
    for trial in source.trials:
        losses = [row[5] for row in trial.user_attrs[attributes.EPOCHS]["rows"]]  # the column val_loss
        attrs = {**trial.user_attrs, attributes.BEST_EPOCH: losses.index(min(losses)) + 1}
        study.add_trial(optuna.create_trial(value=min(losses), user_attrs=attrs))
    text = write_report(study, tmp_path).read_text(encoding="utf-8")
    assert "validation loss" in text
    assert "minimize validation loss" in text


def test_changes_are_signed_and_nothing_is_neither() -> None:
    assert [percent(x) for x in (-0.003, -0.0001, 0.9125)] == ["−0.3\N{NO-BREAK SPACE}%", "0.0\N{NO-BREAK SPACE}%",
                                                             percent(round(0.9125, 3))]  # fmt: skip
    assert objective(-0.5, "score") == "−0.5"
    assert [points(x) for x in (0.0412, -0.0412, 0.0, -0.0001, float("nan"))] == [
        "+4.1 points", "−4.1 points", "±0.0 points", "±0.0 points", "–",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("effort", "attempts", "headline", "good"),
    [
        # 83 % was selected among 40 trials: with 3, the search would have reached …
        ((0.81, 0.813), 40, "Use the settings of trial 9: with equal attempts, the search gains 1.0 to 1.3", True),
        ((0.813, 0.813), 40, "Use the settings of trial 9: with equal attempts, the search gains 1.3 points", True),
        ((0.78, 0.79), 40, "No gain in validation accuracy with equal attempts (−2.0 to −1.0 points)", False),
        ((0.79, 0.81), 40, "Trial 9 is the best, but its gain is not certain: −1.0 to +1.0 points", False),
        (
            (math.nan, math.nan),
            40,
            "Trial 9 is the best, but selection may explain its gain over 3 baseline trials",
            False,
        ),
        ((math.nan, math.nan), 3, "Use the settings of trial 9: with equal attempts, the search gains 3.0", True),
    ],
)
def test_the_headline_claims_the_fair_gain(
    effort: tuple[float, float], attempts: int, headline: str, good: bool
) -> None:
    baseline, challenger = Scores(0, 0.80, 1.0, 1.0, 0.80), Scores(9, 0.83, 1.0, 1.02, 0.83)
    comparison = BaselineComparison("val_accuracy", True, baseline, challenger, 3, attempts, 40, effort)
    found = verdict(load_tables(make_study(10)), comparison, [])
    assert found.headline.startswith(headline) and found.good is good
    if attempts == 40:  # the selected gain is in no headline
        assert "3.0 points above" not in found.headline and "+3.0" not in found.headline
    assert any("by selection" in caution for caution in found.cautions) is (attempts == 40 and effort[0] == effort[0])


@pytest.mark.parametrize(
    ("value", "gain"),
    [((0.40, 0.42), "+0.03 to +0.05 nats"), ((0.45, 0.47), "−0.02 to ±0 nats")],
    ids=["better", "worse"],
)
def test_a_fair_gain_in_loss_is_positive_where_the_loss_is_lower(value: tuple[float, float], gain: str) -> None:
    baseline, challenger = Scores(0, 0.45, 1.0, 1.0, 0.80), Scores(9, 0.38, 1.0, 1.0, 0.83)
    comparison = BaselineComparison("val_loss", False, baseline, challenger, 3, 40, 40, value)
    assert fair_gain_words(comparison) == gain


@pytest.mark.parametrize(
    ("val", "observed", "clean", "headline"),
    [
        (0.184, 2, 0.9, "Too few trials for a verdict. Best so far: trial 9, validation accuracy 18.4"),
        (0.138, 2, 0.9, "Too few trials for a verdict. Best so far: the baseline, trial 0, validation accuracy 14.8"),
        (0.184, 40, 0.15, "No verdict: the baseline has barely learned. Best so far: trial 9, validation"),
    ],
)
def test_next_to_no_evidence_gives_no_verdict(val: float, observed: int, clean: float, headline: str) -> None:
    baseline, challenger = Scores(0, 0.148, clean, clean, 0.148), Scores(9, val, 0.9, 0.9, val)
    comparison = BaselineComparison("val_accuracy", True, baseline, challenger, 2, 40, observed, (0.1, 0.1), TEN)
    found = verdict(load_tables(make_study(10)), comparison, [])
    assert found.headline.startswith(headline) and not found.good
    assert any("so far there are 2" in s for s in found.sentences) == (observed == 2)
    assert any("guessing among 10 classes" in s for s in found.sentences) == (clean == 0.15)


@pytest.mark.parametrize(("observed", "judged"), [(9, False), (10, True)])
def test_an_underfit_trial_is_judged_only_among_enough_trials(observed: int, judged: bool) -> None:
    baseline, challenger = Scores(0, 0.85, 0.97, 0.97, 0.85), Scores(9, 0.80, 0.85, 0.85, 0.80)
    comparison = BaselineComparison("val_accuracy", True, baseline, challenger, 3, 40, observed, (0.8, 0.8), TEN)
    found = verdict(load_tables(make_study(10)), comparison, [])
    assert ("only because train accuracy fell" in str(found)) is judged


def test_a_gap_that_did_not_shrink_is_given_no_cause() -> None:
    baseline, challenger = Scores(0, 0.80, 0.9, 0.9, 0.80), Scores(9, 0.83, 0.94, 0.94, 0.83)
    comparison = BaselineComparison("val_accuracy", True, baseline, challenger, 3, 40, 40, (0.82, 0.82), TEN)
    headline = verdict(load_tables(make_study(10)), comparison, []).headline
    assert headline.endswith("The gap did not shrink.") and "overfitting" not in headline


def test_the_first_box_answers_which_regularizers_narrowed_the_gap() -> None:
    def relation(path: str, used: int, plain: float, plain_p: float, p: float) -> Relation:
        return Relation(path, 0.0, plain, plain_p, plain, p, used, 0, 7, 17)

    adjusted, seen, rising = (
        relation("a", 30, -0.8, 0.01, 0.01),
        relation("b", 30, -0.7, 0.01, 0.5),
        relation("c", 30, 0.7, 0, 0),
    )
    nothing, few = relation("d", 30, 0.1, 0.9, 0.9), relation("e", 4, float("nan"), float("nan"), float("nan"))
    assert gap_finding([adjusted, seen, rising, nothing]) == (
        "The gap falls with higher a, adjusted for the other settings (30 trials). The gap rises with higher c, "
        "adjusted for the other settings (30 trials). Unadjusted, the gap falls with higher b, but 30 trials are too "
        "few to separate its effect from the 7 other variables."
    )
    assert "none has a statistically significant correlation with the gap in 30 trials" in gap_finding([nothing])
    assert "4 search trials can be compared, 10 are needed" in gap_finding([few])
    found = find(make_study(50))
    answer = gap_finding(found.relations)
    assert answer in verdict(found.tables, found.comparison, found.relations).sentences
    section = next(section for section in sections(found) if section.id == "gap")
    assert section.finding == answer
    assert section.grids[0].head[1] == "rank correlation, unadjusted / adjusted"
    assert re.fullmatch(r"−0\.\d\d / −0\.\d\d", section.grids[0].rows[0][1])


def test_differences_are_those_of_the_values_shown(tmp_path: Path) -> None:
    def numbers(text: str) -> list[float]:
        return [float(n.replace("−", "-")) for n in re.findall(r"[−+±]?\d+\.\d", text.replace("±", ""))]

    for seed in range(4):
        write_report(make_study(40, seed=seed, epochs=5), tmp_path)
        line = next(s for s in (tmp_path / "summary.md").read_text(encoding="utf-8").splitlines() if "(trial" in s)
        val, better, gain, clean, cleaner, change, gap, smaller, shrank = numbers(line.partition("validation ")[2])
        assert gain == pytest.approx(better - val) and change == pytest.approx(cleaner - clean)
        assert shrank == pytest.approx(smaller - gap) and gap == pytest.approx(clean - val)
        grid = trial_grid(load_tables(make_study(40, seed=seed, epochs=5)))
        for row in grid.rows:
            shown = [numbers(row[i])[0] for i in (3, 4, 5)]
            assert shown[1] == pytest.approx(shown[2] - shown[0])


def test_why_stands_last_and_settings_are_said_to_be_those_that_differ() -> None:
    found = find(make_study(12))
    grid = trial_grid(found.tables)
    assert grid.head[-1] == "reason" and grid.rows[0][-1] == "all planned epochs were run"
    assert len(grid.head) - 1 not in grid.numeric
    comparison = next(section for section in sections(found) if section.id == "comparison")
    assert comparison.grids[1].head[0] == "setting"
    assert any("only the settings that differ" in note for note in comparison.notes)


def test_a_banner_does_not_swallow_the_verdict(tmp_path: Path) -> None:
    write_report(make_study(12, data={"fallback_reason": "No file."}), tmp_path)
    lines = (tmp_path / "summary.md").read_text(encoding="utf-8").splitlines()
    banner = next(i for i, line in enumerate(lines) if line.startswith("> "))
    assert lines[banner + 1] == "" and lines[banner + 2].startswith("**")


def test_a_poor_trial_at_the_edge_is_marked_and_its_true_value_told() -> None:
    drawing = history(load_tables(make_study(50, diverged=1, failed=1)))
    edge = next(trace for trace in drawing.figure.data if trace.name == "outside the axis")
    symbols = [trace.marker.symbol for trace in drawing.figure.data if trace.name != "best so far"]
    assert edge.marker.symbol == "triangle-down" and symbols.count("triangle-down") == 1
    assert any("diverged: no result (drawn at the edge)" in text for text in edge.text)
    assert min(edge.y) > 10.0 and counted(len(edge.x), "outlier") in drawing.title


@pytest.mark.parametrize(("epochs", "whole"), [(1, True), (2, True), (30, False)])
def test_short_charts_have_ticks_at_whole_epochs_only(epochs: int, whole: bool) -> None:
    tables = load_tables(make_study(20, epochs=epochs, prune=0.0))
    axis = learning_curves(tables, 3, "Best").figure.layout.xaxis
    assert (axis.dtick == 1) is whole


def test_checks_come_first_and_those_in_order_are_folded() -> None:
    section = sections(find(make_study(50)))[0]
    assert section.id == "checks" and re.match(
        r"\d+ checks: (\d+ need|1 needs) action, \d+ notes?, \d+ passed\.", section.finding
    )
    shown, folded = section.grids
    assert not shown.folded and folded.folded
    assert [row[0].endswith("action") for row in shown.rows] == sorted(row[0].endswith("action") for row in shown.rows)[
        ::-1
    ]
    assert all("passed" in row[0] for row in folded.rows)


def test_each_regularizer_has_its_gap_and_the_metric_beside_it() -> None:
    section = next(section for section in sections(find(make_study(50))) if section.id == "gap")
    titles = [drawing.title for drawing in section.figures]
    assert len(titles) == 10
    for gap, metric in zip(titles[::2], titles[1::2], strict=True):
        assert gap.partition(":")[0] == metric.partition(":")[0]
        assert "no clear best value" in metric or "best quarter" in metric


def test_of_many_trials_the_best_and_the_newest_are_told() -> None:
    tables = find(make_study(50, prune=0)).tables
    rows = best_and_newest(tables, 10)
    ranked = tables.trials.sort_values("value", ascending=False)["number"].tolist()
    assert len(rows) == 10
    assert set(ranked[:5]) <= set(rows["number"])
    assert {49, 48, 47, 46, 45} - set(ranked[:5]) <= set(rows["number"])
    assert rows["number"].is_monotonic_increasing
    assert len(best_and_newest(tables, 50)) == 50


def test_a_table_that_was_cut_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regstudy.report.grids.MAX_TRIAL_ROWS", 12)
    section = next(section for section in sections(find(make_study(30))) if section.id == "trials")
    assert len(section.grids[0].rows) == 12
    assert section.notes == ["18 trials (neither among the best nor the newest) are only in trials.csv."]


def test_code_in_advice_is_escaped() -> None:
    assert str(coded("set `a.b` to <b>`<i>`")) == "set <code>a.b</code> to &lt;b&gt;<code>&lt;i&gt;</code>"


def test_a_number_reads_the_same_whatever_holds_it() -> None:
    row = pd.Series({"clean_train_accuracy": 1.0, "val_accuracy": 0.9275})
    assert percent(row["val_accuracy"]) == percent(0.9275)
    assert gap_of(row, METRICS["accuracy"]) == percent(1.0 - round(0.9275, 3))


def test_sections_without_a_result_fold_to_a_line_with_their_finding(tmp_path: Path) -> None:
    text = write_report(plain(), tmp_path).read_text(encoding="utf-8")
    assert '<section id="gap" class="line">' in text
    assert re.search(
        r'<details id="making" class="section">\s*<summary><h2>Reproduce</h2><span class="said">The cost ', text
    )
    few = {section.id: section for section in sections(find(make_study(8, baseline=3)))}
    assert few["gap"].folded and few["importance"].folded and few["gap"].figures
    assert not few["comparison"].folded and not few["curves"].folded


def test_how_a_section_was_computed_is_collapsed(tmp_path: Path) -> None:
    text = write_report(make_study(50), tmp_path).read_text(encoding="utf-8")
    assert text.count('<details class="method"><summary>How this was computed</summary>') == 2  # gap and importance
    assert "Spearman" not in re.sub(
        r'<details class="method">.*?</details>', "", text.partition("</main>")[0], flags=re.S
    )
