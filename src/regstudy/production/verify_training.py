"""`regstudy verify`: measure the weights of a training again, and say whether its numbers still come out.

Numbers are compared as they are stored. The same to the bit is what the same machine, versions and number of threads
give; a millionth is what another order of additions explains.
"""

from __future__ import annotations

import csv
import io
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from regstudy.config.run_config import RunConfig
from regstudy.data import check_test
from regstudy.data.image_set import ImageSet, Splits
from regstudy.data.loading_events import OnProgress, listening
from regstudy.errors import DataError, FileError
from regstudy.files import read_bytes
from regstudy.files.paths import shown
from regstudy.metrics import CLEAN_TRAIN, GAP, VALIDATION
from regstudy.production.measured_model import MeasuredModel, ModelUnderTest, seed_facts
from regstudy.production.seed_runs import Trainer
from regstudy.production.stored_model import checked, same_splits, stored_model, stored_preprocessing
from regstudy.production.test_set_log import TestSetLog, opened_test
from regstudy.production.training_folder import EPOCHS_FILE, member_folder, read_metrics, read_training
from regstudy.production.training_request import BOTH, TRAIN, TrainingRequest
from regstudy.production.training_results import epochs_csv
from regstudy.production.versions import versions
from regstudy.text import counted
from regstudy.training.devices import available_devices

CLOSE = 1e-6
NOT_COMPARED = ("seconds",)  # of a curve


@dataclass(frozen=True)
class Compared:
    """What was compared, and the largest difference; ``where`` names it, with both values."""

    what: str
    numbers: int
    difference: float = 0.0
    where: str = ""

    @property
    def same(self) -> bool:
        """Whether the numbers are the same but for rounding."""
        return self.difference <= CLOSE

    def __str__(self) -> str:
        if self.difference == 0:
            return f"{self.what}: the same to the bit ({counted(self.numbers, 'number')})."
        if self.same:
            return f"{self.what}: the same within {CLOSE:g} (largest difference {self.difference:.1g}, {self.where})."
        amount = f" by up to {self.difference:.3g}" if math.isfinite(self.difference) else ""
        return f"{self.what}: differs{amount} ({self.where})."


