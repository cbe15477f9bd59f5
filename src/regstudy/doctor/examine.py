"""Runs all checks in the doctor's order, on the user's `torch` data sets and model or on those of a run.

A check that an earlier blocking finding makes meaningless is skipped; it says what to fix first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from regstudy.config.user_code import failure
from regstudy.doctor.checks import (
    capacity_checks,
    class_counts,
    first_batch,
    input_checks,
    leakage,
    learning_rate_check,
    network_checks,
    regularizer_checks,
    shortcuts,
    split_checks,
)
from regstudy.doctor.checks.class_counts import Balance
from regstudy.doctor.checks.label_order import judge_labels
from regstudy.doctor.findings import STAGES, Checked, Diagnosis, Finding, Media, Result, Sure, Unjudged, in_order
from regstudy.doctor.parts import Part, on_one_grid, part_of
from regstudy.doctor.setup import Loss, Setup
from regstudy.doctor.usable import check_arguments, check_forward, check_parts
from regstudy.errors import ArgumentError, RegstudyError

Depth = Literal["preflight", "default", "full"]
DEPTHS: tuple[Depth, ...] = ("preflight", "default", "full")
OnCheck = Callable[[str], None]

MAX_JUDGED_LABELS = {"preflight": 1_500, "default": 3_000, "full": 3_000}  # images in the label checks
MAX_JUDGED_INPUTS = {"preflight": 200, "default": 512, "full": 512}  # images in the checks of inputs and model
MAX_TRAINING_SECONDS = {"default": 20.0, "full": 300.0}  # per check that trains


@dataclass(frozen=True)
class PlannedCheck:
    """A check with its stage, the stages that must be free of blocking findings, and the depth from which it runs."""

    name: str
    stage: str
    make: Callable[[], Result]
    needs: frozenset[str] = frozenset()
    depth: Depth = "preflight"


def examine(
    train: Any,
    validation: Any,
    *,
    test: Any = None,
    model: nn.Module | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    loss: Loss = cross_entropy,
    batch_size: int = 32,
    classes: Sequence[str] = (),
    train_groups: Sequence[Any] = (),
    validation_groups: Sequence[Any] = (),
    train_paths: Sequence[str] = (),
    validation_paths: Sequence[str] = (),
    steps: int | None = None,
    depth: Depth = "default",
    subject: str = "data and model",
    on_progress: OnCheck | None = None,
) -> Diagnosis:
    """Examine images and, if given, a model with its optimizer. Nothing that is passed in is changed.

    ``train``, ``validation`` and ``test`` are `torch` data sets or loaders of (image, label), or pairs (images
    N×C×H×W, labels N), with images as the model gets them. ``loss`` takes (outputs N×C, labels N). ``classes`` names
    the labels; groups (such as slide or person) and paths have one entry per image; ``steps`` is the number of batches
    in the whole training. Raises ArgumentError for invalid arguments, and DataError for images and labels that cannot
    be read or that do not fit the model.
    """
    if depth not in DEPTHS:
        raise ArgumentError(f"There is no depth '{depth}'. Allowed: {', '.join(DEPTHS)}.")
    check_arguments(model, optimizer, loss, batch_size, classes, steps, on_progress)
    own = part_of(train, train_groups or (), train_paths or ())
    held = part_of(validation, validation_groups or (), validation_paths or ())
    own, held = on_one_grid(own, held)
    check_parts(own, held, len(classes or ()))
    names = tuple(classes or ()) or tuple(getattr(train, "classes", ())) or _numbers(own, held)
    tested = part_of(test) if test is not None else None
    setup = None
    if model is not None:
        given = optimizer or torch.optim.Adam(
            [p for p in model.parameters() if p.requires_grad] or [nn.Parameter(torch.zeros(1))]
        )
        setup = Setup(model, given, batch_size, loss, steps=steps)
        check_forward(model, own)
    checks = [*data_checks(own, held, names, tested, depth), *input_part_checks(own, held, depth)]
    if setup is not None:
        checks += model_checks(setup, own, held, len(names), depth, own_rate=optimizer is not None)
    return run_checks(checks, depth, subject, on_progress)


def _numbers(train: Part, validation: Part) -> tuple[str, ...]:
    return tuple(str(n) for n in range(int(max(train.labels.max(), validation.labels.max())) + 1))


def run_checks(
    checks: Sequence[PlannedCheck], depth: Depth, subject: str, on_progress: OnCheck | None = None
) -> Diagnosis:
    """Run the checks of a depth in the doctor's order, except those that earlier findings make meaningless."""
    began = time.perf_counter()
    findings: list[Finding] = []
    checked: list[Checked] = []
    unjudged: list[Unjudged] = []
    media: list[Media] = []
    stages = list(STAGES)
    for check in sorted(checks, key=lambda check: stages.index(check.stage)):
        why_not = _why_not(check, depth, findings)
        if why_not is not None:
            unjudged.append(Unjudged(check.name, check.stage, why_not))
            continue
        if on_progress:
            on_progress(check.name)
        try:
            result = check.make()
        except (RegstudyError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a user's model, optimizer or loss may raise anything
            unjudged.append(Unjudged(check.name, check.stage, f"the check failed: {failure(error)}"))
            continue
        findings += result.findings
        media += result.media
        checked.append(Checked(check.name, check.stage, result.examined, len(result.findings)))
    return Diagnosis(
        subject, in_order(findings), tuple(checked), tuple(unjudged), tuple(media), time.perf_counter() - began
    )


def _why_not(check: PlannedCheck, depth: Depth, findings: Sequence[Finding]) -> str | None:
    """Why a check is skipped, if it is: because of the depth, or of earlier findings."""
    if DEPTHS.index(check.depth) > DEPTHS.index(depth):
        return f"runs only with --{check.depth}" if check.depth == "full" else "not part of --preflight"
    reasons = [f.id for f in findings if f.severity == "blocks" and f.stage in check.needs]
    return f"fix {' and '.join(dict.fromkeys(reasons))} first" if reasons else None


def data_checks(
    train: Part,
    validation: Part,
    names: Sequence[str],
    test: Part | None,
    depth: Depth,
    balance: Balance = "none",
    decides: str = "val_accuracy",
    folds: int = 0,
) -> Iterator[PlannedCheck]:
    """Checks of leakage, labels and split, without a model.

    ``balance``, ``decides``, the metric of the study, and ``folds`` as in `class_counts.class_counts`.
    """
    grouped = bool(train.groups and validation.groups)
    yield PlannedCheck(
        "copies",
        "data",
        lambda: leakage.copies(train.images, validation.images, train.paths, validation.paths, grouped),
    )
    if grouped:
        yield PlannedCheck("groups", "data", lambda: leakage.straddling(train.groups, validation.groups))
    elif train.paths and validation.paths:
        yield PlannedCheck("groups in file names", "data", lambda: _groups_in_names(train, validation))
    yield PlannedCheck("labels", "data", lambda: judge_labels(train, validation, names, MAX_JUDGED_LABELS[depth]))
    yield PlannedCheck("shortcuts", "data", lambda: shortcuts.judge_shortcuts(train, names))
    yield PlannedCheck(
        "classes",
        "split",
        lambda: class_counts.class_counts(train.labels, validation.labels, names, balance, decides, folds),
    )
    yield PlannedCheck("train/validation similarity", "split", lambda: _apart(train, validation))
    if test is not None:
        tested = test.images
        yield PlannedCheck(
            "validation and test", "split", lambda: split_checks.validation_is_test(validation.images, tested)
        )


def _groups_in_names(train: Part, validation: Part) -> Result:
    images, labels = torch.cat([train.images, validation.images]), torch.cat([train.labels, validation.labels])
    found = leakage.groups_in_names(images, labels, (*train.paths, *validation.paths), len(train))
    if found is None:
        return Result("File names show no groups of similar images.")
    sure: Sure = "very likely" if found.standard_errors >= leakage.CONFIDENT_STANDARD_ERRORS else "likely"
    result = leakage.straddling(found.keys[: len(train)], found.keys[len(train) :], sure, found.pattern)
    why = (
        f"Images with the same '{found.pattern}' in their names are {found.similarity:.2f} standard deviations more"
        f" similar in brightness and contrast than others of their class ({found.standard_errors:.1f} standard errors)."
    )
    findings = tuple(replace(finding, evidence=(*finding.evidence, why)) for finding in result.findings)
    return Result(f"{result.examined} {why}", findings)


def _apart(train: Part, validation: Part) -> Result:
    result = split_checks.parts_apart(train.images, validation.images, train.labels, validation.labels)
    if not train.random and not validation.random:
        return result
    looked = f"{result.examined} Not judged, because at least one part is randomly augmented on each read."
    return Result(looked, (), result.media)


def input_part_checks(train: Part, validation: Part, depth: Depth, configured: bool = False) -> Iterator[PlannedCheck]:
    """Checks of the model's inputs."""
    own, held = train.sample(MAX_JUDGED_INPUTS[depth]), validation.sample(MAX_JUDGED_INPUTS[depth])
    yield PlannedCheck("input scale", "inputs", lambda: input_checks.scale(train.inputs(own), configured))
    known = train.levels is not None and validation.levels is not None

    def alike() -> Result:
        differ = not known and bool(_apart(train, validation).findings)
        return input_checks.alike(
            train.inputs(own), validation.inputs(held), train.levels, validation.levels, pixels_differ=differ
        )

    yield PlannedCheck("normalization of both parts", "inputs", alike)
    yield PlannedCheck(
        "per-image normalization", "inputs", lambda: input_checks.stretched(train.images[own], train.inputs(own))
    )


def model_checks(
    setup: Setup,
    train: Part,
    validation: Part,
    classes: int,
    depth: Depth,
    own_rate: bool = True,
    configured: bool = False,
    smallest: int | None = None,
) -> Iterator[PlannedCheck]:
    """Checks of the model and its first training steps.

    ``own_rate`` says that the learning rate is the user's, ``configured`` that a configuration sets it;
    ``smallest`` is the smallest batch size in the search space.
    """
    device = next((p.device for p in setup.model.parameters()), torch.device("cpu"))
    inputs, labels = _sample(
        train, MAX_JUDGED_INPUTS[depth], device
    )  # in random order, so that a subset has all classes
    working = frozenset({"inputs"})
    yield PlannedCheck("outputs", "training", lambda: network_checks.outputs(setup, inputs, classes))
    yield PlannedCheck("frozen layers", "training", lambda: network_checks.frozen(setup))
    if own_rate:
        yield PlannedCheck("optimizer parameters", "training", lambda: network_checks.covered(setup))
    yield PlannedCheck("batch size", "training", lambda: network_checks.batches(setup, len(train), smallest))
    yield PlannedCheck("first batch", "training", lambda: first_batch.first_batch(setup, inputs, labels), working)
    if own_rate:
        yield PlannedCheck(
            "learning rate",
            "training",
            lambda: learning_rate_check.learning_rate(setup, inputs, labels, configured, depth == "full"),
            frozenset({"inputs", "training"}),
            "default",
        )
    yield PlannedCheck("dropout", "regularizers", lambda: regularizer_checks.dropout(setup, inputs))
    yield PlannedCheck("dropout position", "regularizers", lambda: regularizer_checks.order(setup, inputs))
    yield PlannedCheck("weight decay", "regularizers", lambda: regularizer_checks.decay(setup, inputs, labels), working)
    yield PlannedCheck("parameters", "capacity", lambda: capacity_checks.parameters(setup, len(train)))
    earlier = frozenset({"data", "split", "inputs", "training"})
    yield PlannedCheck(
        "amount of data",
        "capacity",
        lambda: capacity_checks.data_size(
            setup,
            _sample(train, capacity_checks.MAX_CURVE_IMAGES, device),
            _sample(validation, capacity_checks.MAX_EVAL_IMAGES, device),
            MAX_TRAINING_SECONDS[depth],
        ),
        earlier,
        "default",
    )
    yield PlannedCheck(
        "random labels",
        "capacity",
        lambda: capacity_checks.random_labels(setup, inputs, labels, MAX_TRAINING_SECONDS[depth]),
        earlier,
        "full",
    )


def _sample(part: Part, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Inputs and labels of at most ``count`` images, in random order, on the model's device."""
    positions = part.sample(count)
    positions = positions[torch.randperm(len(positions), generator=torch.Generator().manual_seed(1))]
    return part.inputs(positions).to(device), part.labels[positions].to(device)
