"""Is each regularizer active: dropout in train mode only, weight decay on weights, and no harmful combinations?"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from regstudy.doctor.findings import Finding, Result
from regstudy.doctor.setup import DROPOUTS, LAYERS, NORMS, Setup, batch_norms
from regstudy.text import counted

MAX_PASS_IMAGES = 32  # images
MAX_ROUNDING_DIFFERENCE = 1e-6  # relative difference of outputs that rounding makes
MIN_DECAY_EFFECT = (
    1e-3  # relative size of the change that a decay makes in a whole run, or of a gradient, below which it is none
)


def dropout(setup: Setup, inputs: Tensor) -> Result:
    """Whether dropout is active in train mode and inactive in eval mode, tried on a batch N×C×H×W."""
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
        f"{len(present)} dropout layers. Two forward passes on the same images differ by {trains:.1%} in train mode and"
        f" by {evaluates:.1%} in eval mode."
    )
    found = []
    if evaluates > MAX_ROUNDING_DIFFERENCE:
        found.append(
            Finding(
                "random-evaluation",
                "regularizers",
                "blocks",
                "The model is still random in eval mode: dropout or another noise source stays on.",
                (looked, *([f"Always in train mode: {', '.join(awake[:4])}."] if awake else [])),
                "Call `model.eval()` before evaluating, and pass `training=self.training` to functional dropout.",
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
                f"Dropout is set to {rate:g} but has no effect in train mode.",
                (looked, *([f"Always in eval mode: {', '.join(asleep[:4])}."] if asleep else [])),
                "Call `model.train()` before each epoch. A model left in eval mode trains without dropout, whatever the"
                " rate.",
            )
        )
    elif asleep and trains > MAX_ROUNDING_DIFFERENCE:
        sentence = f"{len(asleep)} of {len(present)} dropout layers have no effect in train mode."
        advice = "Call `model.train()` before each epoch."
        evidence = (f"Always in eval mode: {', '.join(asleep[:4])}.",)
        found.append(Finding("dropout-inactive", "regularizers", "distorts", sentence, evidence, advice))
    return Result(looked, tuple(found))


@torch.no_grad()
def _differs(model: nn.Module, images: Tensor, training: bool) -> float:
    """How much two forward passes on the same images differ, relative to the size of the outputs."""
    with torch.random.fork_rng(devices=[]):
        model.train(training)
        torch.manual_seed(0)
        first = model(images).float()
        torch.manual_seed(1)
        second = model(images).float()
    return float((first - second).abs().max() / first.abs().max().clamp(min=1e-12))


@torch.no_grad()
def order(setup: Setup, inputs: Tensor) -> Result:
    """Whether dropout comes before batch normalization, from the order of the layers in a forward pass on N×C×H×W."""
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
    looked = (
        f"{sum(drops for _, drops in met)} dropout layers, {len(before)} of them before a batch normalization layer."
    )
    if not before:
        return Result(looked)
    finding = Finding(
        "dropout-before-batchnorm",
        "regularizers",
        "distorts",
        "Dropout comes before batch normalization, so batch normalization sees a different variance in train and eval"
        " mode.",
        (
            f"{len(before)} dropout layers (for example {before[0]}) are followed by batch normalization.",
            "Dropout with rate p raises the variance by up to 1/(1 − p) in train mode but not in eval mode (Li et al.,"
            " Understanding the Disharmony between Dropout and Batch Normalization, 2019).",
        ),
        "Move dropout after the last batch normalization, just before the last layer.",
        "certain",
    )
    return Result(looked, (finding,))


def _noting(met: list[tuple[str, bool]], name: str, drops: bool):  # type: ignore[no-untyped-def]
    def hook(*_: object) -> None:
        met.append((name, drops))

    return hook


def decay(setup: Setup, inputs: Tensor, labels: Tensor) -> Result:
    """Whether weight decay is applied to weights and is strong enough to matter.

    With an adaptive optimizer, coupled decay matters if it is not a tiny part of the gradient. Decoupled or with SGD,
    w shrinks by 1 − exp(−lr·λ·steps) over a run without a gradient, for which the number of steps must be known.
    """
    learning = [module.weight for module in setup.model.modules() if isinstance(module, LAYERS)]
    weights = {id(weight) for weight in learning if weight.requires_grad}
    groups = [group for group in setup.optimizer.param_groups if group.get("weight_decay")]
    rates = [(float(group["weight_decay"]), group["params"]) for group in groups]
    reached = {id(p) for _, parameters in rates for p in parameters} & weights
    amount = max([rate for rate, _ in rates] + [setup.decoupled])
    if amount == 0:
        return Result("Weight decay is off.")
    decoupled = setup.decoupled > 0 or isinstance(setup.optimizer, torch.optim.AdamW)
    reached |= weights if setup.decoupled else set()
    looked = f"Weight decay {amount:.3g} applies to {len(reached)} of {len(weights)} weight tensors."
    if len(reached) < len(weights) * 0.5:
        finding = Finding(
            "decay-misses",
            "regularizers",
            "distorts",
            "Weight decay is not applied to most weights; it is set for other parameters.",
            (
                looked,
                f"It is set for {sum(len(parameters) for _, parameters in rates)} tensors in total.",
            ),
            "Apply weight decay to the weights of convolutional and linear layers.",
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
        effect, words = shrinks, f"Over {counted(setup.steps, 'step')} it shrinks weights by at most {shrinks:.2%}."
    else:
        effect = amount * _relative_weight(setup, inputs, labels)
        words = f"Before training it is {effect:.1e} of the gradient norm."
    if effect >= MIN_DECAY_EFFECT:
        return Result(f"{looked} {words}")
    finding = Finding(
        "decay-too-weak",
        "regularizers",
        "distorts",
        f"Weight decay {amount:.1e} is too weak to have an effect.",
        (
            looked,
            words,
            "Code that sums the loss over a batch of N needs N times the weight decay of code that averages it.",
        ),
        "Search a range that can matter: 1e-5 to 5e-3 for coupled L2, 1e-3 to 0.3 for decoupled decay (AdamW).",
        "very likely",
    )
    return Result(looked, (finding,))


def _relative_weight(setup: Setup, inputs: Tensor, labels: Tensor) -> float:
    """Norm of the weights divided by the norm of their gradient on a batch."""
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
    """Whether L2 acts on weights whose scale batch normalization cancels; ``searched`` names hyperparameters."""
    norms = batch_norms(setup.model)
    amount = max([float(g.get("weight_decay") or 0) for g in setup.optimizer.param_groups] + [setup.decoupled])
    asked = amount > 0 or "regularization.l2" in set(searched)
    looked = f"{len(norms)} batch normalization layers; L2 is {'in use' if asked else 'off'}."
    if not norms or not asked:
        return Result(looked)
    finding = Finding(
        "decay-under-batchnorm",
        "regularizers",
        "note",
        "With batch normalization, L2 does not limit what the model can express; it changes the effective learning"
        " rate.",
        (
            f"Batch normalization follows {counted(len(norms), 'layer')}, so rescaling weights changes no output (van"
            " Laarhoven, 2017).",
        ),
        "Tune the learning rate together with L2 before attributing a gain to L2.",
    )
    return Result(looked, (finding,))
