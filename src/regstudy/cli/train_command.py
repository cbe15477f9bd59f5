"""What `regstudy train` does: call the library, show each epoch, then the results and where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from regstudy.analysis.calibration import calibration
from regstudy.api import train
from regstudy.cli.listener import ConsoleListener
from regstudy.config.user_code import user_code
from regstudy.errors import StudyError
from regstudy.metrics import GAP, METRICS
from regstudy.records import EpochRecord, parse_reliability
from regstudy.report.calibration_phrasing import calibration_words
from regstudy.text import counted, sentence
from regstudy.training.early_stopping import Signal


def execute(console: Console, path: Path, output: Path, arguments: dict[str, Any]) -> int:
    """Train once; ``arguments`` are those of `train`. Returns the exit code, 130 after Ctrl-C."""

    def on_epoch(records: Sequence[EpochRecord], signal: Signal) -> None:
        record = records[-1]
        mark = "  best so far" if signal.best_epoch == record.epoch else ""
        planned = round(record.epoch / signal.budget_fraction)
        console.print(f"epoch {record.epoch:>3}/{planned}  {record.in_words}  lr {record.lr:.2g}{mark}")

    with ConsoleListener(console) as listener:
        try:
            with user_code("The training", StudyError):
                metrics = train(path, output, on_epoch=on_epoch, progress=listener, **arguments)
        except KeyboardInterrupt:
            if (output / "checkpoint.pt").exists():
                console.print(f"Interrupted. {output} holds a checkpoint; run the same command again to resume.")
            else:
                console.print("Interrupted before the first checkpoint. The same command starts from the beginning.")
            return 130
    console.print(sentence(f"{metrics['outcome']}: {metrics['reason']}"))
    if metrics["best_epoch"]:
        console.print(
            f"Best epoch {metrics['best_epoch']}: train accuracy (eval mode) {metrics['clean_train_accuracy']:.1%},"
            f" validation accuracy {metrics['val_accuracy']:.1%}, gap {100 * metrics['gap_accuracy']:+.1f} points.",
        )
        for line in _more(metrics):
            console.print(line)
        test = metrics["test"]
        console.print(
            f"Test accuracy: {test['accuracy']:.1%} on {counted(test['images'], 'image')} (evaluation no."
            f" {test['opening']} on this test set)."
            if test["images"]
            else f"Test accuracy: not measured. {test['note']}",
        )
        for part, facts in metrics.get("calibration", {}).items():
            found = calibration(parse_reliability(facts["bins"]))
            console.print(f"Calibration, {part}: {calibration_words(found)}. {facts['note']}")
    console.print(f"Weights, metrics, learning curves and the reliability diagram are in {output}.")
    return 0


def _more(metrics: Mapping[str, Any]) -> list[str]:
    """A line for each further share that was measured, such as the one that the study decides by."""
    found = [one for one in METRICS.values() if one.percent and one.name != "accuracy" and one.val in metrics]
    return [
        f"Train {one.label} (eval mode) {metrics[one.clean_train]:.1%}, validation {metrics[one.val]:.1%}, gap "
        f"{100 * metrics[GAP + one.name]:+.1f} points."
        for one in found
    ]
