"""The final training of one configuration: weights, metrics and curves in a folder, one test set evaluation."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save

from regstudy.analysis.calibration import calibration
from regstudy.config.run_config import RunConfig
from regstudy.data import check_test, open_test, prepare, without_folds
from regstudy.data.image_set import Splits
from regstudy.data.loading_events import Notice, OnProgress, listening
from regstudy.errors import FileError, RegstudyError, describe
from regstudy.files import check_file, check_folder, make_folder, outputs, read_bytes, write_atomically
from regstudy.files.paths import path_errors
from regstudy.metrics import CLEAN_TRAIN, GAP, VALIDATION
from regstudy.production.preprocessing_file import PREPROCESSING_FILE, WEIGHTS_FILE, write_preprocessing
from regstudy.production.reliability_diagram import reliability_svg
from regstudy.records import EpochRecord, Reliability, dump_reliability, parse_reliability
from regstudy.report.calibration_phrasing import direction_words
from regstudy.space.loader import config_text
from regstudy.text import counted
from regstudy.training.checkpoint import Checkpoint
from regstudy.training.loop import OnStep, extra_metrics, measure
from regstudy.training.run import OnEpoch, Trained, run

TEST_LOG_FILE = "test_openings.jsonl"  # in the data directory: every evaluation on a test set
DIAGRAM_FILE = "reliability.svg"
METRICS_BEGIN = rb'\A\{\n  "outcome": '  # how every metrics.json begins
UNFINISHED = "The evaluation on the test set was interrupted. Run the same command again."


def train_finally(
    config: RunConfig,
    data_dir: Path,
    out: Path,
    device: torch.device,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    listen: OnProgress | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Train once and write config.yaml, weights.safetensors, epochs.csv, metrics.json and reliability.svg.

    Returns the metrics.

    A configuration with k-fold cross-validation is trained on the usual split (`data.validation`), whose validation
    part chooses the best epoch. An interrupted training resumes from the checkpoint in ``out``. The test set is
    evaluated once, after training, with the weights of the best validation epoch, which is logged in the data
    directory. If there is no test set, or if it cannot be evaluated, the metrics say so. That all of this can be
    written is checked before training: an evaluation that cannot be logged must not happen, and one that is logged must
    not be lost. DataError before training if it can be seen without opening the test set that it cannot be used.
    """
    check_test(config.data)
    check_test_log(data_dir)
    check_training_output(out, overwrite)
    splits = prepare(without_folds(config.data), data_dir, listen)
    if config.data.resampling != "shared" and listen is not None:
        listen(Notice(f"data.resampling is for studies; this training holds out {_held_out(splits)}."))
    checkpoint = Checkpoint(out / "checkpoint.pt")
    with _marked(out, _config_file(config)):
        trained = run(config, splits, device, on_epoch, on_step, checkpoint)
    metrics = _metrics(trained, splits.describe())
    if trained.result.best_epoch:
        weights = {name: tensor.contiguous() for name, tensor in trained.weights.items()}
        write_atomically(out / WEIGHTS_FILE, save(weights, {outputs.KEY: outputs.mark("train")}))
        write_preprocessing(out, config, splits)
    write_atomically(out / "epochs.csv", epochs_csv(trained.result.records))
    if trained.result.best_epoch:
        if trained.state.best_reliability:  # absent where a checkpoint of 0.1.0 was resumed after the best epoch
            metrics["calibration"] = {"validation": _calibration(config, trained.state.best_reliability)}
        metrics["test"] = {"images": 0, "note": UNFINISHED}  # what stands there should the evaluation be interrupted
        _write_metrics(out, metrics)
        trained.state.model.load_state_dict(trained.weights)
        with listening(listen):
            metrics["test"] = _test(config, trained, data_dir)
        if "calibration" in metrics["test"]:
            metrics.setdefault("calibration", {})["test"] = metrics["test"].pop("calibration")
        if "calibration" in metrics:
            parts = {name: parse_reliability(facts["bins"]) for name, facts in metrics["calibration"].items()}
            write_atomically(out / DIAGRAM_FILE, reliability_svg(parts))
    _write_metrics(out, metrics)
    checkpoint.remove()
    return metrics


def _held_out(splits: Splits) -> str:
    images = counted(len(splits.validation), "validation image")
    return f"{images} (data.validation) and trains on {len(splits.train):,}"


