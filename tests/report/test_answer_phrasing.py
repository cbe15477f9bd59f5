"""What is said of a study with confirmation runs: every status in every metric, with and without own validation."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import get_args

import pytest
from synthetic import make_study

from regstudy.analysis.confirmation import ITSELF, Confirmation, Estimate, Leader, Status
from regstudy.metrics import METRICS
from regstudy.report.answer_phrasing import (
    OWN_VALIDATION,
    Answer,
    answer,
    equals_sentence,
    gap_heading,
    luck_sentence,
)
from regstudy.report.verdict_phrasing import Verdict
from regstudy.study.load_tables import load_tables
from regstudy.study.tables import Tables

pytestmark = pytest.mark.table

STATUSES: tuple[Status, ...] = get_args(Status)
WORDS = {
    "confirmed": ("Confirmed", "ok"),
    "no better": ("No better than the baseline", "ok"),
    "undecided": ("Not decided yet", "wait"),
    "too few rounds": ("Not confirmed", "none"),
    "nothing learned": ("Nothing learned", "none"),
}
GAINS = {  # of the winner: mean, and half of the interval
    "confirmed": (0.064, 0.011),
    "no better": (-0.001, 0.003),
    "undecided": (0.012, 0.017),
    "too few rounds": (0.02, 0.01),
    "nothing learned": (0.001, 0.01),
}
SEARCHED = 0.926
CAUSAL = re.compile(r"\b(closed|helped|hurts?|caused|improved|rises|because)\b")
SEARCH = Verdict("Use the settings of trial 9: the search gains 9.9 points.", ["The gap fell."], ["Luck."])


@pytest.fixture(scope="module")
def tables() -> Tables:
    return load_tables(make_study(12, baseline=3, prune=0))


def claim(status: Status, name: str = "accuracy", *, own: bool = False, rounds: int = 6) -> Confirmation:
    """A claim with a status; a loss has 1 minus the values of a share."""
    of = METRICS[name]
    mean, half = GAINS[status]

    def value(share: float) -> float:
        return share if of.maximize else 1 - share

    def level(share: float, reach: float = 0.006) -> Estimate:
        low, high = sorted((value(share - reach), value(share + reach)))
        return Estimate(value(share), low, high, rounds)

    base, active = 0.849, {"model.dropout": 0.4, "regularization.l2": 1e-3}
    runs = {number: value(base + mean) for number in range(1, rounds + 1)}
    plain = {number: value(base) for number in range(1, rounds + 1)}
    winner = Leader(31, value(SEARCHED), runs, runs, runs, ITSELF, active, 1.0)
    baseline = Leader(2, value(0.87), plain, plain, plain, ITSELF, {}, 0.0)
    return Confirmation(
        of, 0.003, winner, baseline, [winner], rounds, 4, level(base + mean), level(base),
        Estimate(mean, mean - half, mean + half, rounds), Estimate(0.066, 0.06, 0.072, rounds),
        Estimate(0.147, 0.14, 0.154, rounds), Estimate(-0.081, -0.09, -0.07, rounds),
        Estimate(-0.017, -0.02, 0.02, rounds),
        status, own, 2 * rounds, 0, 300, 900, 125.0, 6.0,
    )  # fmt: skip


def told(found: Confirmation | None, tables: Tables) -> Answer:
    return answer(found, tables, SEARCH, "results/x")


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("name", ["accuracy", "loss", "auroc"])
@pytest.mark.parametrize("status", STATUSES)
def test_every_answer_is_whole_and_in_its_metric(status: Status, name: str, own: bool, tables: Tables) -> None:
    found = claim(status, name, own=own)
    said, of = told(found, tables), METRICS[name]
    lines = said.lines
    assert (said.word, said.tone) == WORDS[status]
    assert 3 <= len(lines) <= 6
    assert lines[0] == f"{said.word}: {said.sentence}" and lines[-1].startswith("Next: regstudy ")
    text = " ".join(lines)
    assert not re.search(r"\bnan\b|inf\b|None|–", text), text
    assert not CAUSAL.search(text), text
    assert (OWN_VALIDATION in text) is (own and status != "nothing learned")
    if status != "nothing learned":
        assert (" nats" in text, " points" in text) == (not of.percent, of.percent)
        assert ("%" in text) is of.percent
        searched = "92.6" if of.percent else "0.074"
        assert searched not in said.sentence and text.count(searched) == 1  # what selected is shown once, as luck
    if status in ("confirmed", "nothing learned"):
        assert f"validation {of.label}" in text


@pytest.mark.parametrize(
    ("name", "luck"),
    [
        ("accuracy", "Trial 31: search 92.6 %, fresh seeds 91.3 % (90.7 to 91.9): about 1.3 points were luck."),
        ("auroc", "Trial 31: search 92.6 %, fresh seeds 91.3 % (90.7 to 91.9): about 1.3 points were luck."),
        ("loss", "Trial 31: search 0.074, fresh seeds 0.087 (0.081 to 0.093): about 0.013 nats were luck."),
    ],
)
def test_the_luck_is_the_difference_of_the_two_values(name: str, luck: str) -> None:
    assert luck_sentence(claim("confirmed", name)).replace("\N{NO-BREAK SPACE}", " ") == luck


@pytest.mark.parametrize(("searched", "luck"), [(0.913, "no luck shows"), (0.9, "no luck shows")])
def test_a_search_that_promised_too_little_was_not_lucky(searched: float, luck: str) -> None:
    found = claim("confirmed")
    assert luck in luck_sentence(replace(found, winner=replace(found.winner, searched=searched)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "About 12 more runs (25 min) would decide."),
        ({"more_rounds": math.inf}, "More than 400 runs would be needed to decide"),
        ({"run_seconds": math.nan}, "About 12 more runs would decide."),
        ({"left": 4}, "4 of 16 confirmation runs are still to come"),
        ({"gain": Estimate(0.012, 0.001, 0.023, 6)}, "it may be too little to matter"),
        ({"level": Estimate(0.85, 0.84, 0.86, 6)}, "cannot be distinguished yet"),
    ],
)
def test_not_decided_says_what_would_decide(changes: dict[str, object], words: str, tables: Tables) -> None:
    said = told(replace(claim("undecided"), **changes), tables)  # type: ignore[arg-type]
    assert words in " ".join(said.lines)


def test_a_winner_that_is_clearly_worse_is_called_so(tables: Tables) -> None:
    found = replace(
        claim("no better"), level=Estimate(0.83, 0.82, 0.84, 6), gain=Estimate(-0.019, -0.03, -0.008, 6), wins=0
    )
    said = told(found, tables)
    assert said.sentence.endswith("is worse than the baseline.") and "1.9 points worse (0.8 to 3.0)" in said.support


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        ([], ""),
        ([(8, 2, -0.01, 0.5)], "Trial 8, with two regularizers, set more weakly, cannot be distinguished from it."),
        ([(8, 1, -0.01, 9.0)], "Trial 8, with one regularizer, cannot be distinguished from it."),
        ([(8, 0, -0.01, 0.0)], "Trial 8, with no regularizers, cannot be distinguished from it."),
        ([(8, 3, -0.01, 1.0)], "Trial 8 cannot be distinguished from it; trial 31 is the simpler of them."),
        (
            [(8, 3, -0.01, 1.0), (4, 3, 0.0, 1.0)],
            "Trials 4 and 8 cannot be distinguished from it; trial 31 is",
        ),
        ([(8, 0, 0.001, 0.0)], ""),  # behind
    ],
)
def test_of_the_equals_the_simplest_is_named(others: list[tuple[int, int, float, float]], sentence: str) -> None:
    found = claim("confirmed")
    leaders = [
        replace(
            found.winner,
            number=number,
            behind=Estimate(0.01, low, 0.02, 3),
            active={f"a.r{i}": 1.0 for i in range(count)},
            strength=strength,
        )
        for number, count, low, strength in others
    ]
    said = equals_sentence(replace(found, leaders=[found.winner, *leaders]))
    assert said.startswith(sentence) if sentence else not said


@pytest.mark.parametrize(
    ("name", "gain", "fit", "change", "heading"),
    [
        ("accuracy", 0.064, -0.017, (-0.09, -0.07), "From 14.7 to 6.6 points, mostly by higher validation accuracy"),
        ("accuracy", 0.02, -0.06, (-0.09, -0.07), "From 14.7 to 6.6 points, mostly by lower training accuracy"),
        ("accuracy", 0.0, -0.08, (-0.09, -0.07), "From 14.7 to 6.6 points, only by lower training accuracy"),
        ("accuracy", 0.08, 0.0, (-0.09, -0.07), "From 14.7 to 6.6 points, all of it by higher validation accuracy"),
        ("accuracy", 0.01, 0.0, (-0.09, 0.01), "14.7 and 6.6 points: no clear difference in the gap"),
        ("loss", 0.064, -0.017, (-0.09, -0.07), "From 0.147 to 0.066 nats, mostly by lower validation loss"),
        ("loss", 0.0, -0.08, (-0.09, -0.07), "From 0.147 to 0.066 nats, only by higher training loss"),
    ],
)
def test_the_gap_says_from_which_side(
    name: str, gain: float, fit: float, change: tuple[float, float], heading: str
) -> None:
    found = replace(
        claim("confirmed", name),
        gain=Estimate(gain, gain - 0.01, gain + 0.01, 6),
        fit_change=Estimate(fit, fit - 0.01, fit + 0.01, 6),
        gap_change=Estimate(sum(change) / 2, *change, 6),
    )
    assert gap_heading(found) == heading


def test_without_confirmation_runs_the_cautious_words_stay(tables: Tables) -> None:
    said = told(None, tables)
    assert (said.word, said.tone, said.sentence) == ("Not confirmed", "none", SEARCH.headline)
    assert said.lines[-1] == "Next: regstudy confirm results/x"
    alone = load_tables(make_study(6, baseline=0, prune=0))
    assert "cannot be confirmed" in told(None, alone).support and not told(None, alone).actions
    empty = told(None, load_tables(make_study(0)))
    assert empty.word == "No result yet" and not empty.actions


def test_an_unlearned_study_asks_the_doctor(tables: Tables) -> None:
    said = answer(None, tables, SEARCH, "results/x", unlearned=True)
    assert said.word == "Nothing learned" and said.lines[-1] == "Next: regstudy doctor results/x"
