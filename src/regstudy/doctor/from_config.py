"""The examination of a space or configuration: images, model and optimizer as in a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from regstudy import data, models
from regstudy.config.plugins import is_plugin
from regstudy.config.run_config import RunConfig
from regstudy.config.schema import Data
from regstudy.data.image_set import Splits
from regstudy.data.preprocessing import prepare
from regstudy.doctor.checks import class_counts, config_checks, regularizer_checks, split_checks
from regstudy.doctor.examine import (
    Depth,
    OnCheck,
    PlannedCheck,
    data_checks,
    input_part_checks,
    model_checks,
    run_checks,
)
from regstudy.doctor.findings import Diagnosis, Finding, Result
from regstudy.doctor.parts import part_of_set
from regstudy.doctor.setup import Setup
from regstudy.errors import RegstudyError
from regstudy.files.paths import given_path
from regstudy.space.ranges import Range, Scalar
from regstudy.space.search_space import Parameter, Space, Switch, default, probes
from regstudy.training.decay import is_decoupled
from regstudy.training.train_state import start


def examine_space(
    space: Space,
    splits: Splits,
    *,
    data_dir: Path,
    device: torch.device,
    depth: Depth = "default",
    on_progress: OnCheck | None = None,
) -> Diagnosis:
    """Examine what a search of a space would train: its images, and its model at the strongest regularization.

    Regularizers are at the strong ends of their ranges, all other values at their defaults. The test part of a user's
    data set is read only to hash its pixels. Raises RegstudyError if images and model do not fit.
    """
    config, searched = strongest(space), {parameter.path for parameter in space.parameters()}
    config = config.in_phases()[0]
    state = start(config, splits, device)
    shape = splits.train.shape[0], state.preprocessing.side, len(splits.train.classes)
    models.check_answers(config.model, state.model, *shape)
    preprocess = prepare(config.preprocessing, splits.train)  # data checks run on the CPU, whatever the device
    groups = () if splits.train.groups is None else splits.train.groups.tolist()
    train = part_of_set(splits.train, preprocess, groups, _folder(config.data), config.data.fit)
    validation = part_of_set(splits.validation, preprocess)
    for group in state.optimizer.param_groups:
        group["lr"] = config.optimizer.lr
    setup = Setup(
        state.model,
        state.optimizer,
        config.training.batch_size,
        decoupled=config.regularization.l2 if is_decoupled(config) else 0.0,
        pretrained=config.model.weights is not None,
        steps=-(-len(train) // config.training.batch_size) * config.training.epochs,
        dropout=config.model.dropout,
    )
    names = splits.train.classes
    balance: class_counts.Balance = "set" if config.training.balance != "none" else "none"
    if "training.balance" in searched:
        balance = "searched"
    held = splits.validation.per_class
    checks = [
        *data_checks(train, validation, names, None, depth, balance, config.training.metric, splits.folds),
        PlannedCheck("metric", "split", lambda: config_checks.deciding_metric(config, held, names, splits.positive)),
        PlannedCheck("validation and test", "split", lambda: _against_test(config, splits, data_dir)),
        PlannedCheck(
            "few images",
            "split",
            lambda: config_checks.resampling(config, splits.train.per_class, own_validation=splits.own_validation),
        ),
        *input_part_checks(train, validation, depth, configured=True),
        *model_checks(setup, train, validation, len(names), depth, configured=True, smallest=smallest_batch(space)),
        PlannedCheck("schedule", "training", lambda: config_checks.schedule(config, searched)),
        PlannedCheck("early stopping", "training", lambda: config_checks.patience(config, searched)),
        PlannedCheck("augmentation", "regularizers", lambda: config_checks.augmentation(config, searched)),
        PlannedCheck("train accuracy", "regularizers", lambda: config_checks.running_accuracy(config)),
        PlannedCheck(
            "weight decay under batch normalization",
            "regularizers",
            lambda: regularizer_checks.decay_under_norm(setup, searched),
        ),
    ]
    diagnosis = run_checks(checks, depth, space.name, on_progress)
    rules = [str(f.changes["data.group"]) for f in diagnosis.findings if f.id == "groups-straddle" and f.changes]
    findings = tuple(with_changes(finding, config, rules) for finding in diagnosis.findings)
    return replace(diagnosis, findings=findings)


def _folder(config: Data) -> Path | None:
    """Where the paths of images start, if they are files."""
    if config.file is not None:
        return given_path(config.file, "data.file").parent
    return None if config.root is None else Path(config.root).expanduser()


def with_changes(finding: Finding, config: RunConfig, rules: Sequence[str]) -> Finding:
    """A finding with the changes that fix it in this configuration; ``rules`` are patterns for groups."""
    if finding.id == "copies" and finding.changes and rules:
        return replace(finding, changes={"data.group": rules[0]})
    if finding.id != "dropout-before-batchnorm":
        return finding
    changes: dict[str, object] = {"model.block_dropout": 0.0} if config.model.block_dropout else {}
    if config.model.name == "resnet18_dropout" and config.model.options.get("position", "blocks") == "blocks":
        changes["model.options.position"] = "head"
    return replace(finding, changes=changes)


def smallest_batch(space: Space) -> int:
    """The smallest batch size in the space."""
    return min(RunConfig.model_validate(tree).training.batch_size for tree in probes(space))


def strongest(space: Space) -> RunConfig:
    """The configuration with each regularizer at the strong end of its range and all other values at their defaults."""

    def choose(parameter: Parameter) -> Scalar:
        if parameter.path in RunConfig.regularizers:
            if isinstance(parameter.spec, Switch):
                return True
            if isinstance(parameter.spec, Range):
                return parameter.spec.high
        return default(parameter)

    return space.resolve(choose)


def _against_test(config: RunConfig, splits: Splits, data_dir: Path) -> Result:
    """Whether validation images are test images; labels of the test part are not read, and no model sees it.

    Only for a user's data set: the test part of a published one is separate, and might have to be downloaded.
    """
    own = config.data.root is not None or config.data.file is not None or is_plugin(config.data.name)
    if not own:
        return Result(
            f"Validation images of {config.data.name} come from its training part; its test part was not opened."
        )
    try:
        test = data.open_test(config.data, data_dir)
    except RegstudyError as error:
        return Result(f"Skipped: there is no test set to compare with. {error}")
    if test.shape != splits.validation.shape:
        return Result("Skipped: test images have a different size.")
    return split_checks.validation_is_test(splits.validation.images, test.images)
