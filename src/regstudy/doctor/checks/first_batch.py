"""The first batch before training: initial loss, gradients, dead units and the size of the first update.

Everything runs on copies with dropout off; the model, its optimizer and torch's generator stay unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from regstudy.doctor.findings import Chart, Finding, Result, Severity
from regstudy.doctor.setup import LAYERS, Setup, quiet

MAX_FIRST_BATCH = 128  # images
INITIAL_LOSS_DISTORTS, INITIAL_LOSS_BLOCKS = 2.0, 6.0  # times the logarithm of the number of outputs
MAX_SCORE_STD = 4.0  # of the logits before training
MAX_GRADIENT_NORM = 1e3  # on the first batch
MIN_GRADIENT_RATIO = 1e-6  # first layer against the steepest one, both relative to their weights
DEAD_SHARE_DISTORTS, DEAD_SHARE_BLOCKS = 0.4, 0.9  # of a layer's units


def first_batch(setup: Setup, inputs: Tensor, labels: Tensor) -> Result:
    """Loss, gradients and dead units on a batch N×C×H×W before the first step."""
    model, optimizer = setup.copied()
    images, wanted = inputs[:MAX_FIRST_BATCH], labels[:MAX_FIRST_BATCH]
    with quiet(model):
        model.zero_grad(set_to_none=True)
        scores = model(images)
        loss = setup.loss(scores.float(), wanted).mean()
        loss.backward()  # type: ignore[no-untyped-call]
    value, expected = float(loss.detach()), math.log(max(scores.shape[1], 2))
    norms = _gradients(model)
    total = math.sqrt(sum(norm**2 for norm, _ in norms.values()))
    found = [*_exploding(value, total, norms), *_loss(value, expected, scores), *_dead(model)]
    found += [*_silent(_with_open_branches(setup, model, images, wanted)), *_vanishing(norms)]
    updates = _updates(model, optimizer)
    looked = (
        f"Before training the loss is {value:.2f} (chance: ln {scores.shape[1]} = {expected:.2f}) and the gradient norm"
        f" {total:.3g}. Relative to the weights, the first update is {_between(updates.values())} per layer."
    )
    chart = Chart(
        "gradients",
        f"Relative size of the first update per layer: {_between(updates.values())}",
        "layer (input to output)",
        "norm relative to weight norm",
        {
            "gradient": (tuple(norms), tuple(norm / max(size, 1e-12) for norm, size in norms.values())),
            "first update": (tuple(updates), tuple(updates.values())),
        },
        kind="bars",
        log_y=True,
    )
    return Result(looked, tuple(found), (chart,))


def _with_open_branches(setup: Setup, model: nn.Module, images: Tensor, labels: Tensor) -> nn.Module:
    """The model with the gradients of a batch, or a copy whose scales are 1 where they start at 0 and learn.

    Many residual networks start with branches that are scaled by 0, so nothing in them gets a gradient in the very
    first step, although all of it does from then on.
    """
    closed = [
        name
        for name, p in model.named_parameters()
        if p.ndim <= 1 and not name.endswith("bias") and p.grad is not None and p.grad.any() and not p.any()
    ]
    if not closed:
        return model
    copy, _ = setup.copied()
    with torch.no_grad():
        for name in closed:
            copy.get_parameter(name).fill_(1.0)
    with quiet(copy):
        copy.zero_grad(set_to_none=True)
        setup.loss(copy(images).float(), labels).mean().backward()  # type: ignore[no-untyped-call]
    return copy


def _gradients(model: nn.Module) -> dict[str, tuple[float, float]]:
    """Norms of gradient and weights of each trainable layer."""
    return {
        name: (float(module.weight.grad.norm()), float(module.weight.detach().norm()))
        for name, module in model.named_modules()
        if isinstance(module, LAYERS) and module.weight.grad is not None
    }


def _updates(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Size of an optimizer step for each layer's weights, relative to their norm; takes that step."""
    layers = {name: module.weight for name, module in model.named_modules() if isinstance(module, LAYERS)}
    before = {name: weight.detach().clone() for name, weight in layers.items()}
    optimizer.step()
    return {
        name: float((weight.detach() - before[name]).norm() / before[name].norm().clamp(min=1e-12))
        for name, weight in layers.items()
        if weight.grad is not None
    }


def _between(shares: Iterable[float]) -> str:
    """The range of some shares as text."""
    known = [share for share in shares if math.isfinite(share)]
    return f"{min(known):.2%} to {max(known):.2%}" if known else "nothing"


