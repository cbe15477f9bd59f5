"""MODEL_CARD.md: what a model is, what it was trained and measured on, and what its numbers do not say.

Mitchell et al., "Model cards for model reporting", 2019. Everything follows from metrics.json and the configuration,
but for the table of classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from regstudy.analysis.calibration import calibration
from regstudy.config.run_config import RunConfig
from regstudy.files.outputs import mark
from regstudy.metrics import METRICS, metric
from regstudy.production.part_scores import PartScores
from regstudy.records import parse_reliability
from regstudy.report.calibration_phrasing import calibration_words
from regstudy.report.phrasing import markdown
from regstudy.space.loader import config_text
from regstudy.text import counted

FEW_IMAGES = 30  # of a class: its recall has an interval of more than ten points
MOST_CLASSES = 50  # in the table


def model_card(config: RunConfig, metrics: Mapping[str, Any], scores: PartScores | None) -> str:
    """The card as Markdown; ``scores`` are those of the part that the tables of the folder are about."""
    data = metrics["data"]
    title = f"# Model card: {markdown(config.model.name)} on {markdown(str(data.get('name', config.data.name)))}"
    lines = [f"<!-- Written by {mark('train')} -->", title, ""]
    lines += [_summary(metrics), "", "## Results", "", *_results(metrics), ""]
    lines += ["## Data", "", *_data(config, metrics), "", "## Training", "", *_training(config, metrics), ""]
    if scores is not None:
        lines += ["## Classes", "", *_classes(scores), ""]
    lines += ["## Limits", "", *(f"- {line}" for line in _limits(metrics, scores)), "", "## Use", "", *_USE, ""]
    lines += ["## Versions", "", *_versions(metrics), "", "## Configuration", "", "```yaml"]
    return "\n".join([*lines, config_text(config.model_dump(mode="json")).rstrip(), "```", ""])


def model_words(metrics: Mapping[str, Any]) -> str:
    """What answers: a network, the best of several, or their average."""
    return str(metrics.get("model", "One training."))


def _summary(metrics: Mapping[str, Any]) -> str:
    names = [str(name) for name in metrics["data"].get("classes", [])]
    said = f"An image classifier of {len(names)} classes ({', '.join(names[:10])}{', …' if len(names) > 10 else ''})."
    if positive := metrics["data"].get("positive"):
        said += f" The positive class is {positive}."
    return f"{markdown(said)} {model_words(metrics)}"


def _results(metrics: Mapping[str, Any]) -> Iterator[str]:
    """The metrics of each part that was measured, with intervals where there are any."""
    parts = {name: metrics[name] for name in ("validation", "test") if metrics.get(name, {}).get("images")}
    if parts:
        yield "| metric | " + " | ".join(f"{name} ({facts['images']:,} images)" for name, facts in parts.items()) + " |"
        yield "|---|" + "--:|" * len(parts)
        for name, of in METRICS.items():
            if any(name in facts for facts in parts.values()):
                cells = [_cell(name, facts) for facts in parts.values()]
                yield f"| {of.label} | {' | '.join(cells)} |"
        yield ""
        yield (
            "Brackets: 95 % interval over images"
            + (" in groups" if any("groups" in facts for facts in parts.values()) else "")
            + "."
        )
    test = metrics.get("test", {})
    if not test.get("images"):
        yield f"Not measured on a test set. {markdown(str(test.get('note', '')))}".rstrip()
    else:
        yield f"This was evaluation no. {test.get('opening', '?')} on this test set (hash {test.get('hash', '?')})."
    for part, facts in metrics.get("calibration", {}).items():
        words = calibration_words(calibration(parse_reliability(facts["bins"])))
        yield f"Calibration, {part}: {words}. {facts['note']}"
    yield from over_seeds_lines(metrics)
    if temperature := metrics.get("temperature"):
        yield temperature_line(temperature)


def over_seeds_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Mean and interval of every metric over the seeds, a line per part."""
    lines = []
    for part, found in metrics.get("over_seeds", {}).items():
        shown = [
            f"{METRICS[name].label} {_estimate(name, facts)}"
            for name, facts in found.items()
            if name in METRICS and facts["n"] > 1
        ]
        if shown:
            count = next(iter(found.values()))["n"]
            plain = " (before the temperature)" if "temperature" in metrics else ""
            lines.append(f"{part.capitalize()}, mean ± 95 % interval over {count} seeds{plain}: {', '.join(shown)}.")
    return lines


def temperature_line(found: Mapping[str, Any]) -> str:
    """The temperature and what it changed."""
    kinds = (("loss", "loss", ".4f"), ("ece", "ECE", ".1%"), ("brier", "Brier score", ".3f"))
    shown = []
    for part in ("validation", "test"):
        if part in found:
            before, after = found[part]["before"], found[part]["after"]
            changes = [f"{label} {before[key]:{form}} → {after[key]:{form}}" for key, label, form in kinds]
            shown.append(f"{part}: {', '.join(changes)}")
    note = f" {found['note']}" if found.get("note") else ""
    return f"Temperature {found['value']:.3f}, fitted on the validation images; {'; '.join(shown)}.{note}"


