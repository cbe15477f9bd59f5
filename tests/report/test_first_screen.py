"""The first screen of a report: page, summary, note, list and result say the same, and rest on fresh values alone."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from metric_twin import twin
from optuna_dashboard import get_note
from planted_race import CLASSES, PLANTED, Truth, fresh_runs_of, planted_race
from synthetic import make_study

from regstudy.analysis import importance
from regstudy.report.dashboard import push
from regstudy.report.first_screen import answer_to, as_verdict, first_screen
from regstudy.report.index_page import index_row, render_index
from regstudy.report.page import find, write_report
from regstudy.report.phrasing import markdown
from regstudy.report.results import load_results
from regstudy.study import attributes
from regstudy.study.place import DATABASE_FILE
from regstudy.study.storage import open_storage, sqlite_url

pytestmark = pytest.mark.table

EVIL = "<script>alert(1)</script>"
STATUS = {
    "confirmed": "Confirmed",
    "undecided": "Not decided yet",
    "no better": "No better than the baseline",
    "worse": "No better than the baseline",
    "too few rounds": "Not confirmed",
    "own validation": "Confirmed",
}


@pytest.fixture(autouse=True)
def few_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    original = importance.importances
    monkeypatch.setattr(
        "regstudy.report.page.importances", lambda study, tables: original(study, tables, permutations=20)
    )


def shown(page: Path) -> str:
    """The text of a page as a reader sees it."""
    text = re.sub(r"<(script|style).*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.S)
    text = re.sub(r"<wbr>|</?(b|strong|span)[^>]*>", "", text)
    return re.sub(r"&#39;", "'", text)


def copied(study: optuna.Study, name: str, storage: object) -> optuna.Study:
    optuna.copy_study(
        from_study_name=study.study_name,
        from_storage=study._storage,
        to_storage=storage,  # type: ignore[arg-type]
        to_study_name=name,
    )
    return optuna.load_study(study_name=name, storage=storage)  # type: ignore[arg-type]


def stored(folder: Path, truth: Truth) -> tuple[optuna.Study, optuna.Study]:
    """A search and its confirmation runs in the database of a folder."""
    search, _ = planted_race(truth)
    folder.mkdir(parents=True)
    storage = open_storage(sqlite_url(folder / DATABASE_FILE))
    study = copied(search, folder.name, storage)
    return study, fresh_runs_of(study, truth, storage=storage)


@pytest.mark.parametrize("kind", PLANTED)
def test_everything_says_the_same(kind: str, tmp_path: Path) -> None:
    search, fresh = planted_race(PLANTED[kind])
    page = write_report(search, tmp_path, fresh=fresh, where="results/blood_cells")
    told = answer_to(find(search, fresh=fresh), "results/blood_cells")
    assert told.word == STATUS[kind]
    push(search, fresh, "results/blood_cells")
    said = shown(page)
    assert f"</svg>{told.word}" in said and f'<p class="answer">{told.sentence}</p>' in said
    summary, note = (tmp_path / "summary.md").read_text(encoding="utf-8"), get_note(search)
    for text in (summary, note):
        assert markdown(f"{told.word}: {told.sentence}") in text
    for reason in told.reasons:
        assert reason in said or reason == told.gap  # which has a card of its own
        assert all(markdown(reason) in text for text in (summary, note))
    for text in (said, summary, note):
        assert "Use the settings of trial" not in text and "equal attempts" not in text
    for action in told.actions[:1]:
        assert action.command.replace("&&", "&amp;&amp;") in said and action.command in summary
    headline = search.user_attrs[attributes.HEADLINE]
    assert (headline["text"], headline["word"], headline["tone"]) == (told.sentence, told.word, told.tone)
    assert headline["fair_gain"] is None and ("fresh" in headline) is (kind != "too few rounds")


@pytest.mark.parametrize("name", ["accuracy", "loss", "auroc"])
def test_the_page_is_in_the_metric_of_the_study(name: str, tmp_path: Path) -> None:
    search, fresh = (twin(study, name) for study in planted_race())
    page = write_report(search, tmp_path, fresh=fresh)
    screen = shown(page).partition("The rest, in one line each")[0]
    assert ("nats" in screen, "points" in screen) == (name == "loss", True)  # the classes are shares
    assert not re.search(r"\bnan\b|None", screen)
    if name != "accuracy":
        assert "validation accuracy" not in screen


def test_the_values_of_the_search_stand_next_to_the_claim_once() -> None:
    search, fresh = planted_race()
    found = find(search, fresh=fresh)
    told = answer_to(found, "x")
    claimed = found.confirmation
    assert claimed is not None
    searched = f"{100 * claimed.winner.searched:.1f}"
    assert sum(text.count(searched) for text in [told.sentence, *told.reasons]) == 1
    verdict = as_verdict(found, told)
    assert verdict.headline == told.sentence and verdict.good and searched not in verdict.headline


def test_all_sections_are_folded_below_and_the_runs_are_among_them(tmp_path: Path) -> None:
    search, fresh = planted_race()
    text = write_report(search, tmp_path, fresh=fresh).read_text(encoding="utf-8")
    head, _, rest = text.partition("The rest, in one line each")
    body = re.sub(r"<(script|style).*?</\1>", "", rest, flags=re.S)
    assert not re.search(r'<section id="[a-z]+">', body)
    assert body.count('<details id="') > 8 and '<details id="confirmation"' in body and 'id="search"' not in body
    assert "14 runs with fresh seeds in 5 rounds: 420 epochs, none pruned" in body
    assert 'class="tile status ok"' in head


def test_colors_are_never_alone(tmp_path: Path) -> None:
    for kind, truth in PLANTED.items():
        search, fresh = planted_race(truth)
        page = write_report(search, tmp_path / kind, fresh=fresh).read_text(encoding="utf-8")
        pill = re.search(r'<span class="pill (\w+)"><svg aria-hidden="true"><use href="#i-(\w+)"/></svg>([^<]+)<', page)
        assert pill is not None and pill[1] == pill[2] and pill[3] == STATUS[kind]


@pytest.mark.parametrize(
    ("truth", "missing"),
    [
        (Truth(classes=False), ["Who is hit", "What earned it"]),
        (Truth(), ["What earned it"]),
    ],
)
def test_what_is_missing_is_a_line_and_not_an_empty_card(truth: Truth, missing: list[str], tmp_path: Path) -> None:
    search, fresh = planted_race(truth)
    found = find(search, fresh=fresh)
    screen = first_screen(found, answer_to(found, "x"))
    assert [one.question for one in screen.missing] == missing
    assert (screen.classes is None) is (len(missing) > 1) and screen.gap is not None
    text = shown(write_report(search, tmp_path, fresh=fresh))
    assert ("Mistakes per run" in text) is (len(missing) == 1)


def test_without_confirmation_runs_the_command_is_given(tmp_path: Path) -> None:
    search = make_study(50)
    page = write_report(search, tmp_path / "my study")
    said = shown(page)
    assert "</svg>Not confirmed" in said and "Use the settings of trial" in said
    assert f"regstudy confirm '{tmp_path / 'my study'}'".replace("'", "'") in said
    assert 'class="tile status none"' in page.read_text(encoding="utf-8")
    assert '<details id="search"' in said and "The best of the search is ahead by selection, too" in said


def test_an_interrupted_race_without_shared_rounds_is_not_confirmed(tmp_path: Path) -> None:
    search, _ = planted_race()
    fresh = fresh_runs_of(search, replace(Truth(), rounds=0))
    assert find(search, fresh=fresh).confirmation is None
    assert "</svg>Not confirmed" in shown(write_report(search, tmp_path, fresh=fresh))


def test_one_round_has_no_interval(tmp_path: Path) -> None:
    search, fresh = planted_race(replace(Truth(), rounds=1))
    said = shown(write_report(search, tmp_path, fresh=fresh)).partition("The rest, in one line each")[0]
    assert "</svg>Not confirmed" in said and not re.search(r"\bnan\b|None|inf\b", said)


def test_names_of_classes_are_escaped(tmp_path: Path) -> None:
    search, fresh = planted_race()
    for study in (search, fresh):
        data = {**study.user_attrs[attributes.DATA], "classes": [EVIL, *CLASSES[1:]]}
        study.set_user_attr(attributes.DATA, data)
    text = write_report(search, tmp_path, fresh=fresh).read_text(encoding="utf-8")
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text


def test_a_study_on_disk_finds_its_confirmation_runs(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "blood_cells"
    stored(folder, Truth())
    result = load_results(folder)
    assert result.confirmation is not None and result.confirmation.status == "confirmed"
    assert result.answer.lines[0].startswith("Confirmed: Trial ")
    assert result.verdict.headline == result.answer.sentence and result.verdict.headline in repr(result)
    assert result.answer.lines[-1].startswith(f"Next: regstudy export {folder}")
    assert result.answer.sentence in shown(result.report())
    row = index_row(folder)
    assert row is not None and (row.word, row.tone, row.answer) == ("Confirmed", "ok", result.answer.sentence)
    listed = render_index("results", [row])
    assert '<use href="#i-ok"/></svg>Confirmed</span>' in listed
    assert re.search(r'<div class="g">\+6\.\d ± 1\.\d points<span class="lesser">gap 13\.\d → 5\.\d', listed)


def test_a_comparison_has_an_answer_of_its_own(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "studies" / "comparison", tmp_path / "comparison")
    result = load_results(tmp_path / "comparison")
    assert result.answer.lines[0] == f"Compared: {result.verdict.headline}" and result.confirmation is None
