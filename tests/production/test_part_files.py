"""The tables, the pictures and the card say what a hand count of the predictions says, whatever the names are."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import make_config, random_images

from regstudy.data.image_set import ImageSet
from regstudy.production.error_page import MOST_PICTURES, error_page
from regstudy.production.model_card import model_card
from regstudy.production.part_files import write_part_files
from regstudy.production.part_scores import PartScores, scores_of

NAMES = {
    "plain": ("a", "b", "c"),
    "markup": ("<b>", "a|b", "*c*"),
    "of tables": ('"x"', "y, z", "new\nline"),
    "columns": ("part", "true_class", "image"),
}


def scored(images: ImageSet, seed: int = 0, part: str = "test") -> PartScores:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(len(images), len(images.classes), generator=generator)
    return scores_of(part, [logits.split(512)], images, make_config(), 1)


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("part", ["test", "validation"])
def test_the_tables_agree_with_each_other_and_with_the_predictions(
    tmp_path: Path, names: tuple[str, ...], part: str
) -> None:
    images = replace(random_images(40), classes=names)
    scores = scored(images, part=part)
    write_part_files(tmp_path, scores)
    found = pd.read_csv(tmp_path / "predictions.csv", header=None, skiprows=1)
    assert len(found) == 40 and found[0].tolist() == list(range(40)) and set(found[1]) == {part}
    true, answer, chances = found[2].to_numpy(), found[3].to_numpy(), found.iloc[:, 5:].to_numpy(float)
    assert [names[number] for number in images.labels] == true.tolist()
    assert [names[number] for number in chances.argmax(1)] == answer.tolist()
    assert np.allclose(chances.sum(1), 1) and np.array_equal(chances.max(1), found[4])
    matrix = pd.read_csv(tmp_path / "confusion.csv", header=None, skiprows=1)
    counted = [[int(((true == one) & (answer == other)).sum()) for other in names] for one in names]
    assert matrix.iloc[:, 2:].to_numpy().tolist() == counted and set(matrix[0]) == {part}
    classes = pd.read_csv(tmp_path / "classes.csv")
    for number, row in classes.iterrows():
        right = counted[number][number]
        assert row["recall"] == pytest.approx(right / sum(counted[number]))
        assert row["precision"] == pytest.approx(right / sum(one[number] for one in counted))
        assert row["recall_low"] < row["recall"] < row["recall_high"]
    assert classes["class"].tolist() == list(names)


def test_a_class_without_images_or_answers_has_no_recall_or_precision(tmp_path: Path) -> None:
    images = random_images(12)
    images = replace(images, labels=torch.zeros_like(images.labels))
    logits = torch.zeros(12, 3)
    logits[:, 1] = 9
    write_part_files(tmp_path, scores_of("test", [(logits,)], images, make_config(), 1))
    table = pd.read_csv(tmp_path / "classes.csv").set_index("class")
    assert table.loc["a", "recall"] == 0 and np.isnan(table.loc["a", "precision"])
    assert np.isnan(table.loc["b", "recall"]) and table.loc["b", "precision"] == 0


def test_file_names_that_are_no_text(tmp_path: Path) -> None:
    images = replace(random_images(3), paths=("a\udcff.png", "b\n.png", "ü.png"))
    scores = scored(images)
    write_part_files(tmp_path, scores)
    assert pd.read_csv(tmp_path / "predictions.csv")["file"].tolist()[2] == "ü.png"
    assert error_page(scores, "One training.")


def test_images_in_groups_have_wider_intervals() -> None:
    images = random_images(60)
    grouped = replace(images, groups=torch.arange(60) // 20)
    alone, together = scored(images).accuracy, scored(grouped).accuracy
    assert together.value == alone.value and together.high - together.low > alone.high - alone.low
    assert "groups" in scored(grouped).facts(make_config()) and "groups" not in scored(images).facts(make_config())


@pytest.mark.parametrize("channels", [1, 3])
def test_the_page_shows_the_most_confident_mistakes_of_each_class_first(channels: int) -> None:
    images = random_images(60, channels=channels)
    scores = scored(images)
    page = error_page(scores, "An ensemble of 3.")
    wrong = scores.probabilities.argmax(1) != images.labels
    assert f"{int(wrong.sum())} mistakes among 60 test images" in page and "An ensemble of 3." in page
    sections = re.findall(r'<section id="class(\d+)">(.*?)</section>', page, re.DOTALL)
    assert len(sections) == 3
    for number, text in sections:
        shown = [int(one) for one in re.findall(r"<figcaption>.*? image (\d+)</figcaption>", text)]
        assert shown and set(images.labels[shown].tolist()) == {int(number)} and bool(wrong[shown].all())
        sure = scores.probabilities[shown].amax(1)
        assert torch.equal(sure, sure.sort(descending=True).values)
        assert sure[0] == scores.probabilities[wrong & (images.labels == int(number))].amax()
    assert 'src="http' not in page and "Plotly.newPlot" in page and len(page) < 400_000


def test_a_page_of_many_classes_says_what_it_leaves_out() -> None:
    names = tuple(f"c{number}" for number in range(300))
    images = random_images(600)
    images = replace(images, labels=torch.arange(600) % 300, classes=names)
    page = error_page(scored(images), "One training.")
    assert page.count("<figure>") <= MOST_PICTURES
    assert re.search(r"Not shown: \d+ mistakes on images of 1\d\d more classes\.", page)


def test_a_page_without_mistakes() -> None:
    images = random_images(9)
    right = 9 * torch.nn.functional.one_hot(images.labels, 3).float()
    page = error_page(scores_of("validation", [(right,)], images, make_config(), 1), "One training.")
    assert "0 mistakes among 9 validation images" in page and "<figure>" not in page


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_the_card_is_sound_markdown_whatever_the_classes_are_called(names: tuple[str, ...]) -> None:
    scores = scored(replace(random_images(40), classes=names))
    facts = scores.facts(make_config())
    metrics = {
        "outcome": "finished", "reason": "ran for all", "epochs": 3, "best_epoch": 2, "on": "train",
        "data": {"name": "digits", "classes": list(names), "train": 1000, "validation": 40, "split_hash": "abc"},
        "calibration": {"test": facts.pop("calibration")},
        "test": {**facts, "opening": 3, "hash": "123"}, "versions": {"torch": "2.9"},
        "command": "regstudy train c.yaml",
    }  # fmt: skip
    card = model_card(make_config(), metrics, scores)
    tables = [line for line in card.splitlines() if line.startswith("| ") and "recall" not in line]
    assert all("<b>" not in line for line in card.partition("## Configuration")[0].splitlines()), card
    assert sum(len(re.findall(r"(?<!\\)\|", line)) == 5 for line in tables) >= 3
    for words in ("split hash | abc", "evaluation no. 3", "evaluated 2 times before", "regstudy train c.yaml", "2.9"):
        assert words in card, words
