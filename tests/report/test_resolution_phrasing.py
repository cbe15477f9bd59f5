"""What a page says of a study that `regstudy answer` made: what its budget could tell, and where the network is."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest
from planted_race import PLANTED, planted_race

from regstudy.analysis.told_resolution import ToldResolution, parse_resolution
from regstudy.metrics import METRICS
from regstudy.report.answer_phrasing import Answer
from regstudy.report.next_actions import Action
from regstudy.report.page import write_report
from regstudy.report.resolution_phrasing import resolution_words, with_resolution
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables
from regstudy.study.tables import Tables


class Ends(NamedTuple):
    low: float
    high: float


KNOWN = ToldResolution(1200.0, 0.003, 2, 40, 90, 0.022, 0.044, 200_000.0, 1200.0)
MODEL = {"folder": "model", "trial": 4, "words": "test accuracy 91.0 %"}
TOLD = "In 20 min effects from 4.4 points on can be told (with a chance of 80 %; the 95 % intervals will reach about"
NO_TIME = "No time is left to take the winner apart."
TRAIN = Action("Train the final model", command="regstudy export r/s -o best.yaml && regstudy train best.yaml -o model")
MORE = [Action(f"Advice {number}") for number in range(3)]
ENDS = [(-0.004, 0.004), (0.011, 0.029), (math.nan, math.nan)]  # of the intervals of an ablation
APART = cast(
    Any,
    SimpleNamespace(
        metric=METRICS["accuracy"], spent=44, single=[SimpleNamespace(metric=Ends(low, high)) for low, high in ENDS]
    ),
)


@pytest.fixture(scope="module")
def tables() -> Tables:
    return load_tables(planted_race()[0])


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        ({}, "accuracy", f"{TOLD} ± 2.2 points). Intervals of ± 0.3 points would take about 55 h 33 min, or"),
        ({}, "accuracy", "or about 4,900 validation images instead of 90."),
        ({"for_margin": math.inf}, "accuracy", "would take about 4,900 validation images instead of 90."),
        ({"half_width": 0.002}, "accuracy", f"{TOLD} ± 0.2 points)."),
        ({"half_width": math.nan}, "accuracy", "is known after the pilot"),
        ({"told": 0.044}, "loss", "effects from 0.044 nats on"),
        ({"runs": 0, "for_ablation": 3780.0}, "accuracy", "no time to find out which regularizer did it; that takes"),
        ({"regularizers": 0}, "accuracy", "nothing to take apart"),
    ],
)
def test_words(changes: dict[str, Any], name: str, said: str) -> None:
    known = replace(KNOWN, **changes)
    assert said in resolution_words(known, METRICS[name])
    again = parse_resolution(known.plain())
    assert again is not None and resolution_words(again, METRICS[name]) == resolution_words(known, METRICS[name])


@pytest.mark.parametrize(
    ("known", "apart", "word", "said"),
    [
        (KNOWN, APART, "Confirmed", TOLD),
        (KNOWN, None, "Confirmed", ""),  # the ablation is yet to come, or there is nothing to take apart
        (replace(KNOWN, why_none=NO_TIME), None, "Confirmed", NO_TIME),
        (replace(KNOWN, why_none=NO_TIME), APART, "Confirmed", TOLD),  # made with a larger budget since
        (replace(KNOWN, runs=0), None, "Confirmed", "In 20 min there is no time"),
        (KNOWN, APART, "Nothing learned", ""),
        (None, APART, "Confirmed", ""),
    ],
)
def test_what_could_be_told_is_said_once_it_is_known(
    known: ToldResolution | None, apart: Any, word: str, said: str, tables: Tables
) -> None:
    stored = replace(tables, resolution={} if known is None else known.plain())
    told = with_resolution(Answer("ok", word, "It works."), stored, apart, "results/s").resolution
    assert told.startswith(said) and bool(told) == bool(said)
    observed = "announced after the pilot; the intervals after 44 runs reach ± 0.4 points to ± 0.9 points."
    assert (observed in told) is (said == TOLD)


@pytest.mark.parametrize(
    ("actions", "titles"),
    [
        ([TRAIN], ["Use the final model"]),
        ([TRAIN, *MORE[:2]], ["Use the final model", "Advice 0", "Advice 1"]),
        (MORE, ["Advice 0", "Advice 1", "Use the final model"]),
        ([], ["Use the final model"]),
    ],
)
@pytest.mark.parametrize(
    ("where", "folder"),
    [
        ("results/s", "results/s/model"),
        ("results/s/study.db --study s", "results/s/model"),
        ("'my results/s' --storage postgresql://me@host/name", "'my results/s/model'"),
    ],
)
def test_the_network_is_there_and_need_not_be_trained(
    actions: list[Action], titles: list[str], where: str, folder: str, tables: Tables
) -> None:
    stored = replace(tables, final_model=MODEL)
    made = with_resolution(Answer("ok", "Confirmed", "It works.", actions=actions), stored, None, where)
    assert [one.title for one in made.actions] == titles
    assert f"regstudy predict {folder} IMAGES" in [one.command for one in made.actions]
    assert made.model == f"The network trained on trial 4 is in {folder.strip(chr(39))}: test accuracy 91.0 %."


def test_the_page_and_the_summary_say_it_and_those_of_other_studies_do_not(tmp_path: Path) -> None:
    search, fresh = planted_race(PLANTED["confirmed"])
    before = write_report(search, tmp_path, fresh=fresh, where="results/s").read_text(encoding="utf-8")
    assert "can be told" not in before and "regstudy predict" not in before
    search.set_user_attr(attributes.RESOLUTION, replace(KNOWN, runs=0).plain())
    search.set_user_attr(attributes.FINAL_MODEL, MODEL)
    page = write_report(search, tmp_path, fresh=fresh, where="results/s").read_text(encoding="utf-8")
    for text in (page, (tmp_path / "summary.md").read_text(encoding="utf-8")):
        assert "In 20 min there is no time to find out which regularizer did it; that takes about 20 min." in text
        assert "is in results/s/model: test accuracy 91.0 %." in text
        assert "regstudy predict results/s/model IMAGES" in text


@pytest.mark.parametrize("broken", [{"folder": 1}, {}, {**MODEL, "more": 1}, "model"])
def test_what_is_not_well_formed_is_left_out(broken: Any) -> None:
    search, _ = planted_race()
    search.set_user_attr(attributes.FINAL_MODEL, broken)
    search.set_user_attr(attributes.RESOLUTION, {"budget": "long"})
    read = load_tables(search)
    assert read.final_model == {} == read.resolution and len(read.malformed) == 2
