"""Regular expressions in bounded time, with exactly the meaning that `re` gives them."""

from __future__ import annotations

import re
import time
import warnings
from functools import partial

import numpy as np
import pytest

from regstudy.data import groups
from regstudy.data.bounded_search import first_groups
from regstudy.data.groups import path_groups, rule_problem
from regstudy.errors import DataError

pytestmark = pytest.mark.table

PATHS = [
    "train/neg/BloodImage_00003_00.png",
    "cat/winter/a b[1].png",
    "Ä/öß/É.png",
    "a\udcff/x{e<=1}.png",
    "cat/foo{e}.png",
    "1:2/[:digit:]d.png",
    "line\nbreak/1.png",
    "",
]
PATTERNS = [
    *(r"(BloodImage_\d+)", r"\d+", r"([^/_]+)_\d+\.png", r"^(?:train|cat)/(\w+)", r"(?i)É|é", r"(?P<a>\w)\w(?P=a)"),
    *(r"(a)|b", r"foo{e}", r"x{e<=1}", r"[[:digit:]]", r"[[a-z]--[b]]", r"(?=.)", r"", r"\w+?\b", r".\udcff"),
    *(r"(?s)line.", r"(?m)^break", r"(?a)\w+", r"(?i:CAT)/(.*)$", r"(x)?y|c", r"(?>a+)b|c", r"\Z", r"(?<=/).", r"ß|SS"),
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_means_what_it_means_to_re(pattern: str) -> None:
    with warnings.catch_warnings(action="ignore"):
        compiled = re.compile(pattern)
    matches = [compiled.search(path) for path in PATHS]
    assert first_groups(pattern, PATHS) == [m and (m[1] if compiled.groups else m[0]) for m in matches]


ENDLESS = [r"(a+)+$", r"^(a|aa)+$", r"(\w+\s?)*$(?<!!)", r"^(([a-z])+.)+[A-Z]([a-z])+$", r"(.*)*(.*)*(.*)*X"]


@pytest.mark.parametrize("pattern", ENDLESS)
def test_a_pattern_that_takes_forever_is_stopped(pattern: str) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="2 texts took more than 1 s"):
        first_groups(pattern, ["a" * 60 + "!", "a" * 60 + "! "], max_seconds=1)
    assert time.monotonic() - began < 10


def test_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "first_groups", partial(first_groups, max_seconds=0.5))
    with pytest.raises(DataError, match=r"data\.group '\(a\+\)\+\$' takes too long .* without nested repetition"):
        path_groups(("a" * 60 + "!",), "(a+)+$", "photos")


def test_many_paths_are_fast() -> None:
    paths = [f"cat/patient_{number % 500}_{number}.png" for number in range(50_000)]
    began = time.monotonic()
    assert len(np.unique(path_groups(tuple(paths), r"patient_(\d+)_", "photos"))) == 500
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("rule", ["(", "a{99999999999}", "(" * 3000 + ")" * 3000, "[b-a]", "*", "(?P<1>a)", "\\"])
def test_a_rule_that_cannot_be_compiled_is_a_problem(rule: str) -> None:
    problem = rule_problem(rule)
    assert problem is not None and "is not a valid regular expression" in problem and len(problem) < 600


def test_a_rule_that_python_warns_of_is_valid_without_a_word() -> None:
    assert rule_problem("[[:digit:]]") is None


def test_a_search_that_fails_is_an_error_and_no_traceback() -> None:
    with pytest.raises(DataError, match=r"data\.group '\(' fails on the paths of 'photos': .*missing \)"):
        path_groups(("a",), "(", "photos")
