"""What is said of an ablation: every verdict in every metric, alone and together."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import get_args

import pytest
from planted_race import planted_race

from regstudy.analysis.ablation import Ablation, Change, Effect, Judgment
from regstudy.analysis.ablation_arms import EVERYTHING
from regstudy.analysis.chances import Chances
from regstudy.analysis.contrasts import Contrast, Sign
from regstudy.analysis.interactions import Interaction, Kind
from regstudy.metrics import METRICS
from regstudy.report.ablation_card import ablation_card
from regstudy.report.ablation_findings import AblationFindings
from regstudy.report.ablation_phrasing import cause_sentences, heading, helps, open_sentences, together_sentence
from regstudy.report.interaction_phrasing import interaction_sentence
from regstudy.study.load_tables import load_tables
from regstudy.study.tables import Tables

pytestmark = pytest.mark.table

VERDICTS: tuple[Judgment, ...] = get_args(Judgment)
UNDERFITS: Judgment = "smaller gap, validation not better (underfits)"
PLANTED: dict[Judgment, tuple[float, float, Sign]] = {  # metric, gap, decision about the gap
    "closed the gap": (0.041, -0.044, "lower"),
    "helped validation": (0.01, 0.002, "open"),
    UNDERFITS: (0.0, -0.02, "lower"),
    "hurt": (-0.012, 0.01, "higher"),
    "no effect": (0.0, 0.0, "none"),
    "undecided": (0.006, -0.004, "open"),
}
SAID = {
    ("closed the gap", "accuracy"): "L2 closed the gap: +4.1 points of validation (2.9 to 5.3), gap −4.4.",
    ("closed the gap", "auroc"): "L2 closed the gap: +4.1 points of validation AUROC (2.9 to 5.3), gap −4.4.",
    ("closed the gap", "loss"): "L2 closed the gap: validation loss better by 0.041 nats (0.029 to 0.053), gap −0.044.",
    ("helped validation", "accuracy"): "L2 helped validation: +1.0 points of validation (−0.2 to 2.2).",
    ("helped validation", "loss"): "L2 helped validation: validation loss better by 0.010 nats (−0.002 to 0.022).",
    (UNDERFITS, "accuracy"): "L2 made the gap smaller (−2.0), but validation no better: it underfits.",
    (UNDERFITS, "loss"): "L2 made the gap smaller (−0.020), but validation no better: it underfits.",
    ("hurt", "accuracy"): "L2 hurt: −1.2 points of validation (−2.4 to 0.0), gap +1.0.",
    ("hurt", "loss"): "L2 hurt: validation loss worse by 0.012 nats (0.000 to 0.024), gap +0.010.",
    ("no effect", "accuracy"): "L2 did nothing.",
    ("no effect", "loss"): "L2 did nothing.",
    ("undecided", "accuracy"): "L2 is not decided: about 12 more runs (25 min) would decide "
    "(regstudy ablate results/x --runs 82).",
}  # fmt: skip
CAUSAL = re.compile(r"\b(closed|helped|hurt|smaller|nothing)\b")


@pytest.fixture(scope="module")
def tables() -> Tables:
    return load_tables(planted_race()[0])


def change(mean: float, sign: Sign = "open", n: int = 12) -> Change:
    return Change(n, mean, 0.01, mean - 0.012, mean + 0.012, mean - 0.02, mean + 0.02, sign)


@dataclass(frozen=True)
class _Planned(Effect):
    """An effect of which is given how many runs would decide it."""

    needed: float = 0.0

    @property
    def more_runs(self) -> float:
        """As given."""
        return self.needed if self.verdict == "undecided" else 0.0


def effect(verdict: Judgment, name: str = "L2", *, more: float = 12.0, off: str = "") -> Effect:
    metric, gap, sign = PLANTED[verdict]
    return _Planned(
        Contrast(name, "winner", off or f"without {name}"), change(metric), change(gap, sign), change(0.0),
        Chances(0.9, 0.08, 0.02), verdict, 0.02, 0.003, more,
    )  # fmt: skip


def apart(effects: list[Effect], tables: Tables, name: str = "accuracy", *, own: bool = False, left: int = 0):  # type: ignore[no-untyped-def]
    return AblationFindings(
        Ablation(effects, 0.003, 2, 70), [], tables, METRICS[name], 16, {"L2": 0.001}, own, left, 125.0
    )


@pytest.mark.parametrize("name", ["accuracy", "auroc", "loss"])
@pytest.mark.parametrize("verdict", VERDICTS)
def test_each_verdict_has_its_sentence_in_every_metric(verdict: Judgment, name: str, tables: Tables) -> None:
    found = apart([effect(verdict)], tables, name)
    said = [*cause_sentences(found), *open_sentences(found, "results/x")]
    assert len(said) == 1 and said[0].endswith(".")
    if (verdict, name) in SAID:
        assert said == [SAID[verdict, name]]
    assert bool(CAUSAL.search(said[0])) is (verdict != "undecided")
    assert helps(found) is (verdict in ("closed the gap", "helped validation"))
    for text in (*said, heading(found), *ablation_card(found).foot):
        assert not re.search(r"\bnan\b|inf\b|None|–", text), text
        assert ("nats" in text) <= (name == "loss") and ("points" in text) <= (name != "loss")


def test_those_with_one_verdict_share_a_sentence_and_the_good_news_comes_first(tables: Tables) -> None:
    effects = [effect(v, n) for v, n in zip([*VERDICTS, *VERDICTS], "abcdefghijkl", strict=True)]
    found = apart(effects, tables)
    said = cause_sentences(found)
    assert said[0] == (
        "A and g closed the gap: a +4.1 points of validation (2.9 to 5.3), gap −4.4; "
        "g +4.1 points (2.9 to 5.3), gap −4.4."
    )
    assert said[2] == "C and i made the gap smaller (−2.0 and −2.0), but validation no better: they underfit."
    assert said[-1] == "E and k did nothing." and len(said) == 5
    assert heading(found).startswith("A and g closed the gap; b and h helped validation; c and i only underfit;")
    assert heading(found).endswith("f and l are not decided")


@pytest.mark.parametrize(
    ("more", "left", "said"),
    [
        (math.inf, 0, "L2 is not decided: more than 400 runs would be needed."),
        (12.0, 20, "L2 is not decided yet: 20 of 90 ablation runs are still to come."),
        (math.inf, 1, "L2 is not decided yet: 1 of 71 ablation runs is still to come."),
    ],
)
def test_what_is_not_decided_says_what_would_decide(more: float, left: int, said: str, tables: Tables) -> None:
    assert open_sentences(apart([effect("undecided", more=more)], tables, left=left), "x") == [said]


def test_regularizers_that_stand_in_for_each_other_are_not_called_useless(tables: Tables) -> None:
    singles = [effect("no effect"), effect("no effect", "dropout")]
    together = effect("closed the gap", EVERYTHING, off="baseline")
    found = apart([*singles, together], tables)
    said = " ".join(cause_sentences(found))
    assert said.startswith("All of them together closed the gap: +4.1") and "did nothing" not in said
    assert "the other one stands in for it" in said and helps(found) and not together_sentence(found)
    assert heading(found) == "Together they help, but no single one is needed"
    too_much = apart([effect("hurt"), effect("hurt", "dropout"), together], tables)
    said = cause_sentences(too_much)
    assert said[0].startswith("All of them together closed the gap: +4.1") and "stands in for it" in said[1]
    assert said[2].startswith("In the presence of the other one, L2 and dropout hurt: L2 −1.2 points of validation")
    assert heading(too_much) == heading(found)
    useless = apart([*singles, effect("no effect", EVERYTHING, off="baseline")], tables)
    assert cause_sentences(useless) == ["L2 and dropout did nothing."] and not helps(useless)


def test_green_only_where_the_range_is_clear_of_the_margin(tables: Tables) -> None:
    clear, near = effect("closed the gap"), effect("closed the gap", "dropout")
    near = replace(near, metric=replace(near.metric, low=0.001))
    rows = ablation_card(apart([clear, near], tables)).rows
    assert [row.kind for row in rows] == ["ok", "none"] and {row.word for row in rows} == {"Closed the gap"}
    assert len({(row.icon, row.word) for v in VERDICTS for row in ablation_card(apart([effect(v)], tables)).rows}) == 6


def test_own_validation_images_are_told(tables: Tables) -> None:
    effects = [effect("no effect")]
    effects = [replace(one, metric=replace(one.metric, new_low=math.nan, new_high=math.nan)) for one in effects]
    card = ablation_card(apart(effects, tables, own=True))
    assert "only the seeds vary" in " ".join(card.foot) and "thin:" not in " ".join(card.foot)
    assert card.rows[0].new_ends is None


@pytest.mark.parametrize("measure", ["metric", "gap"])
@pytest.mark.parametrize("name", ["accuracy", "loss"])
@pytest.mark.parametrize("kind", [kind for kind in get_args(Kind) if kind != "none"])
def test_each_interaction_has_a_sentence(kind: Kind, name: str, measure: str) -> None:
    parts = [change(x) for x in (-0.04, 0.041, 0.001, 0.03, 0.002)]
    found = Interaction("dropout", "L2", measure, kind, *parts)  # type: ignore[arg-type]
    said = interaction_sentence(found, METRICS[name])
    assert "{" not in said and "ropout" in said and "L2" in said and said.count(".") >= 3
    if (kind, name, measure) == ("first only without second", "accuracy", "metric"):
        assert said == (
            "Dropout helps only without L2: dropout gives +4.1 points of validation (2.9 to 5.3) without L2, and +0.1 "
            "(−1.1 to 1.3) with it."
        )
    if (kind, name, measure) == ("second only with first", "accuracy", "gap"):
        assert said.startswith("L2 narrows the gap only with dropout: L2 gives +3.0 points less gap")
