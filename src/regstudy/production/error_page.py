"""errors.html: the most confident mistakes of a model as pictures, class by class."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from regstudy.production.part_files import image_names
from regstudy.production.part_scores import PartScores
from regstudy.report.grids import Grid
from regstudy.report.media import Album, Picture, picture
from regstudy.report.page import page_html
from regstudy.report.report_section import ReportSection
from regstudy.report.verdict_phrasing import Verdict
from regstudy.text import counted

MOST_PICTURES = 240  # in the page
MOST_PER_CLASS, LEAST_PER_CLASS = 24, 2
MOST_PAIRS = 15  # of classes that were mixed up
QUESTION = "Mistakes: the images that the model got wrong while it was most sure"


def error_page(scores: PartScores, model: str) -> str:
    """One self-contained page about the images of a part; ``model`` says in words what answered."""
    chosen = scores.probabilities.argmax(1)
    labels = scores.images.labels.cpu()
    wrong = (chosen != labels).nonzero()[:, 0]
    by_class = {number: wrong[labels[wrong] == number] for number in range(len(scores.images.classes))}
    filled = sorted((number for number, found in by_class.items() if len(found)), key=lambda n: -len(by_class[n]))
    shown = max(LEAST_PER_CLASS, min(MOST_PER_CLASS, MOST_PICTURES // max(len(filled), 1)))
    drawn, rest = filled[: MOST_PICTURES // shown], filled[MOST_PICTURES // shown :]
    accuracy = scores.accuracy
    share = f"{accuracy.value:.1%} [{accuracy.low:.1%}, {accuracy.high:.1%}]"
    sentences = [
        f"The {scores.part} images: {counted(len(labels), 'image')}, accuracy {share} with its 95 % interval.",
        f"{model} Each class has its most confident mistakes first, at most {shown}.",
    ]
    if rest:
        left = sum(len(by_class[number]) for number in rest)
        sentences.append(f"Not shown: {counted(left, 'mistake')} on images of {len(rest):,} more classes.")
    head = f"{counted(len(wrong), 'mistake')} among {counted(len(labels), f'{scores.part} image')}"
    parts = [_pairs(scores, chosen, labels, wrong)] if len(wrong) else []
    parts += [_section(scores, number, by_class[number], chosen, shown) for number in drawn]
    text = Verdict(head, sentences, [], good=not len(wrong))
    page = page_html("Most confident mistakes", QUESTION, [], text, parts, writer="train")
    return page.encode("utf-8", "replace").decode()  # file names may contain invalid Unicode


def _pairs(scores: PartScores, chosen: Tensor, labels: Tensor, wrong: Tensor) -> ReportSection:
    """Which classes are mixed up most often."""
    names, counts = scores.images.classes, scores.measured.confusion
    pairs, times = torch.unique(labels[wrong] * len(names) + chosen[wrong], return_counts=True)
    order = torch.argsort(times, descending=True, stable=True)[:MOST_PAIRS]
    rows = []
    for pair, n in zip(pairs[order].tolist(), times[order].tolist(), strict=True):
        true, answer = divmod(pair, len(names))
        rows.append([names[true], names[answer], f"{n:,}", f"{n / int(counts[true].sum()):.1%}"])
    head = ["true class", "taken for", "images", "share of the class"]
    more = "" if len(pairs) <= MOST_PAIRS else f" The {MOST_PAIRS} most frequent of {len(pairs)} pairs."
    first = f"Most often, {rows[0][0]} was taken for {rows[0][1]}: {rows[0][2]} of its images.{more}"
    return ReportSection("pairs", "Classes mixed up", first, grids=[Grid(head, rows, frozenset({2, 3}))])


def _section(scores: PartScores, number: int, found: Tensor, chosen: Tensor, most: int) -> ReportSection:
    """The mistakes on images of one class, the most confident first."""
    sure = scores.probabilities[found, chosen[found]]
    order = found[torch.argsort(sure, descending=True, stable=True)]
    names, classes = image_names(scores), scores.images.classes
    pictures = [_picture(scores, index, names[index], int(chosen[index])) for index in order[:most].tolist()]
    images = int(scores.measured.confusion[number].sum())
    finding = f"{len(found):,} of {counted(images, 'image')} wrong."
    return ReportSection(
        f"class{number}", classes[number], finding, albums=[Album("The most confident first", pictures)]
    )


def _picture(scores: PartScores, index: int, name: str, answer: int) -> Picture:
    pixels = scores.images.images[index].cpu().numpy().transpose(1, 2, 0)
    rgb = np.repeat(pixels[:, :, :1], 3, axis=2) if pixels.shape[2] != 3 else pixels
    classes, chances = scores.images.classes, scores.probabilities[index]
    own = float(chances[int(scores.images.labels[index])])
    label = name if scores.images.paths else f"image {name}"
    return picture(rgb, f"{classes[answer]} {float(chances[answer]):.0%}, true class {own:.0%} · {label}")
