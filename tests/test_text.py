"""Spans of time as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regstudy.errors import RegstudyError
from regstudy.text import counted, format_bytes, format_duration, parse_duration, sentence


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1h1m1s", 3661), ("1.5h", 5400), ("0.5s", 0.5)],
)
def test_spans_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "30 m", "-30m", "1d", "30min", "1h30", ".5h", "30m ", "h30", "1e3s"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(RegstudyError, match="90s, 30m, 2h or 1h30m") as error:
        parse_duration(text)
    assert f"'{text}'" in str(error.value)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 MB"), (4e5, "0 MB"), (7e8, "700 MB"), (9.996e8, "1.0 GB"), (85.24e9, "85.2 GB"), (2**46 * 4, "281.5 TB")],
)
def test_bytes_have_a_unit(number: float, text: str) -> None:
    assert format_bytes(number) == text


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_parts_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 s"),
        (2.34, "2.3 s"),
        (45, "45 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (725, "12 min 5 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h"),
        (3600, "1 h"),
        (12000, "3 h 20 min"),
        (7199, "2 h"),
        (360000, "100 h"),
    ],
)
def test_spans_are_written_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("It failed", "It failed."),
        ("It failed.", "It failed."),
        (" It failed. ", "It failed."),
        ("Why?", "Why?"),
        ("Stop!", "Stop!"),
        ("and so on …", "and so on …"),
    ],
)
def test_a_sentence_ends_with_one_mark(text: str, written: str) -> None:
    assert sentence(text) == written


@pytest.mark.parametrize(("count", "text"), [(0, "0 trials"), (1, "1 trial"), (2, "2 trials"), (2000, "2,000 trials")])
def test_a_count_has_its_noun_in_the_right_number(count: int, text: str) -> None:
    assert counted(count, "trial") == text
