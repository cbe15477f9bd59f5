"""`regstudy evaluate`: measure the test part with the weights of a training that has ended."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch

from regstudy.data import check_test
from regstudy.data.image_set import Splits
from regstudy.data.loading_events import OnProgress, listening
from regstudy.errors import DataError
from regstudy.files import outputs
from regstudy.production.stored_model import check_same_splits, stored_model, stored_preprocessing
from regstudy.production.test_set_log import TestSetLog
from regstudy.production.training_folder import (
    CARD_FILE,
    METRICS_FILE,
    OF_AN_EVALUATION,
    OPENING_FILE,
    read_training,
    remove_checkpoints,
)
from regstudy.production.training_results import measure_test, write_results


def evaluate_later(out: Path, data_dir: Path, device: torch.device, listen: OnProgress | None = None) -> dict[str, Any]:
    """Measure all seeds of a training on the test set, in one logged opening, and write the results; returns the
    metrics.

    An evaluation that was interrupted is taken up and is no further opening. DataError, with all files as they were, if
    the test set cannot be measured.
    """
    config, metrics = read_training(out)
    check_test(config.data)
    log = TestSetLog(data_dir)
    log.check()
    names = (METRICS_FILE, CARD_FILE, OPENING_FILE, *OF_AN_EVALUATION)
    outputs.check_outputs({out / name: () for name in names}, "train", overwrite=True)  # all are a training's

    @cache
    def splits() -> Splits:
        return check_same_splits(config, metrics, data_dir, listen)

    facts = stored_preprocessing(out, config, splits, listen)
    model = stored_model(out, config, metrics, facts, device)
    taken_up = (out / OPENING_FILE).exists()  # the training was interrupted after its last epoch
    with listening(listen):
        test, scores = measure_test(metrics, model, log, out)
    if scores is None:
        (out / OPENING_FILE).unlink(missing_ok=True)
        raise DataError(f"The test set was not measured. {test['note']}")
    write_results(out, config, metrics, scores)
    if taken_up:
        remove_checkpoints(out)
    (out / OPENING_FILE).unlink(missing_ok=True)  # checkpoints of a later training stay, so that it can resume
    return metrics
