"""Is each regularizer really active: dropout in training only, decay on weights, and nothing that undoes another?"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from regstudy.doctor.findings import Finding, Result
from regstudy.doctor.setup import DROPOUTS, LAYERS, NORMS, Setup, batch_norms

MAX_PASS_IMAGES = 32  # images
MAX_ROUNDING_DIFFERENCE = 1e-6  # relative difference of outputs that rounding makes
MIN_DECAY_EFFECT = (
    1e-3  # relative size of the change that a decay makes in a whole run, or of a gradient, below which it is none
)


def dropout(setup: Setup, inputs: Tensor) -> Result:
    """Whether dropout drops while training and is silent in evaluation, tried on a batch N×C×H×W."""
    model, _ = setup.copied()
    images = inputs[:MAX_PASS_IMAGES]
    rates = {name: float(module.p) for name, module in model.named_modules() if isinstance(module, DROPOUTS)}
    present = {name: rate for name, rate in rates.items() if rate > 0}
    trains, evaluates = _differs(model, images, training=True), _differs(model, images, training=False)
    model.train()
    asleep = [name for name, module in model.named_modules() if name in present and not module.training]
    model.eval()
    awake = [name for name, module in model.named_modules() if name in present and module.training]
    looked = (
        f"{len(present)} dropout layers; two passes over the same images differ by {trains:.1%} in training mode and by"
        f" {evaluates:.1%} in evaluation mode."
    )
    found = []
    if evaluates > MAX_ROUNDING_DIFFERENCE:
        found.append(
            Finding(
                "random-evaluation",
                "regularizers",
                "blocks",
                "In evaluation mode the network still answers at random: dropout or another noise is on.",
                (looked, *([f"In training mode all the time: {', '.join(awake[:4])}."] if awake else [])),
                "Call `model.eval()` before measuring, and give `training=self.training` to functional dropout.",
            )
        )
    wanted = setup.dropout or 0.0
    if trains <= MAX_ROUNDING_DIFFERENCE and (present or wanted > 0):
        rate = max([*present.values(), wanted])
        found.append(
            Finding(
                "dropout-inactive",
                "regularizers",
                "distorts",
                f"Dropout {rate:g} is asked for but drops nothing while training.",
                (looked, *([f"In evaluation mode all the time: {', '.join(asleep[:4])}."] if asleep else [])),
                "Call `model.train()` before each epoch; a network whose layers are left in evaluation mode trains"
                " without dropout, whatever its rate.",
            )
        )
    elif asleep and trains > MAX_ROUNDING_DIFFERENCE:
        sentence = f"{len(asleep)} of {len(present)} dropout layers drop nothing while training."
        advice = "Call `model.train()` before each epoch."
        evidence = (f"In evaluation mode all the time: {', '.join(asleep[:4])}.",)
        found.append(Finding("dropout-inactive", "regularizers", "distorts", sentence, evidence, advice))
    return Result(looked, tuple(found))


@torch.no_grad()
def _differs(model: nn.Module, images: Tensor, training: bool) -> float:
    """By how much two passes over the same images differ, relative to the size of the outputs."""
    with torch.random.fork_rng(devices=[]):
        model.train(training)
        torch.manual_seed(0)
        first = model(images).float()
        torch.manual_seed(1)
        second = model(images).float()
    return float((first - second).abs().max() / first.abs().max().clamp(min=1e-12))


@torch.no_grad()
def order(setup: Setup, inputs: Tensor) -> Result:
    """Whether dropout comes before batch normalisation, seen from the order in which a batch N×C×H×W meets them."""
    model, _ = setup.copied()
    met: list[tuple[str, bool]] = []
    hooks = []
    for name, module in model.named_modules():
        drops = isinstance(module, DROPOUTS) and module.p > 0
        if drops or isinstance(module, NORMS):
            hooks.append(module.register_forward_hook(_noting(met, name, drops)))
    with torch.random.fork_rng(devices=[]):
        model.eval()
        model(inputs[:MAX_PASS_IMAGES])
    for hook in hooks:
        hook.remove()
    last = max((at for at, (_, drops) in enumerate(met) if not drops), default=-1)
    before = [name for at, (name, drops) in enumerate(met) if drops and at < last]
    looked = f"{sum(drops for _, drops in met)} dropout layers, {len(before)} of them before a batch normalisation."
    if not before:
        return Result(looked)
    finding = Finding(
        "dropout-before-batchnorm",
        "regularizers",
        "distorts",
        "Dropout comes before batch normalisation, which then measures another spread in training than in evaluation.",
        (
            f"{len(before)} dropout layers, such as {before[0]}, are followed by batch normalisation.",
            "Dropping with rate p raises the variance by up to 1/(1 − p) in training and not in evaluation (Li et al.,"
            " Understanding the Disharmony between Dropout and Batch Normalization, 2019).",
        ),
        "Put dropout behind the last batch normalisation, before the last layer.",
        "certain",
    )
    return Result(looked, (finding,))


def _noting(met: list[tuple[str, bool]], name: str, drops: bool):  # type: ignore[no-untyped-def]
    def hook(*_: object) -> None:
        met.append((name, drops))

    return hook


def decay(setup: Setup, inputs: Tensor, labels: Tensor) -> Result:
    """Whether weight decay reaches weights and changes them by anything that counts.

    Beside adaptive steps a decay counts if it is no tiny part of the gradient; decoupled or with SGD, w shrinks by
    1 − exp(−lr·λ·steps) over a run if nothing pulls the other way, which needs the number of steps.
    """
    learning = [module.weight for module in setup.model.modules() if isinstance(module, LAYERS)]
    weights = {id(weight) for weight in learning if weight.requires_grad}
    groups = [group for group in setup.optimizer.param_groups if group.get("weight_decay")]
    rates = [(float(group["weight_decay"]), group["params"]) for group in groups]
    reached = {id(p) for _, parameters in rates for p in parameters} & weights
    amount = max([rate for rate, _ in rates] + [setup.decoupled])
    if amount == 0:
        return Result("No weight decay is asked for.")
    decoupled = setup.decoupled > 0 or isinstance(setup.optimizer, torch.optim.AdamW)
    reached |= weights if setup.decoupled else set()
    looked = f"Weight decay {amount:.3g} reaches {len(reached)} of {len(weights)} weight tensors."
    if len(reached) < len(weights) * 0.5:
        finding = Finding(
            "decay-misses",
            "regularizers",
            "distorts",
            "Weight decay does not reach the weights: it is set for parameters that hold none.",
            (
                looked,
                f"{sum(len(parameters) for _, parameters in rates)} other tensors (biases, normalisation) have it.",
            ),
            "Give the decay to the weights of convolutions and dense layers.",
        )
        return Result(looked, (finding,))
    return _too_weak(setup, amount, decoupled, looked, inputs, labels)


def _too_weak(setup: Setup, amount: float, decoupled: bool, looked: str, inputs: Tensor, labels: Tensor) -> Result:
    shrinks = None
    if decoupled or isinstance(setup.optimizer, torch.optim.SGD):
        if setup.steps is None:
            return Result(looked)
        momentum = float(setup.optimizer.param_groups[0].get("momentum", 0.0)) if not decoupled else 0.0
        shrinks = 1 - math.exp(-setup.lr / (1 - momentum) * amount * setup.steps)
        effect, words = shrinks, f"In {setup.steps:,} steps it shrinks weights by {shrinks:.2%} at most."
    else:
        effect = amount * _relative_weight(setup, inputs, labels)
        words = f"It is {effect:.1e} of the gradient before training."
    if effect >= MIN_DECAY_EFFECT:
        return Result(f"{looked} {words}")
    finding = Finding(
        "decay-too-weak",
        "regularizers",
        "distorts",
        f"Weight decay {amount:.1e} is so weak that it does nothing.",
        (looked, words, "Code that sums the loss over a batch of N needs N times the decay of code that takes means."),
        "Search a range in which it can matter: 1e-5 to 5e-3 coupled, 1e-3 to 0.3 decoupled (AdamW).",
        "very likely",
    )
    return Result(looked, (finding,))


def _relative_weight(setup: Setup, inputs: Tensor, labels: Tensor) -> float:
    """Norm of the weights by the norm of their gradient on a batch."""
    model, _ = setup.copied()
    model.eval()
    setup.loss(model(inputs[:MAX_PASS_IMAGES]).float(), labels[:MAX_PASS_IMAGES]).mean().backward()  # type: ignore[no-untyped-call]
    pairs = [
        (module.weight.detach().norm(), module.weight.grad.norm())
        for module in model.modules()
        if isinstance(module, LAYERS) and module.weight.grad is not None
    ]
    size = math.sqrt(sum(float(w) ** 2 for w, _ in pairs))
    return size / max(math.sqrt(sum(float(g) ** 2 for _, g in pairs)), 1e-12)


def decay_under_norm(setup: Setup, searched: Iterable[str] = ()) -> Result:
    """Whether L2 acts on weights whose size batch normalisation makes meaningless; ``searched`` names open values."""
    norms = batch_norms(setup.model)
    amount = max([float(g.get("weight_decay") or 0) for g in setup.optimizer.param_groups] + [setup.decoupled])
    asked = amount > 0 or "regularization.l2" in set(searched)
    looked = f"{len(norms)} batch normalisations, L2 {'in use' if asked else 'not in use'}."
    if not norms or not asked:
        return Result(looked)
    finding = Finding(
        "decay-under-batchnorm",
        "regularizers",
        "note",
        "Under batch normalisation L2 does not limit what the network can express: it acts as a change of the learning"
        " rate.",
        (f"{len(norms)} layers are batch-normalised; scaling their weights changes no output (van Laarhoven, 2017).",),
        "Tune the learning rate along with L2 before crediting L2 with a gain.",
    )
    return Result(looked, (finding,))
