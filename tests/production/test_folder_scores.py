"""Scores of labeled folders are scikit-learn's, and what has no class is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics
from trained_folder import CLASSES, make_trained

from regstudy.production.folder_scores import folder_labels, folder_scores


@pytest.mark.parametrize("classes", [("a", "b"), CLASSES])
def test_all_metrics_are_scikit_learns(tmp_path: Path, classes: tuple[str, ...]) -> None:
    facts = make_trained(tmp_path, classes=classes)
    random = np.random.default_rng(0)
    labels = random.integers(0, len(classes), 80)
    chances = random.dirichlet(np.ones(len(classes)), 80).astype(np.float32)
    answers = chances.argmax(1)
    scores = folder_scores(torch.from_numpy(chances), [classes[number] for number in labels], facts)
    recall = metrics.recall_score(labels, answers, average=None)
    wanted = {
        "accuracy": metrics.accuracy_score(labels, answers),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, answers),
        "macro_f1": metrics.f1_score(labels, answers, average="macro"),
        "worst_class_recall": recall.min(),
        "loss": metrics.log_loss(labels, chances.astype(float) / chances.astype(float).sum(1, keepdims=True)),
    }
    if len(classes) == 2:
        wanted["auroc"] = metrics.roc_auc_score(labels, chances[:, 1])
        wanted["average_precision"] = metrics.average_precision_score(
            labels == classes.index(str(facts.positive)), chances[:, classes.index(str(facts.positive))]
        )
    else:
        areas = [metrics.roc_auc_score(labels == number, chances[:, number]) for number in range(len(classes))]
        wanted["auroc"] = np.mean(areas)
    assert dict(scores.metrics) == pytest.approx(wanted, abs=1e-6)
    assert np.array_equal(scores.confusion.to_numpy(), metrics.confusion_matrix(labels, answers))
    table = scores.classes
    assert table["recall"].to_numpy() == pytest.approx(recall)
    assert table["precision"].to_numpy() == pytest.approx(metrics.precision_score(labels, answers, average=None))
    assert table["f1"].to_numpy() == pytest.approx(metrics.f1_score(labels, answers, average=None))
    assert (table["recall_low"] < table["recall"]).all() and (table["recall"] < table["recall_high"]).all()


def test_classes_without_images_do_not_count(tmp_path: Path) -> None:
    facts = make_trained(tmp_path)
    chances = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]])
    scores = folder_scores(chances, ["ant", "ant", "bee"], facts)
    assert scores.metrics["balanced_accuracy"] == 0.75
    assert scores.classes["images"].tolist() == [2, 1, 0]
    assert scores.classes["most_often_taken_for"].tolist()[:1] == ["bee"]
    only = folder_scores(chances[:2], ["ant", "ant"], facts)
    assert "auroc" not in only.metrics  # undefined with a single class


def test_a_probability_of_zero_keeps_the_loss_finite(tmp_path: Path) -> None:
    facts = make_trained(tmp_path)
    scores = folder_scores(torch.tensor([[1.0, 0.0, 0.0]]), ["bee"], facts)
    assert 80 < scores.metrics["loss"] < 100


@pytest.mark.parametrize(
    ("names", "labeled", "note"),
    [
        (["ant/1.png", "bee/2.png"], 2, ""),
        (["ant/deep/er/1.png"], 1, ""),
        (["1.png", "2.png"], 0, ""),
        (["ant/1.png", "2.png"], 1, "1 image outside of the class folders"),
        (["2020/1.png", "2021/2.png"], 0, "no folder is named like a class ('2020', '2021')"),
        (["ant/1.png", "bea/2.png"], 0, "'bea' (did you mean 'bee'?)"),
        (["ant/1.png", *(f"x{number}/1.png" for number in range(7))], 0, "folders of 7 images.*and 2 more"),
        (["Ant/1.png"], 0, "no folder is named like a class"),
    ],
)
def test_labels_are_the_names_of_the_folders(names: list[str], labeled: int, note: str) -> None:
    root = Path("labeled")
    found = folder_labels([root], [root / name for name in names], CLASSES)
    assert len(found.classes) == labeled
    assert all(part in found.note for part in note.split(".*")) if note else found.note == ""
    assert all(name.split("/")[1] == label for name, label in found.classes.items())


def test_single_files_have_no_class() -> None:
    assert not folder_labels([], [Path("ant/1.png")], CLASSES).classes
    found = folder_labels([Path("labeled")], [Path("labeled/ant/1.png"), Path("other.png")], CLASSES)
    assert len(found.classes) == 1 and "1 image outside" in found.note