@contextmanager
def _marked(out: Path, content: str) -> Iterator[None]:
    """Within this block the configuration marks the folder as a training's; what fails at once leaves no trace."""
    marker, existed = out / "config.yaml", out.exists()
    new = not marker.exists()
    write_atomically(marker, content)
    try:
        yield
    except BaseException:
        if new and not (out / "checkpoint.pt").exists():
            marker.unlink(missing_ok=True)
            if not existed:
                with suppress(OSError):  # something else has been put there meanwhile
                    out.rmdir()
        raise


def check_test_log(data_dir: Path) -> None:
    """FileError if evaluations on the test set cannot be logged in a data folder."""
    try:
        check_file(data_dir / TEST_LOG_FILE)
    except FileError as error:
        raise FileError(
            f"{error} Every evaluation on the test set is logged there, so it must be possible before training. Give a"
            " data folder that you may write to with --data-dir; links to the data sets are enough."
        ) from None


def check_training_output(out: Path, overwrite: bool = False) -> None:
    """FileError if a training's results cannot be written to a folder, or would replace what is not a training's.

    The file of the configuration says whose the folder is; a training that ran to its end has left its metrics, too.
    """
    check_folder(out)
    names = ("config.yaml", WEIGHTS_FILE, "epochs.csv", "metrics.json", DIAGRAM_FILE, "checkpoint.pt")
    files: dict[Path, Sequence[bytes]] = {out / name: () for name in (*names, PREPROCESSING_FILE)}
    files[out / "metrics.json"] = (METRICS_BEGIN,)
    try:
        first = out / ("config.yaml" if (out / "config.yaml").exists() else "metrics.json")
        outputs.check_outputs({first: files[first]}, "train", overwrite)
        ours = first.exists()
    except FileError:
        ours = False
    remedy = "Choose another output folder (-o), or replace the files with --overwrite."
    outputs.check_outputs(files, "train", overwrite or ours, remedy)


def _config_file(config: RunConfig) -> str:
    head = f"# Written by {outputs.mark('train', sealed=True)}.\n"
    return outputs.seal(head + config_text(config.model_dump(mode="json")))


def _write_metrics(out: Path, metrics: Mapping[str, Any]) -> None:
    write_atomically(out / "metrics.json", json.dumps(metrics, indent=2) + "\n")


def epochs_csv(records: Sequence[EpochRecord]) -> str:
    """One line per epoch with all series and the gaps; every number reads back to the same bits."""
    rows = [record.series for record in records]
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
        measured = ("train_loss", "train_accuracy")
        prefixes = (CLEAN_TRAIN, VALIDATION, GAP)
        facts |= {name: value for name, value in best.series.items() if name in measured or name.startswith(prefixes)}
    return facts


def _calibration(config: RunConfig, found: Reliability) -> dict[str, Any]:
    """ECE with its noise floor, the Brier score, what they mean, and the counts behind them."""
    facts = calibration(found)
    return {**asdict(facts), "note": direction_words(facts, config), "bins": dump_reliability(found)}


def _test(config: RunConfig, trained: Trained, data_dir: Path) -> dict[str, Any]:
    """Loss and accuracy on the test set, which is logged; without numbers but with a note where that is impossible."""
    try:
        return _evaluated(config, trained, data_dir)
    except RegstudyError as error:
        return {"images": 0, "note": str(error)}
    except Exception as error:  # the data set may be the user's own code
        return {"images": 0, "note": f"The evaluation on the test set failed: {describe(error)}."}


def _evaluated(config: RunConfig, trained: Trained, data_dir: Path) -> dict[str, Any]:
    """What was measured on the test set. It is logged before anybody sees it; OSError or FileError if that fails."""
    test = open_test(config.data, data_dir).to(trained.state.device)
    state = trained.state
    names = extra_metrics(config)
    found = measure(state.model, test, state.preprocessing, names, state.positive)
    facts = {
        "images": len(test),
        "loss": found.loss,
        "accuracy": found.accuracy,
        **found.extra,
        "calibration": _calibration(config, found.reliability),
        "hash": test.hash,
        "opened": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    openings = data_dir / TEST_LOG_FILE
    make_folder(data_dir)
    earlier = read_bytes(openings) if openings.exists() else b""
    facts["opening"] = 1 + earlier.count(f'"hash": "{test.hash}"'.encode())
    with path_errors(openings, "written"), openings.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"data": config.data.name, **facts}) + "\n")  # in one write: others may append, too
    return facts
