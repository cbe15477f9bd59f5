"""Whether the learning rate fits: short training runs at fractions and multiples of it.

Everything runs on copies with dropout off; the model, its optimizer and torch's generator stay unchanged.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from torch import Tensor

from regstudy.doctor.findings import Chart, Finding, Result, Severity
from regstudy.doctor.setup import Setup, descend
from regstudy.text import counted

LR_FACTORS = (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0)
NEIGHBOR_LR_FACTORS = (0.1, 1.0, 10.0)  # tried if the given rate learns
COARSE_LR_FACTORS = (1e-2, 1.0, 100.0)  # tried if steps are slow
MAX_LR_STEPS, MIN_LR_STEPS, LONGER_LR_FACTOR = 60, 12, 4  # the last: times as many steps if no rate learns
MAX_LR_IMAGES, MIN_LR_BATCH = 256, 32  # for trying learning rates in few steps
MAX_LR_SECONDS = 30.0  # for trying all learning rates
LEARNED_SHARE, STUCK_SHARE = 0.5, 0.15  # relative drop of the loss
TOO_SMALL_BLOCKS, TOO_LARGE_DISTORTS, TOO_LARGE_BLOCKS = 30.0, 0.1, 0.03  # best learning rate / given one


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
