"""The first training steps: initial loss and gradients, dead units, and the learning rate.

Everything runs on copies with dropout off; the model, its optimizer and torch's generator stay unchanged.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from regstudy.doctor.findings import Chart, Finding, Result, Severity
from regstudy.doctor.setup import LAYERS, Setup, descend, quiet
from regstudy.text import counted

MAX_FIRST_BATCH = 128  # images
INITIAL_LOSS_DISTORTS, INITIAL_LOSS_BLOCKS = (
    2.0,
    6.0,
)  # times the logarithm of the number of outputs
MAX_SCORE_STD = 4.0  # of the logits before training
MAX_GRADIENT_NORM = 1e3  # on the first batch
MIN_GRADIENT_RATIO = 1e-6  # first layer against the steepest one, both relative to their weights
DEAD_SHARE_DISTORTS, DEAD_SHARE_BLOCKS = 0.4, 0.9  # of a layer's units
LR_FACTORS = (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0)
NEIGHBOR_LR_FACTORS = (0.1, 1.0, 10.0)  # tried if the given rate learns
COARSE_LR_FACTORS = (1e-2, 1.0, 100.0)  # tried if steps are slow
MAX_LR_STEPS, MIN_LR_STEPS, LONGER_LR_FACTOR = 60, 12, 4  # the last: times as many steps if no rate learns
MAX_LR_IMAGES, MIN_LR_BATCH = (
    256,
    32,
)  # for trying learning rates in few steps
MAX_LR_SECONDS = 30.0  # for trying all learning rates
LEARNED_SHARE, STUCK_SHARE = 0.5, 0.15  # relative drop of the loss
TOO_SMALL_BLOCKS, TOO_LARGE_DISTORTS, TOO_LARGE_BLOCKS = (
    30.0,
    0.1,
    0.03,
)  # best learning rate / given one


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


def learning_rate(
    setup: Setup,
    inputs: Tensor,
    labels: Tensor,
    configured: bool = False,
    thorough: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> Result:
    """Short training runs on the same images N×C×H×W at fractions and multiples of the learning rate.

    ``configured`` says that `optimizer.lr` sets it; ``thorough`` tries all factors even if the given rate learns.
    ``clock`` measures how many steps are affordable.
    """
    images, wanted = inputs[:MAX_LR_IMAGES], labels[:MAX_LR_IMAGES]
    size = max(2, min(max(setup.batch_size, MIN_LR_BATCH), len(images) // 2, 64))
    began = clock()
    still = train(setup, images, wanted, 0.0, max(2, len(images) // size), size)
    per_step = (clock() - began) / len(still)
    first = sum(still) / len(still)  # of all images before training; a first batch alone may be an easy one
    steps = int(min(MAX_LR_STEPS, MAX_LR_SECONDS / per_step / len(COARSE_LR_FACTORS)))
    if steps < MIN_LR_STEPS:
        return Result(
            f"Skipped: one step takes {per_step:.1f} s, which is too slow for the {MAX_LR_SECONDS:.0f} s limit."
        )
    affordable = per_step * steps * len(LR_FACTORS) <= MAX_LR_SECONDS
    own = train(setup, images, wanted, 1.0, steps, size)
    factors: tuple[float, ...] = LR_FACTORS if affordable else COARSE_LR_FACTORS
    if 1 - _end(own) / first >= LEARNED_SHARE and not thorough:
        factors = NEIGHBOR_LR_FACTORS if affordable else (1.0,)
    courses = [own if f == 1 else train(setup, images, wanted, f, steps, size) for f in factors]
    ends = [_end(course) for course in courses]
    chart = _rates(setup.lr, factors, ends, first, steps) if len(factors) > 1 else None
    longer = None
    if 1 - min(ends) / first < STUCK_SHARE:  # a slow start is no proof: can the model memorize one batch?
        batch, tried = slice(0, size), {1.0, factors[ends.index(min(ends))]}
        longer = min(
            _end(train(setup, images[batch], wanted[batch], factor, LONGER_LR_FACTOR * steps, size)) for factor in tried
        )
    return judged(setup.lr, factors, ends, first, steps, configured, chart, longer)


def _rates(lr: float, factors: Sequence[float], ends: Sequence[float], first: float, steps: int) -> Chart:
    """The final loss of each learning rate, clipped at twice the initial loss."""
    rates = tuple(lr * factor for factor in factors)
    own = ends[list(factors).index(1.0)]
    return Chart(
        "learning-rate",
        f"At learning rate {lr:.3g}, {counted(steps, 'step')} change the loss from {first:.2f} to {_number(own)}",
        "learning rate",
        "loss",
        {
            "after training": (rates, tuple(min(end, 2 * first) for end in ends)),
            "before training": (rates, (first,) * len(rates)),
        },
        log_x=True,
    )


def train(setup: Setup, inputs: Tensor, labels: Tensor, factor: float, steps: int, size: int) -> list[float]:
    """Losses of ``steps`` steps of a copy, at ``factor`` times each group's learning rate; ends where one diverges."""
    model, optimizer = setup.copied()
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * factor
    losses: list[float] = []
    for loss in descend(setup, model, optimizer, inputs, labels, steps, size):
        losses.append(loss)
        if not math.isfinite(loss):
            break
    return losses


