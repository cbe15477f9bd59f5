"""Checks of the configuration: metric, learning rate, early stopping, augmentation, misleading train accuracy."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from regstudy.analysis.constant_answer import constant_value
from regstudy.config.run_config import RunConfig
from regstudy.doctor.findings import Finding, Result, Severity
from regstudy.metrics import metric
from regstudy.text import counted

MIN_EPOCHS_WITH_DECAY = 10  # of a training whose learning rate is expected to decay
SHORT_PATIENCE = 0.25  # share of the epochs, below which early stopping ends trials too soon; a third is advised
FEW_IMAGES = 2_000  # training images, below which k-fold cross-validation is worth its cost
FOLDS_ADVISED = 5
MIN_MISLEADING_DROPOUT = 0.2  # makes train accuracy (train mode) far too low
# of the validation images: what makes accuracy a poor judge of classes
LARGE_OF_TWO = 0.6  # share of the larger of two classes
LARGE_OF_MANY = 3.0  # ratio of the largest to the smallest of more classes
SHARE_DISTORTS = 0.8  # of the largest class: a model that knows no other one already looks good


def deciding_metric(config: RunConfig, validation: Sequence[int], names: Sequence[str], positive: int) -> Result:
    """Whether the study decides by accuracy although the classes of the validation part are unbalanced.

    ``validation`` is the number of images of each class there, ``positive`` the number of the positive one of two.
    """
    decides = config.training.metric
    looked = f"The study decides by {metric(decides).label}."
    present = [count for count in validation if count]
    if decides != "val_accuracy" or len(present) < 2:
        return Result(looked)
    two = len(names) == 2
    largest, share = names[list(validation).index(max(present))], max(present) / sum(present)
    if (share < LARGE_OF_TWO) if two else (max(present) < LARGE_OF_MANY * min(present)):
        return Result(f"{looked} Its classes are balanced enough for that.")
    severity: Severity = "distorts" if share >= SHARE_DISTORTS else "note"
    balanced = constant_value("val_balanced_accuracy", validation)
    smallest = names[list(validation).index(min(present))]
    advice = "Decide by balanced accuracy, which counts every class equally (`study.metric: balanced_accuracy`)"
    if two:
        given = "is the positive class, as `data.positive` says" if config.data.positive else "counts as positive"
        advice += (
            f", or by a metric that needs no threshold: `auroc` or `average_precision`, where {names[positive]} {given}"
        )
    finding = Finding(
        "metric-hides-classes",
        "split",
        severity,
        f"The study decides by accuracy, which hides how well {'the smaller class is' if two else 'small classes are'}"
        " recognized.",
        (
            f"{max(present)} of {sum(present)} validation images are {largest}, {min(present)} are {smallest}. Always"
            f" predicting {largest} gives {share:.1%} accuracy, but {balanced:.1%} balanced accuracy.",
        ),
        f"{advice}.",
        "certain",
        {"study.metric": "balanced_accuracy"},
    )
    return Result(looked, (finding,))


def schedule(config: RunConfig, searched: Collection[str] = ()) -> Result:
    """Whether the learning rate ever decays; ``searched`` names the paths of the hyperparameters."""
    phases = config.in_phases()
    falls = any(phase.schedule.name != "constant" for phase in phases) or len(phases) > 1
    falls |= any(path.split(".")[0] == "schedule" for path in searched)
    names = ", then ".join(phase.schedule.name for phase in phases)
    looked = f"Schedule: {names}, {counted(config.planned_epochs, 'epoch')}."
    if falls or config.planned_epochs < MIN_EPOCHS_WITH_DECAY:
        return Result(looked)
    finding = Finding(
        "lr-never-decays",
        "training",
        "note",
        "The learning rate never decays, so results keep fluctuating in the last epochs.",
        (looked,),
        "Use a decay schedule (`schedule: {name: cosine}`) or search over schedules, then verify it with"
        " `regstudy compare`.",
        "likely",
        {"schedule": {"name": "cosine"}},
    )
    return Result(looked, (finding,))


def patience(config: RunConfig, searched: Collection[str] = ()) -> Result:
    """Whether early stopping waits so few epochs that it ends trials whose metric would still improve."""
    waits, epochs = config.training.patience, config.training.epochs
    if waits is None:
        return Result("Early stopping is off.")
    looked = f"Early stopping waits {counted(waits, 'epoch')} of {epochs} for a better {config.training.monitor}."
    if waits >= SHORT_PATIENCE * epochs or "training.patience" in searched or epochs < MIN_EPOCHS_WITH_DECAY:
        return Result(looked)
    advised = -(-epochs // 3)
    finding = Finding(
        "short-patience",
        "training",
        "note",
        f"Early stopping after {counted(waits, 'epoch')} without improvement ends trials that would still improve.",
        (looked, "On recorded trainings of 40 and 60 epochs, a patience of 5 cost 0.2 to 0.4 points of accuracy."),
        f"Wait for about a third of the epochs (`training.patience: {advised}`), or turn it off (`null`).",
        "likely",
        {"training.patience": advised},
    )
    return Result(looked, (finding,))


def augmentation(config: RunConfig, searched: Collection[str] = ()) -> Result:
    """Whether training images are augmented."""
    chosen = config.augmentation
    looked = f"Augmentation strength {chosen.strength:g}, operations: {', '.join(chosen.ops) or 'none'}."
    if "augmentation.strength" in searched or (chosen.strength and chosen.ops):
        return Result(looked)
    finding = Finding(
        "no-augmentation",
        "regularizers",
        "note",
        "Training images are not augmented. Augmentation usually helps more than dropout or weight decay.",
        (looked,),
        "Add it to the search: `augmentation: {strength: {low: 0.0, high: 1.0}, ops: [crop, …]}`. `regstudy preview`"
        " shows augmented images.",
        "likely",
    )
    return Result(looked, (finding,))


def resampling(config: RunConfig, per_class: Sequence[int], *, own_validation: bool) -> Result:
    """Whether so few images call for k-fold cross-validation; ``per_class``: training images of each class."""
    images, chosen = sum(per_class), config.data.resampling
    looked = f"{counted(images, 'training image')}, {'one validation part' if chosen == 'shared' else 'k-fold'}."
    possible = not own_validation and min(per_class) >= FOLDS_ADVISED
    if images >= FEW_IMAGES or chosen != "shared" or not possible:
        return Result(looked)
    finding = Finding(
        "few-images",
        "split",
        "note",
        f"With fewer than {FEW_IMAGES:,} training images, results depend on which images are in the validation part.",
        (looked,),
        f"Use k-fold cross-validation: `data.resampling: {{kfold: {FOLDS_ADVISED}}}`. Each trial then trains"
        f" {FOLDS_ADVISED} times and takes about as many times as long.",
        "likely",
        {"data.resampling": {"kfold": FOLDS_ADVISED}},
    )
    return Result(looked, (finding,))


def running_accuracy(config: RunConfig) -> Result:
    """Whether accuracy measured in train mode would misstate the gap."""
    extras = config.regularization
    harder = [
        f"dropout {config.model.dropout:g}" if config.model.dropout >= MIN_MISLEADING_DROPOUT else "",
        f"mixup on {extras.mixup:.0%} of the batches" if extras.mixup else "",
        f"CutMix on {extras.cutmix:.0%} of the batches" if extras.cutmix else "",
        f"augmentation {config.augmentation.strength:g}"
        if config.augmentation.strength and config.augmentation.ops
        else "",
    ]
    harder = [words for words in harder if words]
    if not harder:
        return Result("Nothing makes the task harder in train mode than in validation.")
    finding = Finding(
        "running-accuracy",
        "regularizers",
        "note",
        "Train accuracy (train mode) is not comparable to validation accuracy. Use train accuracy (eval mode) to"
        " measure the gap.",
        (f"These settings make training harder than validation: {', '.join(harder)}.",),
        "Use `clean_train_accuracy`: it is measured in eval mode without augmentation, and regstudy always records it."
        " In your own training loop, evaluate training images the same way as validation images.",
    )
    return Result(f"Active in train mode only: {', '.join(harder)}.", (finding,))
