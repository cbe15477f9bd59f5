"""The file that is written: every combination of choices loads, quotes foreign names, and says what it means."""

from __future__ import annotations

from typing import Any

import pytest
from first_space.seen_images import seen

from regstudy.errors import ConfigError
from regstudy.files.outputs import seal
from regstudy.first_space.choices import choose
from regstudy.first_space.evening import Option, Scale
from regstudy.first_space.group_patterns import GroupProposal
from regstudy.first_space.space_text import WIDTH, scalar, space_text
from regstudy.first_space.summary import choice_lines, cost_line, seen_lines
from regstudy.space.loader import space_from_text
from regstudy.space.search_space import Space
from regstudy.training.cost import ImageCost
from regstudy.training.validation import CHECKS

FAST = ImageCost(1e-3, 5e-4)
SCALES = [
    Scale(Option("resnet18_transfer", 224), 50, FAST),
    Scale(Option("svhn_resnet", 64), 30, FAST, folds=5),
    Scale(Option("dropout_cnn", 32), 9, FAST, limit=8_400),
]
IMAGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "rare": {"classes": {"well": 950, "#1: 'sick' \"or\" not\n": 50}},
    "gray and long": {"gray": 100, "sides": ((300, 30), (280, 30))},
    "groups": {"group": GroupProposal(r"([^/]*\d[^/]*)[_-]\d{1,4}\.[^./]+$", 40, "it's 1"), "copies": 2},
    "divided": {"validation": 40, "groups_in_both": 3, "group": GroupProposal(r"(patient\d+)", 40, "patient1")},
    "many classes": {"classes": {f"kind {number}": 100 for number in range(40)}},
    "unreadable": {"unreadable": {"a/1.png": "empty"}},
    "odd folder": {"source": {"name": "image_folder", "root": "null"}, "place": "# a\tb"},
    "table": {"source": {"name": "table", "file": "a b/l.csv", "image": "p", "label": "yes: no", "group": "1"}},
}


def read(given: dict[str, Any], scale: Scale) -> tuple[str, Space]:
    images = seen(**given)
    choices = choose(images)
    head = [*seen_lines(images), cost_line(images, scale, choices), *choice_lines(images, choices, scale, 1)]
    text = seal(space_text(images, choices, scale, head))
    return text, space_from_text(text, "mine", "mine.yaml", checks=CHECKS)


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.option.network)
@pytest.mark.parametrize("name", IMAGES)
def test_every_file_loads_with_what_was_seen_and_chosen(name: str, scale: Scale) -> None:
    text, space = read(IMAGES[name], scale)
    config, images = space.defaults(), seen(**IMAGES[name])
    assert max(len(line) for line in text.splitlines() if line.startswith("#")) <= WIDTH
    assert text.startswith("# Which regularizers close the gap of ") and "\n# Written by regstudy init, digest " in text
    source = {key: getattr(config.data, key) for key in images.source}
    assert source == dict(images.source)
    assert (config.data.size, config.model.name) == (scale.option.size, scale.option.network)
    assert (config.training.epochs, config.data.train_limit) == (scale.epochs, scale.limit)
    assert config.data.positive == choose(images).positive
    searched = {parameter.path for parameter in space.parameters()}
    assert {"model.dropout", "regularization.l2", "optimizer.lr", "augmentation.strength", "schedule"} <= searched


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("photos", "photos"),
        ("../a/b-c.d", "../a/b-c.d"),
        ("null", "'null'"),
        ("true", "'true'"),
        ("1", "'1'"),
        ("my photos", "'my photos'"),
        ("it's", "'it''s'"),
        (r"(\d+)", r"'(\d+)'"),
        ("a: b # c", "'a: b # c'"),
        ("bilder/über", "'bilder/über'"),
        ("a\nb", '"a\\nb"'),
    ],
)
def test_names_are_quoted_where_they_must_be(text: str, written: str) -> None:
    assert scalar(text) == written


def test_a_name_that_is_not_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="not UTF-8"):
        scalar("a\udcffb")


def test_what_is_said_about_choices_that_cost_something() -> None:
    images = seen(classes={"a": 25_000, "b": 25_000})
    (first, limit, epochs) = choice_lines(images, choose(images), SCALES[2], 2)
    assert first.startswith("dropout_cnn (a small CNN) on 32×32 pixels, 9 epochs")
    assert "Only 8,400 of the training images" in limit
    assert "15 epochs would be better" in epochs