def _end(losses: Sequence[float]) -> float:
    """The mean of the last fifth of the losses; infinite if they are not finite."""
    if not math.isfinite(losses[-1]):
        return math.inf
    last = losses[-max(1, len(losses) // 5) :]
    return sum(last) / len(last)


def judged(
    lr: float,
    factors: Sequence[float],
    ends: Sequence[float],
    first: float,
    steps: int,
    configured: bool = False,
    chart: Chart | None = None,
    longer: float | None = None,
) -> Result:
    """The rule: judges a learning rate by the losses of short training runs at several multiples of it.

    ``longer`` is the loss after more steps at the best one, if that was tried.
    """
    best = min(range(len(ends)), key=lambda at: ends[at])
    own = ends[list(factors).index(1.0)]
    gained, most = 1 - own / first, 1 - ends[best] / first
    better, shown = lr * factors[best], (chart,) if chart else ()
    looked = (
        f"In {counted(steps, 'step')} the loss goes from {first:.2f} to {_number(own)} at learning rate {lr:.3g};"
        f" the lowest loss, {ends[best]:.2f}, is at {better:.3g}."
    )
    evidence = (
        looked,
        "Loss by learning rate: "
        + "; ".join(f"{lr * f:.3g}: {_number(end)}" for f, end in zip(factors, ends, strict=True))
        + ".",
    )
    changes = {"optimizer.lr": float(f"{better:.2g}")} if configured else {}
    lowest = ends[best] if longer is None else min(ends[best], longer)
    hopeless = first - ends[best] < 0.003 * first  # else a rate outside the tried range may work
    blown = math.isfinite(ends[0]) and not own < 1.2 * first
    beyond = (best == len(ends) - 1 and not hopeless) or (best == 0 and blown)
    if most < STUCK_SHARE and not beyond:  # no rate is better than another
        if 1 - lowest / first >= STUCK_SHARE:
            return Result(looked, (), shown)
        sentence = "The model cannot fit even a few images: no learning rate lowers its loss."
        advice = "Check the findings above, the loss function, and whether gradients reach all layers."
        return Result(looked, (Finding("cannot-learn", "training", "blocks", sentence, evidence, advice),), shown)
    if factors[best] >= TOO_SMALL_BLOCKS and gained < STUCK_SHARE * max(most, LEARNED_SHARE):
        sentence = f"The learning rate {lr:.3g} is far too small: the loss hardly falls."
        advice = f"Increase it to about {better:.2g} (`optimizer.lr`)."
        finding = Finding("lr-too-small", "training", "blocks", sentence, evidence, advice, "very likely", changes)
        return Result(looked, (finding,), shown)
    if factors[best] <= TOO_LARGE_DISTORTS and gained < STUCK_SHARE * max(most, LEARNED_SHARE):
        severity: Severity = "blocks" if factors[best] <= TOO_LARGE_BLOCKS else "distorts"
        sentence = f"The learning rate {lr:.3g} is far too large: training diverges or makes no progress."
        advice = f"Decrease it to about {better:.2g} (`optimizer.lr`)."
        finding = Finding("lr-too-large", "training", severity, sentence, evidence, advice, "very likely", changes)
        return Result(looked, (finding,), shown)
    return Result(looked, (), shown)


def _number(value: float) -> str:
    return "infinity" if not math.isfinite(value) else f"{value:.2f}" if abs(value) < 1e4 else f"{value:.1e}"
