"""What `regstudy train` does: call the library, show each epoch, then the results and where they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from regstudy.analysis.calibration import calibration
from regstudy.api import train
from regstudy.cli.listener import ConsoleListener
from regstudy.config.user_code import user_code
from regstudy.errors import StudyError
from regstudy.metrics import GAP, METRICS, Metric
from regstudy.production.epoch_line import epoch_line
from regstudy.production.model_card import over_seeds_lines, temperature_line
from regstudy.production.training_folder import METRICS_FILE, unfinished
from regstudy.records import EpochRecord, parse_reliability
from regstudy.report.calibration_phrasing import calibration_words
from regstudy.text import counted, sentence
from regstudy.training.early_stopping import Signal


def execute(console: Console, path: Path, output: Path, arguments: dict[str, Any]) -> int:
    """Train once; ``arguments`` are those of `train`. Returns the exit code, 130 after Ctrl-C."""

    def on_epoch(records: Sequence[EpochRecord], signal: Signal) -> None:
        console.print(epoch_line(records, signal))

    with ConsoleListener(console) as listener:
        try:
            with user_code("The training", StudyError):
                metrics = train(path, output, on_epoch=on_epoch, progress=listener, **arguments)
        except KeyboardInterrupt:
            console.print(_interrupted(output, arguments["formats"]))
            return 130
    console.print(sentence(f"{metrics['outcome']}: {metrics['reason']}"))
    if metrics["best_epoch"]:
        for line in training_lines(metrics):
            console.print(line)
        for line in evaluation_lines(metrics):
            console.print(line)
    console.print(f"Weights, metrics, learning curves, tables and the model card are in {output}.")
    return 0


def _interrupted(output: Path, formats: Sequence[str]) -> str:
    """What Ctrl-C has left in the folder, and what the same command would do."""
    if unfinished(output):
        return f"Interrupted. {output} holds a checkpoint; run the same command again to resume."
    if not (output / METRICS_FILE).exists():
        return "Interrupted before the first checkpoint. The same command starts from the beginning."
    more = " `regstudy convert` writes its model.onnx or model.pt2." if formats else ""
    return f"Interrupted. {output} holds a training that has ended; the same command would train again.{more}"


def training_lines(metrics: Mapping[str, Any]) -> Iterator[str]:
    """What the training shows by itself: how the epoch and the seed were chosen, and the gap."""
    if len(metrics.get("seeds", [])) > 1:
        yield metrics["model"]
        kept, of = None if metrics["ensemble"] else metrics["kept"], METRICS[metrics["metric"]]
        for one in metrics["seeds"]:
            mark = "  kept" if one["number"] == kept else ""
            yield f"  seed {one['number']}: {_of_seed(one, of)}{mark}"
    if "val_accuracy" not in metrics:
        yield (
            f"No validation images are left. Train accuracy (eval mode) {metrics['clean_train']['accuracy']:.1%} after"
            f" {counted(metrics['best_epoch'], 'epoch')}."
        )
        return
    best = f"Seed {metrics['kept']}, best epoch" if "kept" in metrics else "Best epoch"
    yield (
        f"{best} {metrics['best_epoch']}: train accuracy (eval mode) {metrics['clean_train_accuracy']:.1%},"
        f" validation accuracy {metrics['val_accuracy']:.1%}, gap {100 * metrics['gap_accuracy']:+.1f} points."
    )
    yield from _more(metrics)


def evaluation_lines(metrics: Mapping[str, Any]) -> Iterator[str]:
    """What was measured on validation and test images after the training."""
    if metrics.get("ensemble") and "validation" in metrics:
        yield f"Ensemble: validation accuracy {metrics['validation']['accuracy']:.1%}."
    test = metrics["test"]
    yield (
        f"Test accuracy: {test['accuracy']:.1%} (95 % interval {test['accuracy_low']:.1%} to"
        f" {test['accuracy_high']:.1%}) on {counted(test['images'], 'image')} (evaluation no. {test['opening']} on this"
        " test set)."
        if test["images"]
        else f"Test accuracy: not measured. {test['note']}"
    )
    yield from over_seeds_lines(metrics)
    for part, facts in metrics.get("calibration", {}).items():
        found = calibration(parse_reliability(facts["bins"]))
        yield f"Calibration, {part}: {calibration_words(found)}. {facts['note']}"
    if "temperature" in metrics:
        yield temperature_line(metrics["temperature"])


def _of_seed(one: Mapping[str, Any], of: Metric) -> str:
    """The numbers of a seed in the metric that decides."""
    if not one["best_epoch"]:
        return f"{one['outcome']}: {one['reason']}"
    form, parts = ".1%" if of.percent else ".4f", [f"epoch {one['best_epoch']}"]
    parts += [f"validation {of.label} {one[of.val]:{form}}"] if of.val in one else []
    parts += [f"test {one['test'][of.name]:{form}}"] if of.name in one.get("test", {}) else []
    return ", ".join(parts)


def _more(metrics: Mapping[str, Any]) -> list[str]:
    """A line for each further share that was measured, such as the one that the study decides by."""
    found = [one for one in METRICS.values() if one.percent and one.name != "accuracy" and one.val in metrics]
    return [
        f"Train {one.label} (eval mode) {metrics[one.clean_train]:.1%}, validation {metrics[one.val]:.1%}, gap "
        f"{100 * metrics[GAP + one.name]:+.1f} points."
        for one in found
    ]
