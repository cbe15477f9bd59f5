"""The output folder of `regstudy train`: its files, who may replace them, and which of them an earlier one has left."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from regstudy.config.fingerprint import fingerprint, hashed
from regstudy.config.run_config import RunConfig
from regstudy.errors import FileError
from regstudy.files import check_folder, outputs, read_bytes, write_atomically
from regstudy.files.paths import given_path, shown
from regstudy.production.preprocessing_file import OLD_WEIGHTS_FILE, PREPROCESSING_FILE, WEIGHTS_FILE
from regstudy.space.loader import config_text, load_config

CONFIG_FILE, METRICS_FILE, EPOCHS_FILE = "config.yaml", "metrics.json", "epochs.csv"
PREDICTIONS_FILE, CONFUSION_FILE, CLASSES_FILE = "predictions.csv", "confusion.csv", "classes.csv"
DIAGRAM_FILE, ERRORS_FILE, CARD_FILE = "reliability.svg", "errors.html", "MODEL_CARD.md"
CHECKPOINT_FILE = "checkpoint.pt"
OPENING_FILE = "opening.json"  # exists while the test part is being measured
OF_AN_EVALUATION = (PREDICTIONS_FILE, CONFUSION_FILE, CLASSES_FILE, DIAGRAM_FILE, ERRORS_FILE)
NAMES = (
    CONFIG_FILE,
    METRICS_FILE,
    EPOCHS_FILE,
    WEIGHTS_FILE,
    OLD_WEIGHTS_FILE,
    CARD_FILE,
    CHECKPOINT_FILE,
    OPENING_FILE,
    *OF_AN_EVALUATION,
    PREPROCESSING_FILE,
)
EPOCHS_BEGIN = rb"\Aepoch,train_loss,train_accuracy,"
METRICS_BEGIN = rb'\A\{\n  "outcome": '  # how every metrics.json begins
CHECKPOINTS = re.compile(r"checkpoint\.(seed\d+\.)?(finished\.)?pt")  # of `seed_runs`; no others are ours
MEMBER = re.compile(r"seed_[1-9]\d*")
MOST_BYTES = 100_000_000  # of metrics.json


def member_folder(number: int) -> str:
    """The folder of one of several seeds, from 1."""
    return f"seed_{number}"


def unfinished(out: Path) -> bool:
    """Whether a training has been interrupted here and can resume."""
    return bool(_checkpoints(out))


def _checkpoints(out: Path) -> list[Path]:
    return [path for path in out.glob("checkpoint*.pt") if CHECKPOINTS.fullmatch(path.name)]


def check_training_output(out: Path, overwrite: bool = False, seeds: int = 1) -> None:
    """FileError if a training's results cannot be written to a folder, or would replace what is not a training's.

    The file of the configuration says whose the folder is; a training that ran to its end has left its metrics, too.
    """
    check_folder(out)
    files: dict[Path, Sequence[bytes]] = {out / name: () for name in NAMES}
    files[out / METRICS_FILE] = (METRICS_BEGIN,)
    for number in range(1, seeds + 1) if seeds > 1 else ():
        files |= _member_files(out / member_folder(number))
    try:
        first = out / (CONFIG_FILE if (out / CONFIG_FILE).exists() else METRICS_FILE)
        outputs.check_outputs({first: files[first]}, "train", overwrite)
        ours = first.exists()
    except FileError:
        ours = False
    remedy = "Choose another output folder (-o), or replace the files with --overwrite."
    outputs.check_outputs(files, "train", overwrite or ours, remedy)


def check_start(out: Path, config: RunConfig) -> None:
    """FileError if the training would replace the weights that it starts from.

    They are needed until its end, to resume, and afterward, to train again.
    """
    start, folder = _start(config), out.absolute()
    if start is None or start.name != WEIGHTS_FILE:
        return
    if start.parent == folder or (start.parent.parent == folder and MEMBER.fullmatch(start.parent.name)):
        raise FileError(
            f"model.weights (--init): the training starts from {shown(start)}, which its own weights would replace."
            " Choose another output folder (-o)."
        )


def _start(config: RunConfig) -> Path | None:
    """The file of the weights that a training starts from, if it starts from a file."""
    return None if config.model.weights is None else given_path(config.model.weights).absolute()


@contextmanager
def marked(out: Path, config: RunConfig) -> Iterator[None]:
    """Within this block the configuration marks the folder as a training's; what fails at once leaves no trace.

    An earlier training that lies there then keeps its own configuration, without which its weights are of no use.
    """
    marker, existed = out / CONFIG_FILE, out.exists()
    before = read_bytes(marker) if marker.exists() else None
    write_atomically(marker, config_content(config))
    try:
        yield
    except BaseException:
        if before is not None and not unfinished(out):
            write_atomically(marker, before)
        elif before is None and not unfinished(out):
            marker.unlink(missing_ok=True)
            if not existed:
                with suppress(OSError):  # something else has been put there meanwhile
                    out.rmdir()
        raise


def config_content(config: RunConfig) -> str:
    """The text of config.yaml."""
    head = f"# Written by {outputs.mark('train', sealed=True)}.\n"
    return outputs.seal(head + config_text(config.model_dump(mode="json")))


def config_hash(config: RunConfig) -> str:
    """Identifies a configuration in metrics.json; the images may be moved to another folder."""
    moved = config.data.model_copy(update={"root": None})
    return fingerprint(hashed(config.model_copy(update={"data": moved}).model_dump(mode="json"), RunConfig))


def write_metrics(out: Path, metrics: Mapping[str, Any]) -> None:
    """Write metrics.json."""
    write_atomically(out / METRICS_FILE, json.dumps(metrics, indent=2) + "\n")


def remove_stale(out: Path, config: RunConfig, members: int) -> None:
    """Delete what an earlier training has left, before the first weights of this one are written.

    Its metrics go, too, so that nobody takes them for those of the new weights if writing is interrupted. Its old
    weights stay if this training has started from them.
    """
    start = _start(config)
    for name in (METRICS_FILE, OLD_WEIGHTS_FILE, PREPROCESSING_FILE, CARD_FILE, *OF_AN_EVALUATION):
        if (out / name).absolute() != start:
            (out / name).unlink(missing_ok=True)
    wanted = {member_folder(number) for number in range(1, members + 1)}
    for folder in out.iterdir():
        if MEMBER.fullmatch(folder.name) and folder.name not in wanted and folder.is_dir():
            with suppress(OSError, FileError):  # the user keeps something there
                outputs.check_outputs(_member_files(folder), "train")
                for path in _member_files(folder):
                    path.unlink(missing_ok=True)
                folder.rmdir()


def _member_files(folder: Path) -> dict[Path, Sequence[bytes]]:
    """The files of one of several seeds, with the signs by which they are known."""
    return {folder / WEIGHTS_FILE: (), folder / EPOCHS_FILE: (EPOCHS_BEGIN,)}


def remove_checkpoints(out: Path) -> None:
    """Delete what only an interrupted training needs; last of all what says that the test part was being measured."""
    for file in (*_checkpoints(out), out / OPENING_FILE):
        file.unlink(missing_ok=True)


def read_metrics(out: Path) -> dict[str, Any]:
    """The metrics of a training that has ended; FileError if there are none, or if they cannot be read."""
    if not out.is_dir():
        what = "is a file" if out.exists() else "does not exist"
        raise FileError(f"{shown(out)} {what}. Give the output folder of `regstudy train`.")
    path = out / METRICS_FILE
    if not path.exists():
        why = (
            "its training has not ended. Give its `regstudy train` command again; it resumes."
            if unfinished(out)
            else "it is not the output folder of `regstudy train`."
        )
        raise FileError(f"{shown(out)} has no {METRICS_FILE}: {why}")
    try:
        content = read_bytes(path, MOST_BYTES)
        metrics = json.loads(content)
        if not isinstance(metrics, dict) or not isinstance(metrics.get("data"), dict) or "best_epoch" not in metrics:
            raise ValueError
    except (ValueError, RecursionError):
        raise FileError(
            f"{shown(path)} cannot be used: it is damaged, or `regstudy train` did not write it. Train again with the"
            " configuration next to it."
        ) from None
    return metrics


def read_training(out: Path) -> tuple[RunConfig, dict[str, Any]]:
    """The configuration and the metrics of a training that has ended; FileError if they do not belong together."""
    metrics = read_metrics(out)
    path = out / CONFIG_FILE
    if not path.exists():
        raise FileError(f"{shown(out)} has no {CONFIG_FILE}, so its network is not known. Restore it from a copy.")
    config = load_config(path)
    if metrics.get("config_hash", config_hash(config)) != config_hash(config):
        why = (
            "A training with another configuration has been interrupted here. Give its command again; it resumes."
            if unfinished(out)
            else "Somebody has changed one of them, or a training was interrupted at its start. Train again."
        )
        raise FileError(f"{shown(path)} is not the configuration of the results in {METRICS_FILE}. {why}")
    if not metrics["best_epoch"]:
        raise FileError(f"The training in {shown(out)} diverged, so it has no weights. Train with other settings.")
    return config, metrics
