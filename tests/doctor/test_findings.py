"""Findings: their order, the diagnosis in a sentence, and the record that is written and read."""

from __future__ import annotations

import json
import re
from itertools import product

import pytest
from examined import COPIES, CURVE, NOTE, diagnosis
from hypothesis import given
from hypothesis import strategies as st
from planted import ids

from regstudy.doctor.findings import SEVERITIES, STAGES, Diagnosis, Finding, Severity, in_order, parse

ALL = [Finding(f"{stage}-{severity}", stage, severity, "x") for stage, severity in product(STAGES, SEVERITIES)]


def many(**counts: int) -> tuple[Finding, ...]:
    kinds: dict[str, Severity] = {"blocks": "blocks", "distorts": "distorts", "note": "note"}
    return tuple(Finding(f"{kinds[k]}{n}", "data", kinds[k], "x") for k, count in counts.items() for n in range(count))


@given(st.permutations(ALL))
def test_findings_come_stage_by_stage_and_the_gravest_first(found: list[Finding]) -> None:
    assert in_order(found) == tuple(ALL)


def test_what_is_equally_grave_stays_as_it_was_found() -> None:
    found = [Finding(name, "split", "distorts", "x") for name in "cab"]
    assert ids(in_order(found)) == ["c", "a", "b"]


def test_the_stages_are_in_the_doctors_order() -> None:
    assert list(STAGES) == ["data", "split", "inputs", "training", "regularizers", "capacity"]
    assert list(SEVERITIES) == ["blocks", "distorts", "note"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ((), r"No findings in 3 checks\."),
        (many(blocks=1), r"1 finding \(1 blocks the study\)\."),
        (many(distorts=1), r"1 finding \(1 distorts results\)\."),
        (many(note=1), r"1 finding \(1 note\)\."),
        (many(note=2), r"2 findings \(2 notes\)\."),
        (many(blocks=1, distorts=1, note=3), r"5 findings \(1 blocks the study, 1 distorts results, 3 notes\)\."),
        (many(blocks=2, note=1), r"3 findings \(2 block the study, 1 note\)\."),
        (many(note=11), r"11 findings \(11 notes\)\."),
        (many(distorts=21), r"21 findings \(21 distort results\)\."),
    ],
)
def test_the_verdict_counts_what_was_found(found: tuple[Finding, ...], words: str) -> None:
    assert re.fullmatch(words, diagnosis(*found).verdict), diagnosis(*found).verdict


def test_what_blocks_and_what_is_first_of_a_stage() -> None:
    examined = diagnosis(COPIES, NOTE, CURVE)
    assert examined.blocks == (COPIES,)
    assert [examined.first(stage) for stage in ("data", "split", "training", "capacity")] == [COPIES, NOTE, CURVE, None]


@pytest.mark.parametrize("found", [(), (COPIES,), (COPIES, NOTE, CURVE)])
def test_a_diagnosis_survives_json_without_its_pictures(found: tuple[Finding, ...]) -> None:
    examined = diagnosis(*found)
    read = parse(json.loads(json.dumps(examined.plain())))
    assert isinstance(read, Diagnosis) and read.media == () and read.seconds == 3.1
    assert (read.subject, read.findings, read.checked, read.unjudged) == (
        examined.subject,
        examined.findings,
        examined.checked,
        examined.unjudged,
    )
    assert read.verdict == examined.verdict and parse(read.plain()) == read


def test_the_plain_record_names_all_that_a_reader_needs() -> None:
    plain = diagnosis(COPIES).plain()
    assert list(plain) == ["subject", "verdict", "findings", "checked", "not_judged", "seconds"]
    assert plain["findings"][0] == {
        "id": "copies",
        "stage": "data",
        "severity": "blocks",
        "sentence": COPIES.sentence,
        "evidence": list(COPIES.evidence),
        "advice": COPIES.advice,
        "sure": "very likely",
        "changes": {"data.group": "near_duplicates"},
    }


def test_a_consequence_stands_behind_what_may_have_caused_it() -> None:
    cannot = Finding("cannot-learn", "training", "blocks", "x")
    dead, rate = Finding("dead-units", "training", "distorts", "x"), Finding("lr-never-decays", "training", "note", "x")
    assert ids(in_order([cannot, rate, dead])) == ["dead-units", "cannot-learn", "lr-never-decays"]
