"""The final training of one configuration: weights, metrics and curves in a folder, one test set evaluation."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save

from regstudy.config.run_config import RunConfig
from regstudy.data import check_test, open_test, prepare
from regstudy.data.loading_events import OnProgress, listening
from regstudy.errors import DataError
from regstudy.files import make_folder, write_atomically
from regstudy.records import EpochRecord
from regstudy.space.loader import config_text
from regstudy.training.checkpoint import Checkpoint
from regstudy.training.loop import OnStep, evaluate
from regstudy.training.run import OnEpoch, Trained, run

TEST_LOG_FILE = "test_openings.jsonl"  # in the data directory: every evaluation on a test set


def train_finally(
    config: RunConfig,
    data_dir: Path,
    out: Path,
    device: torch.device,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    listen: OnProgress | None = None,
) -> dict[str, Any]:
    """Train once and write weights.safetensors, config.yaml, epochs.csv and metrics.json; returns the metrics.

    An interrupted training resumes from the checkpoint in ``out``. The test set is evaluated once, after training, with
    the weights of the best validation epoch, which is logged in the data directory. If there is no test set, the
    metrics say so. DataError before training if it can be seen without opening it that it cannot be used.
    """
    check_test(config.data)
    splits = prepare(config.data, data_dir, listen)
    checkpoint = Checkpoint(out / "checkpoint.pt")
    trained = run(config, splits, device, on_epoch, on_step, checkpoint)
    metrics = _metrics(trained, splits.describe())
    if trained.result.best_epoch:
        weights = {name: tensor.contiguous() for name, tensor in trained.weights.items()}
        write_atomically(out / "weights.safetensors", save(weights))
    write_atomically(out / "config.yaml", config_text(config.model_dump(mode="json")))
    write_atomically(out / "epochs.csv", epochs_csv(trained.result.records))
    if trained.result.best_epoch:  # the training results are saved by now, whatever is wrong with the test set
        trained.state.model.load_state_dict(trained.weights)
        with listening(listen):
            metrics["test"] = _test(config, trained, data_dir)
    write_atomically(out / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    checkpoint.remove()
    return metrics


def epochs_csv(records: Sequence[EpochRecord]) -> str:
    """One line per epoch with all series and the gaps; every number reads back to the same bits."""
    rows = [vars(r) | {"gap_accuracy": r.gap_accuracy, "gap_loss": r.gap_loss} for r in records]
    buffer = io.StringIO()
    pd.DataFrame(rows).to_csv(buffer, index=False)
    return buffer.getvalue()


def _metrics(trained: Trained, data: Mapping[str, Any]) -> dict[str, Any]:
    result = trained.result
    facts: dict[str, Any] = {
        "outcome": result.outcome,
        "reason": result.reason,
        "epochs": len(result.records),
        "best_epoch": result.best_epoch,
        "threads": torch.get_num_threads(),
        "precision": trained.state.precision,
        "data": dict(data),
    }
    if result.best_epoch:
        best = result.records[result.best_epoch - 1]
        facts |= {name: value for name, value in vars(best).items() if "accuracy" in name or "loss" in name}
        facts |= {"gap_accuracy": best.gap_accuracy, "gap_loss": best.gap_loss}
    return facts


def _test(config: RunConfig, trained: Trained, data_dir: Path) -> dict[str, Any]:
    """Loss and accuracy on the test set, which is logged; a note if there is no test set."""
    try:
        test = open_test(config.data, data_dir).to(trained.state.device)
    except DataError as error:
        return {"images": 0, "note": str(error)}
    loss, accuracy = evaluate(trained.state.model, test, trained.state.preprocessing)
    facts = {
        "images": len(test),
        "loss": loss,
        "accuracy": accuracy,
        "hash": test.hash,
        "opened": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    openings = data_dir / TEST_LOG_FILE
    make_folder(data_dir)
    earlier = openings.read_text(encoding="utf-8") if openings.exists() else ""
    facts["opening"] = 1 + earlier.count(f'"hash": "{test.hash}"')
    with openings.open("a", encoding="utf-8") as file:  # one line in one write: other processes may append, too
        file.write(json.dumps({"data": config.data.name, **facts}) + "\n")
    return facts