def _exploding(value: float, total: float, norms: dict[str, tuple[float, float]]) -> list[Finding]:
    if math.isfinite(value) and math.isfinite(total) and total < MAX_GRADIENT_NORM:
        return []
    if math.isnan(value) or math.isnan(total):  # no number at all: an operation is undefined, nothing grew too large
        what = "loss" if math.isnan(value) else "gradient"
        first = next((name for name, (norm, _) in norms.items() if math.isnan(norm)), "")
        return [
            Finding(
                "not-a-number",
                "training",
                "blocks",
                f"The {what} of the very first batch is not a number (NaN), so nothing can be learned.",
                (f"Loss {value:.3g}, gradient norm {total:.3g}; first layer with NaN: {first or 'none'}.",),
                "Look for NaN in the inputs and the initial weights, and for a division by zero, a logarithm or a root"
                " of a negative number, or an overflow (far too large inputs or weights) in the model or the loss.",
            )
        ]
    worst = max(norms, key=lambda name: norms[name][0], default="")
    finite = math.isfinite(total) and math.isfinite(value)
    return [
        Finding(
            "exploding-gradients",
            "training",
            "blocks" if not finite or total >= 10 * MAX_GRADIENT_NORM else "distorts",
            "Exploding gradients: the very first update changes the weights too much.",
            (f"Loss {value:.3g}, gradient norm {total:.3g}; the largest gradient is in layer {worst or 'unknown'}.",),
            "Check for too large initial weights, missing normalization layers, and inputs that are not normalized.",
        )
    ]


def _loss(value: float, expected: float, scores: Tensor) -> list[Finding]:
    spread = float(scores.detach().std())
    if not math.isfinite(value) or (value < INITIAL_LOSS_DISTORTS * expected + 0.5 and spread < MAX_SCORE_STD):
        return []
    severity: Severity = "blocks" if value > INITIAL_LOSS_BLOCKS * expected + 1 else "distorts"
    return [
        Finding(
            "initial-loss",
            "training",
            severity,
            f"The initial loss is {value:.1f} (chance: {expected:.2f}) and the standard deviation of the logits is"
            f" {spread:.1f}: the untrained model makes confident wrong predictions.",
            (
                f"Expected: ln {scores.shape[1]} = {expected:.2f}; measured: {value:.2f}.",
                f"Standard deviation of the logits: {spread:.1f} (usually 1 or less).",
            ),
            "Check the scale of the inputs, the initial weights of the last layer, and frozen layers whose batch"
            " normalization statistics do not fit these images.",
            "certain" if severity == "blocks" else "very likely",
        )
    ]


def _silent(model: nn.Module) -> list[Finding]:
    """Trainable parameters that get no gradient."""
    silent = [
        (name, p) for name, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    total = sum(p.numel() for p in model.parameters() if p.requires_grad)
    weights = [(name, p) for name, p in silent if p.ndim > 1]
    lost = sum(p.numel() for _, p in weights)
    if not weights or lost < 0.01 * total:
        return []
    return [
        Finding(
            "no-gradient",
            "training",
            "blocks" if lost >= 0.5 * total else "distorts",
            f"{lost / total:.0%} of the trainable parameters get no gradient.",
            (f"No gradient: {', '.join(name for name, _ in weights[:4])}.",),
            "Look for layers that are never called, `detach()` or `no_grad()` in the forward pass, or dead units.",
        )
    ]


def _dead(model: nn.Module) -> list[Finding]:
    """Layers many of whose units get no gradient from any image of the batch because their ReLU is always zero."""
    shares = {}
    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, LAYERS)]
    for name, module in layers[:-1]:
        gradient = module.weight.grad
        if gradient is not None and bool(gradient.any()):
            shares[name] = float((gradient.flatten(1).abs().amax(1) == 0).float().mean())
    if not shares or max(shares.values()) < DEAD_SHARE_DISTORTS:
        return []
    worst = max(shares, key=lambda name: shares[name])
    return [
        Finding(
            "dead-units",
            "training",
            "blocks" if shares[worst] >= DEAD_SHARE_BLOCKS else "distorts",
            f"{shares[worst]:.0%} of the units of layer {worst} are dead: no image of the batch activates them.",
            tuple(
                f"{name}: {share:.0%} get no gradient."
                for name, share in shares.items()
                if share >= DEAD_SHARE_DISTORTS
            )[:4],
            "Check the biases before ReLUs, the scale of the inputs, and the learning rate of earlier training. Leaky"
            " ReLU or batch normalization prevents dead units.",
            "very likely",
        )
    ]


def _vanishing(norms: dict[str, tuple[float, float]]) -> list[Finding]:
    relative = {name: norm / max(size, 1e-12) for name, (norm, size) in norms.items() if norm > 0}
    if len(relative) < 3 or not all(math.isfinite(value) for value in relative.values()):
        return []
    first, steepest = next(iter(relative.values())), max(relative.values())
    if first >= MIN_GRADIENT_RATIO * steepest:
        return []
    return [
        Finding(
            "vanishing-gradients",
            "training",
            "distorts",
            "Vanishing gradients: the first layers will hardly learn.",
            (f"Relative to its weights, the first layer's gradient is {first / steepest:.1e} of the largest one.",),
            "Use batch normalization, residual connections, or a different weight initialization.",
            "very likely",
        )
    ]