def _estimate(name: str, facts: Mapping[str, Any]) -> str:
    half = (facts["high"] - facts["low"]) / 2
    return f"{facts['mean']:.1%} ± {half:.1%}" if METRICS[name].percent else f"{facts['mean']:.4f} ± {half:.4f}"


def _cell(name: str, facts: Mapping[str, Any]) -> str:
    value = facts.get(name)
    if value is None or not math.isfinite(value):
        return "–"
    shown = f"{value:.1%}" if METRICS[name].percent else f"{value:.4f}"
    if name == "accuracy" and "accuracy_low" in facts:
        shown += f" [{facts['accuracy_low']:.1%}, {facts['accuracy_high']:.1%}]"
    return shown


def _data(config: RunConfig, metrics: Mapping[str, Any]) -> Iterator[str]:
    data = metrics["data"]
    facts = {
        "data set": data.get("name"),
        "folder": config.data.root,
        "training images": f"{data['train']:,}" if "train" in data else None,
        "validation images": f"{data['validation']:,}" if "validation" in data else None,
        "trained on": metrics.get("on"),
        "image shape (channels, height, width)": " × ".join(map(str, data.get("shape", []))) or None,
        "split hash": data.get("split_hash"),
        "split seed": data.get("split_seed"),
        "groups kept together": data.get("group"),
        "validation part": "came with the data set" if data.get("own_validation") else "held out at random",
    }
    yield from _table(facts)


def _training(config: RunConfig, metrics: Mapping[str, Any]) -> Iterator[str]:
    facts = {
        "network": config.model.name,
        "initial weights": config.model.weights or "random",
        "outcome": f"{metrics['outcome']}: {metrics['reason']}",
        "epochs": f"{metrics['epochs']} run, {config.planned_epochs} planned",
        "weights kept": f"epoch {metrics['best_epoch']}",
        "chosen by": None if metrics.get("fixed") else f"validation {metric(config.training.metric).label}",
        "seed": metrics.get("seed", config.training.seed),
        "precision": metrics.get("precision"),
    }
    yield from _table(facts)
    if fixed := metrics.get("fixed"):
        yield ""
        yield markdown(str(fixed["why"]))


def _classes(scores: PartScores) -> Iterator[str]:
    yield f"Of the {scores.part} images, with 95 % intervals; all classes are in `classes.csv`:"
    yield ""
    yield "| class | images | recall | precision |"
    yield "|---|--:|--:|--:|"
    for number, name in list(enumerate(scores.images.classes))[:MOST_CLASSES]:
        recall, precision = scores.recall(number), scores.precision(number)
        cells = [
            "–" if math.isnan(one.value) else f"{one.value:.1%} [{one.low:.1%}, {one.high:.1%}]"
            for one in (recall, precision)
        ]
        yield f"| {markdown(str(name))} | {int(scores.measured.confusion[number].sum()):,} | {' | '.join(cells)} |"


def _limits(metrics: Mapping[str, Any], scores: PartScores | None) -> Iterator[str]:
    if metrics.get("on", "train") == "train":
        yield (
            "The validation images have chosen the epoch"
            + (", the seed" if "seeds" in metrics and not metrics.get("ensemble") else "")
            + (" and the temperature" if metrics.get("temperature") else "")
            + ", and perhaps the configuration. Their numbers are somewhat too good."
        )
    else:
        yield "No validation images were left, so nothing but the test set measures this model."
    opening = metrics.get("test", {}).get("opening", 1)
    if opening > 1:
        yield f"The test set had been evaluated {counted(opening - 1, 'time')} before. Each choice by it biases it."
    yield "The intervals are about which images were drawn. " + (
        "How much another seed changes is shown above."
        if "seeds" in metrics
        else "How much another seed would change was not measured (`--seeds 5`)."
    )
    yield (
        "Images unlike those it was trained on, such as from another camera, place or time, were not measured. The"
        " model gives a class for every image, also for one that shows none of its classes."
    )
    if scores is not None:
        counts = scores.measured.confusion.sum(1).tolist()
        few = [str(name) for name, n in zip(scores.images.classes, counts, strict=True) if n < FEW_IMAGES]
        if few:
            shown = ", ".join(few[:10]) + (", …" if len(few) > 10 else "")
            yield f"Fewer than {FEW_IMAGES} {scores.part} images of {markdown(shown)}: little is known about these."


_USE = [
    "```python",
    "import regstudy",
    "",
    'model = regstudy.load("FOLDER")  # the folder of this file',
    'model.predict("picture.png")',
    "```",
    "",
    "What the network takes is in `preprocessing.json`. Or `regstudy predict FOLDER IMAGES`.",
]


def _versions(metrics: Mapping[str, Any]) -> Iterator[str]:
    yield from _table(metrics.get("versions", {}))
    if command := metrics.get("command"):
        yield ""
        yield f"    {command}"


def _table(facts: Mapping[str, Any]) -> Sequence[str]:
    rows = [f"| {name} | {markdown(str(value))} |" for name, value in facts.items() if value is not None]
    return ["| | |", "|---|---|", *rows]
