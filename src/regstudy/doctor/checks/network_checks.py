"""The model before training: its outputs, its trainable part, and the batch size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from regstudy.doctor.findings import Finding, Result, Severity
from regstudy.doctor.setup import LAYERS, Setup, batch_norms, quiet
from regstudy.text import counted

MIN_NORM_BATCH, BLOCKING_NORM_BATCH = 16, 4  # smaller batches distort, or block, batch normalization
MIN_FROZEN_SHARE = 0.5  # of the parameters or of the layers
MIN_KURTOSIS_WEIGHTS, MIN_TRAINED_KURTOSIS = (
    500,
    3.5,
)  # weights of a layer that is judged, and the kurtosis from which they count as trained
MAX_OUTPUT_IMAGES = 64
HEAD_WEIGHT_FACTOR = 100.0  # logits leave any bounds when the last layer is scaled by this, squashed outputs do not


@torch.no_grad()
def outputs(setup: Setup, inputs: Tensor, classes: int) -> Result:
    """The model's outputs for a batch N×C×H×W: one logit per class, as cross-entropy needs."""
    with quiet(setup.model) as model:
        state = {name: value.clone() for name, value in model.state_dict().items()}
        scores = model(inputs[:MAX_OUTPUT_IMAGES]).float()
        model.load_state_dict(state)  # running statistics as they were
    looked = (
        f"Output shape {tuple(scores.shape)} for {classes} classes; range {scores.min():.2f} to {scores.max():.2f}."
    )
    if scores.ndim != 2 or scores.shape[1] < classes:
        sentence = f"The model has {scores.shape[-1]} outputs, but there are {classes} classes."
        advice = "Give the last layer one output per class."
        return Result(looked, (Finding("head-size", "training", "blocks", sentence, (looked,), advice),))
    found = []
    if scores.shape[1] > classes:
        found.append(_wide_head(scores, classes))
    found += _squashed(scores, _louder(setup, inputs[:MAX_OUTPUT_IMAGES]))
    return Result(looked, tuple(found))


def _wide_head(scores: Tensor, classes: int) -> Finding:
    wrong = float(scores.softmax(1)[:, classes:].sum(1).mean())
    return Finding(
        "head-size",
        "training",
        "distorts",
        f"The model has {scores.shape[1]} outputs, but there are only {classes} classes.",
        (
            f"{scores.shape[1] - classes} outputs have no class. Before training they take {wrong:.0%} of the predicted"
            " probability.",
        ),
        "Give the last layer one output per class. Replace a head that was made for another data set.",
        "certain",
        {"model.options.head_size": None},
    )


def _louder(setup: Setup, images: Tensor) -> Tensor:
    """The model's outputs with its last layer's weights times `HEAD_WEIGHT_FACTOR`: logits then leave any bounds."""
    model, _ = setup.copied()
    layers = [module for module in model.modules() if isinstance(module, LAYERS)]
    for parameter in layers[-1].parameters() if layers else ():
        parameter.mul_(HEAD_WEIGHT_FACTOR)
    with quiet(model):
        scores: Tensor = model(images).float()
    return scores


def _squashed(scores: Tensor, louder: Tensor) -> list[Finding]:
    """Outputs that an activation keeps within bounds; ``louder`` are those with a scaled last layer."""
    total = scores.sum(1)
    both = torch.cat([scores, louder])
    inside = float(both.min()) >= 0 and float(both.max()) <= 1
    if inside and bool(((total - 1).abs() < 1e-3).all()) and scores.shape[1] > 1:
        floor = math.log(1 + (scores.shape[1] - 1) / math.e)
        return [
            Finding(
                "softmax-inside",
                "training",
                "blocks",
                "The model ends in a softmax, and cross-entropy applies a second one, so predictions stay uncertain.",
                (
                    "All outputs are between 0 and 1 and sum to 1 for every image.",
                    f"Even perfect predictions would have a loss of {floor:.2f}.",
                ),
                "Remove the softmax from the model: cross-entropy expects logits.",
            )
        ]
    if float(scores.min()) >= 0 and float((scores == 0).float().mean()) > 0.05:
        return [
            Finding(
                "outputs-clipped",
                "training",
                "blocks",
                "A ReLU follows the last layer: negative logits become zero and get no gradient.",
                (f"No output is negative, and {float((scores == 0).float().mean()):.0%} are exactly zero.",),
                "Remove the activation after the last layer.",
                "very likely",
            )
        ]
    if inside and float(louder.std()) > 1e-4:
        return [
            Finding(
                "outputs-squashed",
                "training",
                "distorts",
                "All outputs are between 0 and 1, as after a sigmoid, but cross-entropy expects logits.",
                (f"They range from {float(scores.min()):.3f} to {float(scores.max()):.3f}.",),
                "Remove the activation after the last layer.",
                "likely",
            )
        ]
    return []


