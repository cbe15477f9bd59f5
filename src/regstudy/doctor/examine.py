"""The examination: all checks in the doctor's order, on one's own `torch` data sets and model or on a run's.

A check whose premise an earlier blocking finding has destroyed is not made: it says what must be fixed first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from regstudy.doctor.checks import (
    capacity_checks,
    input_checks,
    leakage,
    network_checks,
    regularizer_checks,
    split_checks,
    training_checks,
)
from regstudy.doctor.checks.label_order import judge_labels
from regstudy.doctor.findings import STAGES, Checked, Diagnosis, Finding, Media, Result, Sure, Unjudged, in_order
from regstudy.doctor.parts import Part, on_one_grid, part_of
from regstudy.doctor.setup import Loss, Setup
from regstudy.doctor.usable import check_arguments, check_forward, check_parts
from regstudy.errors import ArgumentError, RegstudyError

Depth = Literal["preflight", "default", "full"]
DEPTHS: tuple[Depth, ...] = ("preflight", "default", "full")
OnCheck = Callable[[str], None]

MAX_JUDGED_LABELS = {"preflight": 1_500, "default": 3_000, "full": 3_000}  # images by which labels are judged
MAX_JUDGED_INPUTS = {"preflight": 200, "default": 512, "full": 512}  # images whose inputs are looked at
MAX_TRAINING_SECONDS = {"default": 20.0, "full": 300.0}  # that each training at several sizes may take


@dataclass(frozen=True)
class PlannedCheck:
    """A check with its stage, the stages without which it says nothing, and the depth from which it is made."""

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
    """Examine one's own images and, if given, a model with its optimizer; nothing of them is changed.

    ``train``, ``validation`` and ``test`` are `torch` data sets or loaders of (image, label), or pairs (images
    N×C×H×W, labels N), with images as the network gets them. ``loss`` is of (outputs N×C, labels N). ``classes`` names
    the labels; groups (a slide, a person) and paths are one per image; ``steps`` is how many batches the training has.
    Raises ArgumentError for arguments that are not allowed, and DataError for images and labels that cannot be read so
    or that the model cannot take.
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
    """Make the checks of a depth in the doctor's order, as far as earlier findings leave them a meaning."""
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
        except RegstudyError:
            raise
        except Exception as error:  # a network, an optimizer or a loss of one's own may raise anything
            why = f"the check failed: {type(error).__name__}: {error}"
            unjudged.append(Unjudged(check.name, check.stage, " ".join(why.split())))
            continue
        findings += result.findings
        media += result.media
        checked.append(Checked(check.name, check.stage, result.looked_at, len(result.findings)))
    return Diagnosis(
        subject, in_order(findings), tuple(checked), tuple(unjudged), tuple(media), time.perf_counter() - began
    )


def _why_not(check: PlannedCheck, depth: Depth, findings: Sequence[Finding]) -> str | None:
    """Why a check is not made, if it is not: by the depth asked for, or by what was found before."""
    if DEPTHS.index(check.depth) > DEPTHS.index(depth):
        return f"made with --{check.depth}" if check.depth == "full" else "left out of the preflight"
    reasons = [f.id for f in findings if f.severity == "blocks" and f.stage in check.needs]
    return f"not judged until {' and '.join(dict.fromkeys(reasons))} is fixed" if reasons else None


def data_checks(
    train: Part, validation: Part, names: Sequence[str], test: Part | None, depth: Depth, balanced: bool = False
) -> Iterator[PlannedCheck]:
    """Checks of leakage, labels and split, which need no network; ``balanced`` as of `split_checks.class_counts`."""
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
    yield PlannedCheck(
        "classes", "split", lambda: split_checks.class_counts(train.labels, validation.labels, names, balanced)
    )
    yield PlannedCheck("likeness of the parts", "split", lambda: _apart(train, validation))
    if test is not None:
        tested = test.images
        yield PlannedCheck(
            "validation and test", "split", lambda: split_checks.validation_is_test(validation.images, tested)
        )


