"""Epoch records survive storage to the bit, and say whether they are usable."""

from __future__ import annotations

import json
import math
from dataclasses import astuple, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regstudy.records import COLUMNS, EpochRecord, dump_records, parse_records

RECORD = EpochRecord(1, 1.5, 0.5, 1.25, 0.75, 2.0, 0.5, 0.01, 3.0, 9.5)
ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)
MORE = st.fixed_dictionaries({}, optional=dict.fromkeys(("val_auroc", "clean_train_auroc"), ANY_FLOAT))
ANY_RECORD = st.builds(EpochRecord, st.integers(1, 10**6), *[ANY_FLOAT] * (len(COLUMNS) - 1))


@given(st.lists(ANY_RECORD, max_size=4))
def test_records_come_back_from_strict_json_to_the_bit(records: list[EpochRecord]) -> None:
    stored = json.dumps(dump_records(records), allow_nan=False)
    found = parse_records(json.loads(stored))
    assert [repr(astuple(record)) for record in found] == [repr(astuple(record)) for record in records]


@given(ANY_RECORD, MORE)
def test_further_metrics_come_back_too_and_are_nan_where_they_are_not_recorded(
    record: EpochRecord, more: dict[str, float]
) -> None:
    full = replace(record, more=more)
    found = parse_records(json.loads(json.dumps(dump_records([full, record]), allow_nan=False)))
    assert repr(dict(found[0].more)) == repr(more)
    assert all(math.isnan(found[1].value(name)) for name in more) and math.isnan(record.value("val_macro_f1"))
    assert repr(full.value("val_loss")) == repr(record.val_loss)


def test_columns_of_a_later_version_are_ignored_and_order_does_not_matter() -> None:
    stored = dump_records([RECORD])
    stored["columns"] = ["new", *reversed(stored["columns"])]
    stored["rows"] = [["x", *reversed(row)] for row in stored["rows"]]
    assert parse_records(stored) == [RECORD]


def test_an_unknown_word_is_not_a_number() -> None:
    stored = dump_records([RECORD])
    stored["rows"][0][1] = "many"
    with pytest.raises(KeyError):
        parse_records(stored)


def test_the_gap_is_positive_where_validation_is_worse() -> None:
    assert RECORD.gap_accuracy == 0.25  # clean training minus validation
    assert RECORD.gap_loss == 0.75  # validation minus clean training


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("name", "matters"),
    [("train_loss", True), ("clean_train_loss", True), ("val_loss", True), ("gradient_norm", True), ("seconds", False)],
)
def test_finite_looks_at_losses_and_gradient(name: str, matters: bool, bad: float) -> None:
    assert RECORD.finite
    unmeasured = name == "clean_train_loss" and math.isnan(bad)  # as in epochs in which it is not due
    assert replace(RECORD, **{name: bad}).finite is not (matters and not unmeasured)


def test_words_leave_out_what_was_not_measured() -> None:
    without = replace(RECORD, clean_train_loss=math.nan, clean_train_accuracy=math.nan)
    for words in (without.in_words, without.words("val_loss"), without.words("val_accuracy")):
        assert "nan" not in words and "gap" not in words and "val" in words
