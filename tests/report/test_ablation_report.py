"""An ablation in a report: page, summary, note, files and result say the same; without one there is only a command."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from ablated_study import CLOSES, PARTS, Part, Taken, ablation_runs
from metric_twin import twin
from optuna_dashboard import get_note
from planted_race import PLANTED, fresh_runs_of, planted_race
from test_first_screen import copied, shown

from regstudy.analysis import importance
from regstudy.report.ablation_figures import arm_curves, waterfall
from regstudy.report.ablation_table import ablation_frame
from regstudy.report.dashboard import push
from regstudy.report.first_screen import answer_to, as_verdict, first_screen
from regstudy.report.next_actions import ABLATION_RUNS
from regstudy.report.page import find, write_report
from regstudy.report.phrasing import markdown
from regstudy.report.results import load_results
from regstudy.report.sections import cost_words, sections
from regstudy.report.watch import progress
from regstudy.report.written_files import check_report_files
from regstudy.search.ablate_study import DEFAULT_RUNS
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables
from regstudy.study.place import DATABASE_FILE
from regstudy.study.storage import open_storage, sqlite_url

pytestmark = pytest.mark.table

WHERE = "results/blood_cells"
UNDECIDED = Taken(parts={"augmentation": CLOSES, "dropout": Part(0.003)}, noise=0.002, repeats=6)


@pytest.fixture(autouse=True)
def few_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    original = importance.importances
    monkeypatch.setattr(
        "regstudy.report.page.importances", lambda study, tables: original(study, tables, permutations=5)
    )


@pytest.mark.parametrize("race", ["confirmed", "undecided", "own validation", "none"])
def test_everything_says_what_earned_it(race: str, tmp_path: Path) -> None:
    search, fresh = planted_race(PLANTED.get(race, PLANTED["confirmed"]))
    again = None if race == "none" else fresh
    ablated = ablation_runs(search)
    page = write_report(search, tmp_path, fresh=again, where=WHERE, ablated=ablated)
    found = find(search, fresh=again, ablated=ablated)
    told = answer_to(found, WHERE)
    before = answer_to(find(search, fresh=again), WHERE)
    assert (told.word, told.tone) == (before.word, before.tone)  # how far to trust it is for the confirmation to say
    cause = "Augmentation closed the gap: +4."
    assert told.sentence.startswith(cause) is (race in ("confirmed", "own validation"))
    assert cause in " ".join(told.lines) and "Dropout and label smoothing did nothing." in " ".join(told.lines)
    push(search, again, WHERE, ablated)
    texts = [(tmp_path / "summary.md").read_text(encoding="utf-8"), get_note(search)]
    assert all(reason in shown(page) for reason in told.reasons if reason != told.gap)
    for text in texts:
        assert all(markdown(reason) in text for reason in ([told.cause] if again is None else told.reasons))
        assert markdown(f"{told.word}: {told.sentence}") in text
    assert cause in " ".join([as_verdict(found, told).headline, *as_verdict(found, told).sentences])
    assert ("only the seeds vary" in shown(page)) is (race == "own validation")


@pytest.mark.parametrize("name", ["accuracy", "loss", "auroc"])
def test_page_and_files_are_in_the_metric_of_the_study(name: str, tmp_path: Path) -> None:
    search, fresh = planted_race()
    ablated = ablation_runs(search, Taken(parts={"augmentation": CLOSES, "dropout": PARTS["hurt"]}, add_one_in=True))
    search, fresh, ablated = (twin(study, name) for study in (search, fresh, ablated))
    page = write_report(search, tmp_path, fresh=fresh, ablated=ablated)
    screen = shown(page).partition("The rest, in one line each")[0]
    assert "What earned it" in screen and "Chance" in screen and 'class="ci thin"' in screen
    assert not re.search(r"\bnan\b|None", screen)
    table = pd.read_csv(tmp_path / "ablation.csv").set_index("regularizer")
    assert list(table["verdict"][["augmentation", "dropout"]]) == ["closed the gap", "hurt"]
    assert table.loc["augmentation", "metric"] > 0 > table.loc["dropout", "metric"]
    assert set(table["family"]) == {"primary", "secondary"} and "Only augmentation" not in screen
    text = (tmp_path / "ablation.md").read_text(encoding="utf-8")
    assert "**Augmentation closed the gap:" in text and ("nats" in text) is (name == "loss")
    assert text.count("\n| only ") == 2
    check_report_files(tmp_path, "search")  # its own files may be replaced
    write_report(search, tmp_path, fresh=fresh, ablated=ablated)


def test_the_section_has_effects_waterfall_curves_and_runs() -> None:
    search, fresh = planted_race()
    found = find(search, fresh=fresh, ablated=ablation_runs(search))
    part = next(section for section in sections(found) if section.id == "ablation")
    effects, runs = part.grids
    assert [row[0] for row in effects.rows] == ["dropout", "label smoothing", "augmentation", "all regularizers"]
    assert len(runs.rows) == 5 and len(runs.head) == 13 and "–" not in str(runs.rows)
    titles = [drawing.title for drawing in part.figures]
    assert titles[0].startswith("From the baseline to the winner: +4.") and "augmentation +4." in titles[0]
    assert len(titles) == 6 and titles[-1].startswith("Baseline, 12 runs: mean gap 1")
    bars = part.figures[0].figure.data[0]
    assert bars.y[0] + sum(bars.y[1:-1]) == pytest.approx(bars.y[-1])
    assert "45 %" in " ".join(part.method) and "0.3 points" in " ".join(part.method)


def test_undecided_ones_are_named_with_the_command_that_settles_them() -> None:
    search, fresh = planted_race()
    found = find(search, fresh=fresh, ablated=ablation_runs(search, UNDECIDED))
    told = answer_to(found, "'results/my study'")
    assert found.apart is not None and found.ablation is found.apart.result
    total = found.apart.total_runs
    assert f"Dropout is not decided: about {total - 24} more runs" in told.cause and total > 24
    settle = next(action for action in told.actions if action.title == "Settle dropout")
    assert shlex.split(settle.command) == ["regstudy", "ablate", "results/my study", "--runs", str(total)]
    assert settle.cost and settle.runs == f"{total - 24} runs"


def test_an_interaction_that_stands_is_told() -> None:
    search, fresh = planted_race()
    both = frozenset({"augmentation", "dropout"})
    truth = Taken(parts=dict.fromkeys(sorted(both), CLOSES), extra={both: Part(-0.041)}, interactions=True)
    told = answer_to(find(search, fresh=fresh, ablated=ablation_runs(search, truth)), WHERE)
    assert "Either of augmentation and dropout is enough" in told.cause
    assert "did nothing" not in " ".join(told.lines)
    alone = Taken(parts=dict.fromkeys(sorted(both), CLOSES), interactions=True)
    assert "enough" not in answer_to(find(search, fresh=fresh, ablated=ablation_runs(search, alone)), WHERE).cause


@pytest.mark.parametrize("left", [0, 5])
def test_tries_of_learning_rates_change_no_number_and_are_told(left: int, tmp_path: Path) -> None:
    search, fresh = planted_race()
    plain, retuned = (
        ablation_runs(search, replace(UNDECIDED, left=left, factors=factors))
        for factors in ({}, {"without dropout": 3.0, "baseline": 1 / 3})
    )
    one, other = (find(search, fresh=fresh, ablated=ablated).apart for ablated in (plain, retuned))
    assert one is not None and other is not None and repr(one.result) == repr(other.result)
    assert (one.tried, other.tried) == (0, 24) and one.left == other.left and one.run_seconds == other.run_seconds
    assert other.total_runs == one.total_runs + 24 and one.arms == other.arms
    frames = [ablation_frame(each) for each in (one, other)]
    rates = ["lr_factor_with", "lr_factor_without"]
    pd.testing.assert_frame_equal(*(frame.drop(columns=rates) for frame in frames))
    assert (frames[0][rates] == 1).all(axis=None)
    assert frames[1].set_index("regularizer")[rates].loc["dropout"].tolist() == [1.0, 3.0]
    drawn = [[each.figure.to_json() for each in [waterfall(found), *arm_curves(found)]] for found in (one, other)]
    assert drawn[0] == drawn[1]

    page = write_report(search, tmp_path, fresh=fresh, ablated=retuned)
    lr = search.best_trial.user_attrs[attributes.CONFIG]["optimizer"]["lr"]
    said = (
        "Learning rates, chosen by 24 runs that enter no comparison: "
        f"{lr / 3:.3g} (divided by 3): baseline; {lr:.3g} (unchanged): winner and without augmentation; "
        f"{3 * lr:.3g} (times 3): without dropout."
    )
    assert shown(page).count(said) == 2 and " at lr" not in shown(page)  # on the first screen, and in the section
    assert markdown(said) in (tmp_path / "ablation.md").read_text(encoding="utf-8")
    assert f"{48 - left} ablation runs" in shown(page)
    write_report(search, tmp_path / "plain", fresh=fresh, ablated=plain)
    assert "learning rates" not in (tmp_path / "plain" / "ablation.md").read_text(encoding="utf-8").lower()


def test_an_ablation_of_another_trial_is_not_the_answer_about_the_winner() -> None:
    search, fresh = planted_race()
    told = answer_to(find(search, fresh=fresh, ablated=ablation_runs(search, winner=35)), WHERE)
    assert "closed" not in told.sentence and told.cause.startswith("In trial 35: Augmentation closed the gap")


def test_an_ablation_that_contradicts_the_confirmation_says_so() -> None:
    search, fresh = planted_race()
    truth = Taken(parts={"augmentation": PARTS["hurt"], "dropout": Part()})
    told = answer_to(find(search, fresh=fresh, ablated=ablation_runs(search, truth)), WHERE)
    assert "The two disagree" in told.cause and told.sentence.startswith("Trial 16")


def test_without_an_ablation_there_is_a_line_with_its_command_and_no_file(tmp_path: Path) -> None:
    search, fresh = planted_race()
    page = write_report(search, tmp_path, fresh=fresh, where=WHERE)
    found = find(search, fresh=fresh)
    screen = first_screen(found, answer_to(found, WHERE))
    (line,) = [one for one in screen.missing if one.question == "What earned it"]
    assert f"`regstudy ablate {WHERE}`" in line.reason and "70 runs" in line.reason
    assert screen.ablation is None and found.ablation is None and "<code>regstudy ablate" in shown(page)
    assert not list(tmp_path.glob("ablation*")) and 'id="ablation"' not in page.read_text(encoding="utf-8")
    assert not re.search(r"\b(closed|helped|hurt)\b", screen.answer.sentence)
    assert ABLATION_RUNS == DEFAULT_RUNS


def test_a_result_has_the_effects_as_a_data_frame(tmp_path: Path) -> None:
    search, _ = planted_race()
    folder = tmp_path / "blood_cells"
    folder.mkdir()
    storage = open_storage(sqlite_url(folder / DATABASE_FILE))
    study = copied(search, folder.name, storage)
    fresh_runs_of(study, PLANTED["confirmed"], storage=storage)
    assert load_results(folder).ablation is None
    ablated = ablation_runs(study, storage=storage)
    found = load_results(folder)
    frame = found.ablation
    assert frame is not None and list(frame["regularizer"][:1]) == ["dropout"] and len(frame) == 4
    assert found.answer.sentence.startswith("Augmentation closed the gap")
    assert found.report().name == "report.html" and (folder / "ablation.csv").exists()
    assert progress(study, None, ablated)[0][0] == len(study.trials) + len(ablated.trials)


def test_the_cost_counts_every_run() -> None:
    search, fresh = planted_race()
    ablated = ablation_runs(search)
    runs = [search, fresh, ablated]
    epochs = [int(load_tables(one).epochs_run().sum()) for one in runs]
    assert "(" not in cost_words(find(search))
    said = cost_words(find(search, fresh=fresh, ablated=ablated))
    assert said.startswith(f"Cost: {sum(epochs):,} epochs, ")
    assert f"(search {epochs[0]:,} epochs, confirmation {epochs[1]:,} epochs and ablation {epochs[2]:,} epochs)" in said