def _groups_in_names(train: Part, validation: Part) -> Result:
    images, labels = torch.cat([train.images, validation.images]), torch.cat([train.labels, validation.labels])
    found = leakage.groups_in_names(images, labels, (*train.paths, *validation.paths), len(train))
    if found is None:
        return Result("File names do not tell groups of images that look alike.")
    sure: Sure = "very likely" if found.level >= leakage.CONFIDENT_STANDARD_ERRORS else "likely"
    result = leakage.straddling(found.keys[: len(train)], found.keys[len(train) :], sure, found.pattern)
    why = (
        f"Images whose names share '{found.pattern}' are {found.alike:.2f} standard deviations more alike in light and"
        f" contrast than others of their class ({found.level:.1f} standard errors)."
    )
    findings = tuple(replace(finding, evidence=(*finding.evidence, why)) for finding in result.findings)
    return Result(f"{result.looked_at} {why}", findings)


def _apart(train: Part, validation: Part) -> Result:
    result = split_checks.parts_apart(train.images, validation.images, train.labels, validation.labels)
    if not train.random and not validation.random:
        return result
    looked = f"{result.looked_at} At least one part is changed at random whenever it is read, so this is not judged."
    return Result(looked, (), result.media)


def input_part_checks(train: Part, validation: Part, depth: Depth, configured: bool = False) -> Iterator[PlannedCheck]:
    """Checks of what the network gets."""
    own, held = train.some(MAX_JUDGED_INPUTS[depth]), validation.some(MAX_JUDGED_INPUTS[depth])
    yield PlannedCheck("size of inputs", "inputs", lambda: input_checks.scale(train.inputs(own), configured))
    known = train.levels is not None and validation.levels is not None

    def alike() -> Result:
        differ = not known and bool(_apart(train, validation).findings)
        return input_checks.alike(
            train.inputs(own), validation.inputs(held), train.levels, validation.levels, pixels_differ=differ
        )

    yield PlannedCheck("normalisation of both parts", "inputs", alike)
    yield PlannedCheck(
        "normalisation of each image", "inputs", lambda: input_checks.stretched(train.images[own], train.inputs(own))
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
    """Checks of the network and its first steps.

    ``own_rate`` tells that the learning rate is the user's, ``configured`` that a configuration decides it,
    ``smallest`` is the least batch that a search may choose.
    """
    device = next((p.device for p in setup.model.parameters()), torch.device("cpu"))
    inputs, labels = _some(train, MAX_JUDGED_INPUTS[depth], device)  # in random order: a part of them has all classes
    working = frozenset({"inputs"})
    yield PlannedCheck("outputs", "training", lambda: network_checks.outputs(setup, inputs, classes))
    yield PlannedCheck("frozen layers", "training", lambda: network_checks.frozen(setup))
    if own_rate:
        yield PlannedCheck("optimizer's parameters", "training", lambda: network_checks.covered(setup))
    yield PlannedCheck("batch size", "training", lambda: network_checks.batches(setup, len(train), smallest))
    yield PlannedCheck("first batch", "training", lambda: training_checks.first_batch(setup, inputs, labels), working)
    if own_rate:
        yield PlannedCheck(
            "learning rate",
            "training",
            lambda: training_checks.learning_rate(setup, inputs, labels, configured, depth == "full"),
            frozenset({"inputs", "training"}),
            "default",
        )
    yield PlannedCheck("dropout", "regularizers", lambda: regularizer_checks.dropout(setup, inputs))
    yield PlannedCheck("dropout's place", "regularizers", lambda: regularizer_checks.order(setup, inputs))
    yield PlannedCheck("weight decay", "regularizers", lambda: regularizer_checks.decay(setup, inputs, labels), working)
    yield PlannedCheck("parameters", "capacity", lambda: capacity_checks.parameters(setup, len(train)))
    earlier = frozenset({"data", "split", "inputs", "training"})
    yield PlannedCheck(
        "amount of data",
        "capacity",
        lambda: capacity_checks.data_size(
            setup,
            _some(train, capacity_checks.MAX_CURVE_IMAGES, device),
            _some(validation, capacity_checks.MAX_EVAL_IMAGES, device),
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


def _some(part: Part, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Inputs and labels of at most so many images, in random order, where the network is."""
    positions = part.some(count)
    positions = positions[torch.randperm(len(positions), generator=torch.Generator().manual_seed(1))]
    return part.inputs(positions).to(device), part.labels[positions].to(device)