def frozen(setup: Setup) -> Result:
    """How much of the model is trainable, and whether the frozen part was ever trained."""
    model = setup.model
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    total, still = sum(size for size, _ in sizes), sum(size for size, learns in sizes if not learns)
    weights = [module.weight for module in model.modules() if isinstance(module, LAYERS)]
    held = [weight for weight in weights if not weight.requires_grad]
    looked = (
        f"Trainable: {total - still:,} of {total:,} parameters, {len(weights) - len(held)} of {len(weights)} layers."
    )
    found = []
    if still and (still >= MIN_FROZEN_SHARE * total or len(held) >= MIN_FROZEN_SHARE * len(weights)):
        fresh = not setup.pretrained and _untrained(model, held)
        severity: Severity = "blocks" if fresh or still == total else "distorts"
        evidence = [f"{still / total:.1%} of the parameters and {len(held)} of {len(weights)} layers are frozen."]
        if fresh:
            evidence.append("The frozen layers still have their random initial weights.")
        found.append(
            Finding(
                "frozen",
                "training",
                severity,
                "Most of the model is frozen"
                + (" at its random initial weights." if fresh else " and cannot adapt to these images."),
                tuple(evidence),
                "Train all layers (`model.trainable: all`), with a small learning rate if they are pretrained.",
                "certain" if severity == "blocks" else "likely",
                {"model.trainable": "all"},
            )
        )
    drifting = _drifting(model)
    if drifting and still:
        found.append(
            Finding(
                "frozen-batchnorm",
                "training",
                "distorts",
                "Batch normalization in frozen layers still updates its running statistics, so these layers change.",
                (f"{len(drifting)} frozen layers (for example {drifting[0]}) update their running statistics.",),
                "Keep frozen layers in eval mode during training.",
            )
        )
    return Result(looked, tuple(found))


def _untrained(model: nn.Module, weights: Sequence[Tensor]) -> bool:
    """Whether batch normalization never saw a batch; without any, whether weights are distributed as at initialization.

    Initial weights are uniform (kurtosis 1.8) or normal (3); training leaves heavier tails.
    """
    means = [mean for _, module in batch_norms(model) if isinstance(mean := module.running_mean, Tensor)]
    if means:
        return not any(bool(mean.any()) for mean in means)
    tails = [_kurtosis(weight.detach()) for weight in weights if weight.numel() >= MIN_KURTOSIS_WEIGHTS]
    return all(tail < MIN_TRAINED_KURTOSIS for tail in tails)


def _kurtosis(values: Tensor) -> float:
    away = values.double() - values.double().mean()
    return float((away**4).mean() / (away**2).mean().clamp(min=1e-30) ** 2)


def _drifting(model: nn.Module) -> list[str]:
    before = {module: module.training for module in model.modules()}
    model.train()
    names = [
        name
        for name, module in batch_norms(model)
        if module.training
        and getattr(module, "track_running_stats", False)
        and any(True for _ in module.parameters())
        and not any(p.requires_grad for p in module.parameters())
    ]
    for module, training in before.items():
        module.training = training
    return names


def covered(setup: Setup) -> Result:
    """Whether the optimizer has all trainable parameters."""
    given = {id(p) for group in setup.optimizer.param_groups for p in group["params"]}
    learning = [(name, p) for name, p in setup.model.named_parameters() if p.requires_grad]
    missing = [(name, p) for name, p in learning if id(p) not in given]
    total, lost = sum(p.numel() for _, p in learning), sum(p.numel() for _, p in missing)
    looked = f"The optimizer has {len(learning) - len(missing)} of {len(learning)} trainable tensors."
    if not missing:
        return Result(looked)
    share = lost / max(total, 1)
    finding = Finding(
        "not-in-optimizer",
        "training",
        "blocks" if share >= 0.1 else "distorts",
        f"{share:.0%} of the trainable parameters are missing from the optimizer, so they never change.",
        (looked, f"Missing: {_listed([name for name, _ in missing])}."),
        "Create the optimizer with `model.parameters()` after replacing layers, not before.",
    )
    return Result(looked, (finding,))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def batches(setup: Setup, training: int, smallest: int | None = None) -> Result:
    """Whether batches are large enough for batch normalization, of ``training`` images.

    ``smallest`` is the smallest size in the search space, if it is searched.
    """
    norms, size = batch_norms(setup.model), min(smallest or setup.batch_size, training)
    active = [name for name, module in norms if any(p.requires_grad for p in module.parameters())]
    looked = f"Batch size {size}; {len(norms)} batch normalization layers."
    if active and size >= MIN_NORM_BATCH and setup.steps is None and training % size == 1:
        finding = Finding(
            "last-batch-of-one",
            "training",
            "note",
            "The last batch of each epoch has a single image, and batch normalization needs at least two.",
            (f"{training:,} images in batches of {size} leave one image over.",),
            "Drop the last batch (`drop_last=True`) or change the batch size. regstudy itself skips such a batch.",
        )
        return Result(looked, (finding,))
    if not active or size >= MIN_NORM_BATCH:
        return Result(looked)
    finding = Finding(
        "small-batches",
        "training",
        "blocks" if size < BLOCKING_NORM_BATCH else "distorts",
        f"A batch size of {size} is too small for batch normalization: its batch statistics are mostly noise.",
        (
            f"{counted(len(active), 'layer')} with batch normalization: mean and variance are estimated from"
            f" {counted(size, 'image')}, with an error of about {100 / size**0.5:.0f}% of the standard deviation"
            " between images. Validation uses running averages.",
        ),
        f"Use a batch size of at least {MIN_NORM_BATCH} (`training.batch_size`), or another normalization layer.",
        "certain",
        {"training.batch_size": MIN_NORM_BATCH},
    )
    return Result(looked, (finding,))