@dataclass(frozen=True)
class Verification:
    """Whether a training's numbers came out again. ``problems`` are other differences, such as in the images."""

    compared: list[Compared]
    problems: list[str] = field(default_factory=list)
    versions: dict[str, tuple[str, str]] = field(default_factory=dict)  # that differ: then and now
    notes: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether everything is the same."""
        return not self.problems and all(one.same for one in self.compared)

    def __str__(self) -> str:
        changed = [f"{name}: {then} → {now}" for name, (then, now) in self.versions.items()]
        lines = [*self.problems, *map(str, self.compared), *self.notes]
        lines.append(f"Differs from the training: {'; '.join(changed)}." if changed else "All versions are the same.")
        lines.append("The same." if self.same else "Not the same.")
        return "\n".join(lines)


def verify_training(
    out: Path,
    data_dir: Path,
    device: torch.device,
    listen: OnProgress | None = None,
    *,
    test: bool = False,
    retrain: bool = False,
) -> Verification:
    """Measure the stored weights on the validation images again, and compare with the stored numbers.

    Without validation images (``--on train+validation``) it is the training images. With ``test`` also on the test set,
    which is a logged opening; with ``retrain`` the training is done again in a temporary folder, and the curves are
    compared. Nothing in ``out`` changes, but that a missing preprocessing.json is written.
    """
    config, metrics = read_training(out)
    log = TestSetLog(data_dir)
    if test:
        _check_test(out, config, metrics, log)

    splits, different = same_splits(config, metrics, data_dir, listen)
    facts = stored_preprocessing(out, config, lambda: checked(splits, different), listen)
    model = stored_model(out, config, metrics, facts, device)
    held_out = metrics.get("on", TRAIN) == TRAIN
    images = splits.validation if held_out else splits.clean_train
    part = "validation" if held_out else "clean_train"
    compared = [_compare_part(metrics, model.on(part, images), model, part)]
    problems, notes = [different] if different else [], []
    if test:
        found, digest, opening = _measured_again(metrics, model, log, listen)
        compared.append(found)
        notes.append(f"This was evaluation no. {opening} on this test set.")
        if digest != metrics["test"].get("hash", digest):
            problems.append(f"The test images are not those of the training: their hash is {digest} now.")
    if retrain:
        compared += _retrained(out, config, metrics, splits, device, listen)
    then, now = metrics.get("versions"), versions(device)
    if then is None:
        then = {"threads": str(metrics["threads"])} if "threads" in metrics else {}
        notes.append("The training is of an older version, which did not note the versions that it used.")
    changed = {name: (value, now[name]) for name, value in then.items() if name in now and now[name] != value}
    return Verification(compared, problems, changed, notes)


def _check_test(out: Path, config: RunConfig, metrics: Mapping[str, Any], log: TestSetLog) -> None:
    """FileError before the test set is opened if there is nothing to compare with."""
    if not metrics.get("test", {}).get("images"):
        raise FileError(
            f"{shown(out)} has no numbers of a test set to compare with, so it was not opened. Measure them with"
            f" `regstudy evaluate {shown(out)}`."
        )
    check_test(config.data)
    log.check()


def _compare_part(metrics: Mapping[str, Any], measured: MeasuredModel, model: ModelUnderTest, part: str) -> Compared:
    """The stored numbers of a part, of the model and of each seed, against those that were measured again."""
    pairs = list(_pairs(metrics, measured, model, part))
    words = {"clean_train": "training images, eval mode"}.get(part, f"{part} images")
    what = f"{len(measured.images):,} {words}"
    if len(model.numbers) > 1:
        what += f", {len(model.numbers)} seeds"
    return _largest(what, pairs)


def _pairs(
    metrics: Mapping[str, Any], measured: MeasuredModel, model: ModelUnderTest, part: str
) -> Iterator[tuple[str, float, float]]:
    scores = seed_facts(measured.scores(model.shape))
    stored = metrics.get(part)
    if stored is None:  # of version 0.1.0
        stored = {name: metrics[VALIDATION + name] for name in scores if VALIDATION + name in metrics}
    yield from ((name, stored[name], now) for name, now in scores.items() if name in stored)
    entries = {one["number"]: one.get(part, {}) for one in metrics.get("seeds", [])}
    for number, seed in zip(model.numbers, measured.seeds, strict=True):
        then = entries.get(number, {})
        for name, now in seed_facts(seed).items():
            if name in then:
                yield f"{name} of seed {number}", then[name], now


def _largest(what: str, pairs: list[tuple[str, float, float]]) -> Compared:
    """The largest difference; NaN equals NaN."""
    worst, where = 0.0, ""
    for name, then, now in pairs:
        if then == now or (math.isnan(then) and math.isnan(now)):
            continue
        difference = abs(then - now)
        if math.isnan(difference) or difference > worst:
            worst, where = (math.inf if math.isnan(difference) else difference), f"{name}: {then!r} → {now!r}"
    return Compared(what, len(pairs), worst, where)


def _measured_again(
    metrics: Mapping[str, Any], model: ModelUnderTest, log: TestSetLog, listen: OnProgress | None
) -> tuple[Compared, str, int]:
    """The test numbers, the hash of the test images, and which opening of them this was."""
    found: list[Compared] = []

    def measure(images: ImageSet) -> dict[str, Any]:
        measured = model.on("test", images)
        found.append(_compare_part(metrics, measured, model, "test"))
        return {"images": len(images), **seed_facts(measured.scores(model.shape)), "verified": True}

    with listening(listen):
        test = opened_test(model.config.data, log, model.identity(None), model.device, measure)
    if not test["images"]:
        raise DataError(f"The test set was not measured. {test['note']}")
    return found[0], test["hash"], test["opening"]


def _retrained(
    out: Path,
    config: RunConfig,
    metrics: Mapping[str, Any],
    splits: Splits,
    device: torch.device,
    listen: OnProgress | None,
) -> Iterator[Compared]:
    """The curve of each seed against that of a training that is done again."""
    stored = metrics.get("seeds", [])
    request = TrainingRequest(BOTH if metrics.get("on", TRAIN) == BOTH else TRAIN, max(len(stored), 1))
    with tempfile.TemporaryDirectory(prefix="regstudy-verify-") as folder:
        again = Trainer(config, splits, device, Path(folder), listen=listen).all_seeds(request)
    if not again.runs[0].number:  # the one that fixes the epochs diverged, so no other was started
        yield Compared("A new training", 0, math.inf, again.runs[0].result.reason)
        return
    for one in again.runs:
        place = out / member_folder(one.number) if stored else out
        then, now = _stored_curve(place / EPOCHS_FILE), _curve(epochs_csv(one.result.records))
        yield _compare_curves(f"Curve of a new training{f', seed {one.number}' if stored else ''}", then, now)


Curve = list[dict[str, float]]  # the values of each epoch by their names


def _stored_curve(path: Path) -> Curve:
    try:
        return _curve(read_bytes(path).decode())
    except ValueError:
        raise FileError(f"{shown(path)} cannot be used: it is not the curve that `regstudy train` wrote.") from None


def _curve(text: str) -> Curve:
    """The lines of an epochs.csv; an empty cell is NaN."""
    rows = csv.DictReader(io.StringIO(text), restval="", restkey="more")
    return [{name: float(value or "nan") for name, value in row.items() if name not in NOT_COMPARED} for row in rows]


def _compare_curves(what: str, then: Curve, now: Curve) -> Compared:
    if len(then) != len(now):
        return Compared(what, len(then), math.inf, f"{counted(len(then), 'epoch')} → {counted(len(now), 'epoch')}")
    pairs = [
        (f"{name} in epoch {epoch}", old[name], new[name])
        for epoch, (old, new) in enumerate(zip(then, now, strict=True), start=1)
        for name in old
        if name in new and not (name.startswith((CLEAN_TRAIN, GAP)) and math.isnan(old[name]) != math.isnan(new[name]))
    ]  # versions differ in how often they measure in eval mode
    return _largest(what, pairs)


def as_trained(out: Path, device: str | None, threads: int | None) -> tuple[str | None, int | None]:
    """The device and the number of threads of a training where none are given and this machine has them."""
    metrics = read_metrics(out)
    then = metrics.get("versions", {}).get("device")
    if device is None and then in available_devices():
        device = str(then)
    if threads is None and isinstance(metrics.get("threads"), int) and metrics["threads"] <= (os.cpu_count() or 1):
        threads = metrics["threads"]
    return device, threads
