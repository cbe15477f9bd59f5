"""What `regstudy train` does, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from regstudy.cli.progress import accuracies
from regstudy.cli.session import CHECKS
from regstudy.errors import RegstudyError, config_error
from regstudy.files import check_folder
from regstudy.production.final_training import read_config, train_finally
from regstudy.records import EpochRecord
from regstudy.training.early_stopping import Signal


def execute(path: Path, output: Path, sets: Sequence[str], data_dir: Path, device: str, console: Console) -> int:
    """Train once, show each epoch, and say what came out and where it is."""
    config = read_config(path, sets)
    problems = [problem for check in CHECKS for problem in check(config)]
    if problems:
        raise config_error(str(path), problems)
    check_folder(output)
    if (output / "study.db").exists():
        raise RegstudyError(f"{output} is the folder of a study; -o needs another one for weights and curves.")
    epochs = config.planned_epochs

    def on_epoch(records: Sequence[EpochRecord], signal: Signal) -> None:
        record = records[-1]
        mark = "  best so far" if signal.best_epoch == record.epoch else ""
        console.print(
            f"epoch {record.epoch:>3}/{epochs}  {accuracies(record)}  lr {record.lr:.2g}{mark}",
        )

    try:
        metrics = train_finally(config, data_dir, output, torch.device(device), on_epoch)
    except KeyboardInterrupt:
        console.print(f"Interrupted; {output} holds a checkpoint, and the same command goes on from it.")
        return 130
    console.print(f"{metrics['outcome']}: {metrics['reason']}.")
    if metrics["best_epoch"]:
        console.print(
            f"Best epoch {metrics['best_epoch']}: clean training {metrics['clean_train_accuracy']:.1%},"
            f" validation {metrics['val_accuracy']:.1%}, gap {100 * metrics['gap_accuracy']:+.1f} points.",
        )
        test = metrics["test"]
        console.print(
            f"Test: {test['accuracy']:.1%} of {test['images']:,} images (opening {test['opening']} of this test part)."
            if test["images"]
            else f"Test: not measured. {test['note']}",
        )
    console.print(f"Weights, metrics and curves are in {output}.")
    return 0
