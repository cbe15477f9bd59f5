"""What a configuration says by itself: a learning rate that never falls, no augmentation, and how accuracy is read."""

from __future__ import annotations

from collections.abc import Collection

from regstudy.config.run_config import RunConfig
from regstudy.doctor.findings import Finding, Result

MIN_EPOCHS_WITH_DECAY = 10  # epochs from which a constant learning rate is worth a word
MIN_MISLEADING_DROPOUT = 0.2  # dropout from which running training accuracy is far too low


def schedule(config: RunConfig, searched: Collection[str] = ()) -> Result:
    """Whether the learning rate falls at some time; ``searched`` names the paths that are open."""
    phases = config.in_phases()
    falls = any(phase.schedule.name != "constant" for phase in phases) or len(phases) > 1
    falls |= any(path.split(".")[0] == "schedule" for path in searched)
    looked = f"Schedule {', then '.join(phase.schedule.name for phase in phases)}, {config.planned_epochs} epochs."
    if falls or config.planned_epochs < MIN_EPOCHS_WITH_DECAY:
        return Result(looked)
    finding = Finding(
        "lr-never-decays",
        "training",
        "note",
        "The learning rate never falls: the last epochs jump about instead of settling.",
        (looked,),
        "Let it fall (`schedule: {name: cosine}`), or search schedules; then compare with `regstudy compare`.",
        "likely",
        {"schedule": {"name": "cosine"}},
    )
    return Result(looked, (finding,))


def augmentation(config: RunConfig, searched: Collection[str] = ()) -> Result:
    """Whether training images are varied at all."""
    chosen = config.augmentation
    looked = f"Augmentation of strength {chosen.strength:g}, operations: {', '.join(chosen.ops) or 'none'}."
    if "augmentation.strength" in searched or (chosen.strength and chosen.ops):
        return Result(looked)
    finding = Finding(
        "no-augmentation",
        "regularizers",
        "note",
        "Training images are never varied: augmentation is usually worth more than dropout or decay.",
        (looked,),
        "Add it to the search: `augmentation: {strength: {low: 0.0, high: 1.0}, ops: [crop, …]}`; `regstudy preview`"
        " shows what it does.",
        "likely",
    )
    return Result(looked, (finding,))


def running_accuracy(config: RunConfig) -> Result:
    """Whether accuracy measured while training would mislead about the gap."""
    extras = config.regularization
    harder = [
        f"dropout {config.model.dropout:g}" if config.model.dropout >= MIN_MISLEADING_DROPOUT else "",
        f"mix-up of {extras.mixup:.0%} of the batches" if extras.mixup else "",
        f"cut-mix of {extras.cutmix:.0%} of the batches" if extras.cutmix else "",
        f"augmentation {config.augmentation.strength:g}"
        if config.augmentation.strength and config.augmentation.ops
        else "",
    ]
    harder = [words for words in harder if words]
    if not harder:
        return Result("Nothing makes training images harder than validation images.")
    finding = Finding(
        "running-accuracy",
        "regularizers",
        "note",
        "Training accuracy that is measured while training is not comparable with validation: judge the gap by the"
        " clean one.",
        (f"While training, {', '.join(harder)} make the task harder than it is in validation.",),
        "Read `clean_train_accuracy`, measured in evaluation mode without augmentation, which regstudy always records;"
        " in a loop of your own, evaluate on training images as you do on validation images.",
    )
    return Result(f"While training: {', '.join(harder)}.", (finding,))
