"""Whatever stands in a space file or behind `--set`: a space or a ConfigError, never anything else, and soon."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regstudy.config.fields import field_paths
from regstudy.config.run_config import STUDY_PATHS, RunConfig
from regstudy.errors import ArgumentError, ConfigError
from regstudy.space.comparison_plans import comparison_of_files
from regstudy.space.loader import shipped_spaces, space_from_text, space_from_tree
from regstudy.space.parsing import parse_space
from regstudy.space.ranges import CHOICE_KEYS, RANGE_KEYS
from regstudy.space.search_space import Space
from regstudy.training.validation import CHECKS

pytestmark = pytest.mark.table

PATHS = sorted({*field_paths(RunConfig), *STUDY_PATHS, "data.fallback", "study.direction"})
KEYS = sorted({part for path in PATHS for part in path.split(".")} | RANGE_KEYS | CHOICE_KEYS | {"label", "min", "<<"})
WORDS = ["digits", "svhn", "dropout_cnn", "sgd", "adamw", "cosine", "step", "lambda", "math:sqrt", "val_loss", "flip"]
NUMBERS = [0, 1, -1, 2, 10, 0.5, 1e-300, 1e300, 1e308, -1e308, 2**63, True, False]
NOT_PLAIN = [float("nan"), float("inf"), 2**70, 10**4000, "\x00", "\x1b[31m", "\ud800", "a" * 20_000, b"x", {1}, object]
TEXTS = [path.read_text(encoding="utf-8") for path in shipped_spaces().values()]

numbers = st.sampled_from(NUMBERS) | st.floats(-10, 10) | st.integers(-10, 300)
leaves = (
    numbers
    | st.sampled_from([*WORDS, None, "", ":smile:", "[red]", "__class__"])
    | st.text("ab.: \n\u00e4", max_size=8)
)
wild = leaves | st.sampled_from(NOT_PLAIN) | st.text(max_size=8)
keys = st.sampled_from(KEYS) | st.sampled_from(WORDS) | st.text("ab.", max_size=4)
wild_keys = keys | st.sampled_from([1, None, True, 0.5]) | st.text(max_size=4)
chaos = st.recursive(
    wild,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(wild_keys, inner, max_size=5),
    max_leaves=15,
)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=15,
)
ranges = st.fixed_dictionaries(
    {"low": numbers, "high": numbers | leaves},
    optional=dict.fromkeys(sorted(RANGE_KEYS - {"low", "high"}), numbers | leaves),
)
choices = st.fixed_dictionaries({"choices": st.lists(anything, max_size=4)}, optional={"default": anything})
settings_of_a_space = st.dictionaries(st.sampled_from(PATHS), ranges | choices | leaves | anything, max_size=6)


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """A minimal space with values at dotted paths; a value in the way of a path is replaced."""
    tree: dict[str, Any] = {"data": {"name": "digits"}, "model": {"name": "dropout_cnn"}}
    for path, value in flat.items():
        *parents, last = path.split(".")
        here = tree
        for key in parents:
            if not isinstance(here.get(key), dict):
                here[key] = {}
            here = here[key]
        here[last] = value
    return tree


def judge(make: Callable[[], Space]) -> None:
    """A space that works, or an error in words."""
    try:
        space = make()
    except ConfigError as error:
        words = str(error)
        assert words and len(words) < 20_000
        assert not set(words) & {"\x00", "\x1b"}
        return
    space.defaults()
    space.start()
    space.describe(5)
    assert parse_space(space.plain(), space.name, "again").fingerprint == space.fingerprint


FUZZ = settings(max_examples=150, deadline=4000, suppress_health_check=list(HealthCheck))


@FUZZ
@given(tree=settings_of_a_space.map(nested) | settings_of_a_space.map(nested) | chaos)
def test_any_tree_is_a_space_or_an_error(tree: Any) -> None:
    judge(lambda: space_from_tree(tree, "x", "x.yaml", checks=CHECKS))


@FUZZ
@given(text=st.text(max_size=60) | st.text("[]{}:,-&*a!<|>%\"'\n #?0", max_size=60))
def test_any_text_is_a_space_or_an_error(text: str) -> None:
    judge(lambda: space_from_text(text, "x", "x.yaml"))


@FUZZ
@given(
    text=st.sampled_from(TEXTS),
    at=st.floats(0, 1),
    length=st.integers(0, 30),
    put=st.sampled_from(
        ["", "\t", "- ", "{", "]", "&a ", "*a", "!!int ", "'", ": ", "\n", "---\n", "\x00", "<<: ", "?"]
    ),
)
def test_a_damaged_space_is_a_space_or_an_error(text: str, at: float, length: int, put: str) -> None:
    start = int(at * len(text))
    judge(lambda: space_from_text(text[:start] + put + text[start + length :], "x", "x.yaml"))


@FUZZ
@given(
    path=st.sampled_from(PATHS) | st.lists(keys.map(str), min_size=1, max_size=4).map(".".join) | st.text(max_size=8),
    value=st.text(max_size=30) | st.text("[]{}:,-&*a!<|>%\"'\n #?0", max_size=30) | wild.map(lambda v: str(v)[:4000]),
)
def test_any_override_gives_a_space_or_an_error(path: str, value: str) -> None:
    judge(lambda: space_from_text(TEXTS[0], "x", "x.yaml", [f"{path}={value}"]))


@FUZZ
@given(
    arms=st.lists(
        st.lists(
            st.sampled_from(
                [*"ab:=,.[]{}'*#?\n \x00", "training.epochs", "model.dropout", "{low: 1", "[" * 999, "a." * 999]
            ),
            max_size=8,
        ).map("".join),
        max_size=3,
    )
)
def test_any_arms_give_a_comparison_or_an_error(arms: list[str]) -> None:
    with contextlib.suppress(ConfigError, ArgumentError):
        comparison_of_files([str(shipped_spaces()["digits_cnn"])], arms, [], None, ())


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
BASE = "data: {name: digits}\nmodel: {name: dropout_cnn}\n"
FILES = {
    "alias bomb": (BOMB, "aliases"),
    "merge bomb": (MERGES, "aliases"),
    "contains itself": ("a: &a [*a]\n", "contains it"),
    "deep brackets": ("a: " + "[" * 5000, "nested too deeply"),
    "deep mappings": ("{a: " * 5000, "nested too deeply"),
    "deep and closed": ("a: " + "[" * 30 + "]" * 30, "nested more than"),
    "impossible date": (
        BASE + "study: {seed: 2021-02-31}\n",
        "study.seed: must be a whole number, but it is '2021-02-31'",
    ),
    "tagged text as number": (
        BASE + "training:\n  epochs: !!int abc\n",
        "line 4 is not valid YAML: 'abc' is not a whole number",
    ),
    "tagged text as bool": (BASE + "a: !!bool abc\n", "'abc' is not a true or false"),
    "set": (BASE + "a: !!set {b, c}\n", "the tag '!!set' is not allowed"),
    "binary": (BASE + "a: !!binary aGFsbG8=\n", "the tag '!!binary' is not allowed"),
    "own tag": (BASE + "a: !mine 3\n", "the tag '!mine' is not allowed"),
    "object": (BASE + "a: !!python/object/apply:os.system [ls]\n", "not allowed"),
    "5,000 digits": (BASE + f"study: {{seed: {'7' * 5000}}}\n", "is not a whole number"),
    "30 digits": (BASE + f"study: {{seed: {'7' * 30}}}\n", "study.seed: must be a number of at most"),
    "list as key": (BASE + "? [1, 2]\n: 3\n", "not text"),
    "mapping as key": (BASE + "? {a: 1}\n: 3\n", "key"),
    "number as key": (BASE + "training: {1: 2}\n", "training: the key 1 is not text. Write it in quotes: '1'."),
    "null as key": (BASE + "training: {null: 2}\n", "training: the key None is not text"),
    "true as key": (BASE + "training: {true: 2}\n", "training: the key True is not text"),
    "infinite": (BASE + "optimizer: {name: sgd, lr: .inf}\n", "optimizer.lr: must be a finite number, but it is inf"),
    "not a number": (
        BASE + "optimizer: {name: sgd, lr: .nan}\n",
        "optimizer.lr: must be a finite number, but it is nan",
    ),
    "NUL": (BASE + 'study: {metric: "a\\0b"}\n', "holds a control character"),
    "escape": (BASE + 'study: {metric: "\\e[31m"}\n', "holds a control character"),
    "raw NUL": (BASE + "a: \x00\n", "line 3 is not valid YAML: the control character"),
    "two documents": (BASE + "---\n" + BASE, "several documents"),
    "empty model": ("data: {name: digits}\nmodel:\n", "model.name: is required but missing"),
    "section is a list": (BASE + "training: [1]\n", "training: must be a mapping of keys to values"),
    "study is a list": (BASE + "study: [1]\n", "study: must be a mapping of keys to values"),
    "study is a word": (BASE + "study: yes please\n", "study: must be a mapping of keys to values"),
    "list as default": (
        BASE + "training: {monitor: {choices: [val_loss, val_accuracy], default: [1]}}\n",
        "no choice '[1]'",
    ),
    "mapping as default": (
        BASE + "training: {monitor: {choices: [val_loss, val_accuracy], default: {a: 1}}}\n",
        "no choice",
    ),
    "tiny step": (BASE + "optimizer: {name: sgd, lr: {low: 0, high: 1, step: 1e-300}}\n", "more than 1,000,000 values"),
    "many steps": (BASE + "optimizer: {name: sgd, lr: {low: 0, high: 1, step: 1e-7}}\n", "more than 1,000,000 values"),
    "huge range": (BASE + "optimizer: {name: sgd, lr: {low: -1e308, high: 1e308}}\n", "too far apart"),
    "many choices": (BASE + f"training: {{epochs: {{choices: {list(range(1, 400))}}}}}\n", "at most 200 values"),
    "many values": (BASE + f"a: {list(range(6000))}\n", "more than 5,000 values"),
    "duplicate": (BASE + "model: {name: x}\n", "duplicate key"),
    "plain word": ("hello\n", "must be a mapping"),
}


@pytest.mark.parametrize("name", FILES)
def test_yaml_beyond_plain_values_is_refused_in_words(name: str) -> None:
    text, words = FILES[name]
    with pytest.raises(ConfigError) as error:
        space_from_text(text, "x", "x.yaml")
    message = str(error.value)
    assert words in message and message.startswith("x.yaml"), message
    assert ".." not in message.replace("…", "") and len(message) < 3000


@pytest.mark.parametrize(
    "text",
    [
        BASE + "study:\ntraining:\n",
        "\ufeff" + BASE,
        BASE.replace("\n", "\r\n"),
        "d: &d {name: digits}\n".replace("d: &d", "data: &d") + "model: {name: dropout_cnn}\n",
        "data: &d {name: digits}\nmodel: {<<: *d, name: dropout_cnn}\n",
        BASE + "preprocessing: {normalize: &n {mean: [0.5], std: [0.5]}}\n",
    ],
)
def test_plain_but_unusual_files_are_read(text: str) -> None:
    assert space_from_text(text, "x", "x.yaml").defaults().data.name == "digits"
