"""Labels: are they related to the images, how many are wrong, are they shifted or numbered differently per part?

All checks use the out-of-fold predictions of a simple classifier (`simple_model`). A hard task and wrong labels both
lower its accuracy, but differently: on a hard task its most confident predictions are still right, whereas wrong labels
contradict confident predictions as often as all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import scipy  # scipy.stats is loaded where it is first used: it takes a third of a second
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from regstudy.doctor.checks.leakage import picture
from regstudy.doctor.checks.simple_model import margins, out_of_fold
from regstudy.doctor.findings import Finding, Pictures, Result, Severity
from regstudy.text import counted

CONFIDENT_SHARE, MIN_CONFIDENT_ANSWERS = (
    0.05,
    40,
)  # of the predictions; and how many at least
AGREEMENT_DISTORTS, AGREEMENT_BLOCKS = (
    0.88,
    0.72,
)  # upper limit of the agreement of confident predictions with the labels
MIN_LABELED_IMAGES = 150  # with fewer images, labels are not judged
# With fewer images than this, a classifier that closes a smaller share of the way from guessing to perfect contradicts
# sound labels, too: on 200 photos of CIFAR-10 it agrees with 57% in its most confident predictions, on 2,500 with 94%.
MIN_IMAGES_OF_HARD_TASKS, MIN_SHARE_LEARNED = 1_000, 0.3
FILE_SHIFTS = (1, -1, 2, -2)  # positions in the file
MAX_SHIFT_P_VALUE, CHANCE_FACTOR, MIN_WRONG_ANSWERS = (
    1e-4,
    1.5,
    20,
)  # of the binomial test, whose chance rate is the nominal one times this factor
MIN_IMAGES_FOR_HALVES = 600
MIN_RENUMBERING_GAIN = 0.15  # of accuracy, by renumbering the classes
MAX_SUSPECTS_DRAWN, MAX_LABELS_LISTED = 12, 3


def unrelated(scores: Tensor, labels: Tensor, classes: int) -> Result:
    """Whether labels N can be predicted from images at all, by the out-of-fold scores N×classes.

    Accuracy is averaged over classes (balanced accuracy), so always predicting the largest class equals chance.
    """
    if len(labels) < MIN_LABELED_IMAGES:
        return Result(
            f"Skipped: {counted(len(labels), 'image')}, too few to test whether labels can be predicted from images."
        )
    present = torch.unique(labels)
    chosen = _balanced_answers(scores, labels, classes)
    hits = [int((chosen[labels == label] == label).sum()) for label in present]
    sizes = [int((labels == label).sum()) for label in present]
    accuracy = float(np.mean([hit / size for hit, size in zip(hits, sizes, strict=True)]))
    chance = 1 / len(present)
    error = float(np.sqrt(np.mean([chance * (1 - chance) / size for size in sizes]) / len(present)))
    above = (accuracy - chance) / error
    looked = (
        f"A simple classifier has a cross-validated balanced accuracy of {accuracy:.0%} on {len(labels)} images"
        f" (chance: {chance:.0%})."
    )
    if above > 3.0:
        return Result(looked)
    finding = Finding(
        "labels-unrelated",
        "data",
        "blocks" if above < 2.0 and len(labels) >= 2 * MIN_LABELED_IMAGES else "distorts",
        "Labels seem unrelated to the images: a simple classifier based on colors and edges does no better than"
        " chance.",
        (
            looked,
            f"Random guessing would do at least this well with probability {_tail(above):.0%}.",
        ),
        "Look at some images with their labels. Were images and labels loaded in different orders or shuffled"
        " separately? Or is the label not visible in the image?",
        "very likely",
    )
    return Result(looked, (finding,))


def _tail(deviations: float) -> float:
    return float(scipy.stats.norm.sf(deviations))


def _balanced_answers(scores: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Predictions after subtracting each class's share from its scores, so that rare classes are predicted as well."""
    share = torch.bincount(labels, minlength=classes).float() / len(labels)
    spread = scores.std(0).clamp(min=1e-6)
    return ((scores - share) / spread - (share == 0) * 1e6).argmax(1)


def wrong(scores: Tensor, labels: Tensor, images: Tensor, names: Sequence[str], paths: Sequence[str] = ()) -> Result:
    """How many labels are wrong, from the classifier's most confident predictions; the suspects as pictures.

    ``scores`` N×classes out of fold, ``labels`` N, ``images`` uint8 N×C×H×W, ``names`` of the classes. The suspects are
    found by cleanlab where it is installed, else by the difference between the best and the labeled class's scores.
    """
    count = max(MIN_CONFIDENT_ANSWERS, round(CONFIDENT_SHARE * len(labels)))
    if len(labels) < max(MIN_LABELED_IMAGES, 4 * count):
        return Result(f"Skipped: {counted(len(labels), 'image')}, too few to estimate label errors.")
    answers = scores.argmax(1)
    accuracy = float((answers == labels).float().mean())
    surest = margins(scores).argsort(descending=True, stable=True)[:count]
    agreeing = int((answers[surest] == labels[surest]).sum())
    agreement, upper = agreeing / count, upper_limit(agreeing, count)
    looked = f"Of the {count} most confident predictions of a simple classifier, {agreement:.0%} agree with the labels."
    guessing = torch.bincount(labels).max().item() / len(labels)
    if upper >= AGREEMENT_DISTORTS or accuracy <= guessing + 3 * (guessing * (1 - guessing) / len(labels)) ** 0.5:
        return Result(looked)
    suspects = suspected(scores, labels)[:MAX_SUSPECTS_DRAWN]
    severity: Severity = "blocks" if upper < AGREEMENT_BLOCKS else "distorts"
    contradicted = f"{1 - agreement:.0%} of the labels contradict the most confident predictions of a simple classifier"
    named = tuple(_suspect(at, answers, labels, names, paths) for at in suspects[:MAX_LABELS_LISTED])
    finding = Finding(
        "labels-wrong",
        "data",
        severity,
        f"Many labels look wrong: {contradicted}.",
        (
            looked,
            f"At least {1 - upper:.0%} of the labels are wrong, or the classes are indistinguishable (upper 97.5%"
            f" confidence limit of the agreement: {upper:.0%}; on clean data sets it was above"
            f" {AGREEMENT_DISTORTS:.0%}).",
            *named,
        ),
        "Review the suspected images below and fix their labels before tuning regularization.",
        "very likely" if severity == "blocks" else "likely",
    )
    if len(labels) < MIN_IMAGES_OF_HARD_TASKS and accuracy - guessing < MIN_SHARE_LEARNED * (1 - guessing):
        learned = (
            f"The classifier learns little from {len(labels)} images ({accuracy:.0%} cross-validated accuracy; always"
            f" predicting the largest class: {guessing:.0%}), so it also contradicts labels that are right."
        )
        finding = replace(
            finding,
            severity="note",
            sentence=f"Labels may be wrong, or these images are too few to tell: {contradicted}.",
            evidence=(looked, learned, *named),
            advice="Look at the suspected images below.",
            sure="likely",
        )
    captions = tuple(_suspect(at, answers, labels, names, paths) for at in suspects)
    shown = Pictures("labels-wrong", "Suspected label errors", tuple(picture(images[at]) for at in suspects), captions)
    return Result(looked, (finding,), (shown,))


def _suspect(at: int, answers: Tensor, labels: Tensor, names: Sequence[str], paths: Sequence[str]) -> str:
    label, answer = names[int(labels[at])], names[int(answers[at])]
    return f"{paths[at] if paths else f'no. {at}'}: labeled {label}, looks like {answer}"


def upper_limit(successes: int, trials: int) -> float:
    """The upper 97.5% confidence limit of a share (Clopper and Pearson, 1934)."""
    return float(scipy.stats.binomtest(successes, trials).proportion_ci(0.95, method="exact").high)


def suspected(scores: Tensor, labels: Tensor) -> list[int]:
    """Positions of images with suspected label errors, the worst first."""
    shares = scores.clamp(min=1e-4)
    shares = shares / shares.sum(1, keepdim=True)
    try:
        from cleanlab.filter import find_label_issues  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        loss = scores.max(1).values - scores.gather(1, labels[:, None])[:, 0]
        order = loss.argsort(descending=True, stable=True)
        return [int(at) for at in order if loss[at] > 0]
    by = "self_confidence"
    found = find_label_issues(labels.numpy(), shares.double().numpy(), return_indices_ranked_by=by, n_jobs=1)
    return [int(at) for at in found]


def misaligned(scores: Tensor, labels: Tensor, neighbors: Mapping[int, Tensor]) -> Result:
    """Whether some images have the label of their neighbor in file order, for example all images after some position.

    ``scores`` N×classes out of fold, ``labels`` N, and for each shift the labels N of the neighbors. A prediction that
    differs from the label matches the neighbor's label no more often than by chance, unless labels are shifted.
    """
    answers = scores.argmax(1)
    found, classes = [], scores.shape[1]
    share = torch.bincount(labels, minlength=classes).double() / len(labels)
    for shift, neighbor in neighbors.items():
        open_ones = (answers != labels) & (neighbor != labels)
        tried, hits = int(open_ones.sum()), int((answers == neighbor)[open_ones].sum())
        if classes == 2:  # every wrong prediction is the other class: compare where the two labels differ
            open_ones = neighbor != labels
            tried, hits, expected = int(open_ones.sum()), int((answers == neighbor)[open_ones].sum()), 0.5
        elif tried >= MIN_WRONG_ANSWERS:  # chance: the shares of the other classes
            chance = float((share[answers] / (1 - share[labels]).clamp(min=1e-6))[open_ones].mean())
            expected = min(0.9, CHANCE_FACTOR * max(chance, 1 / classes))
        else:
            continue
        if tried:
            found.append(
                (float(scipy.stats.binomtest(hits, tried, expected, alternative="greater").pvalue), shift, hits, tried)
            )
    looked = "Labels are not shifted relative to their images (in file order)."
    if not found or min(found)[0] > MAX_SHIFT_P_VALUE:
        return Result(looked)
    _, shift, hits, tried = min(found)
    own = float((answers == labels).float().mean())
    moved = float((answers == neighbors[shift]).float().mean())
    evidence = (
        f"Where the prediction differs from the label, it matches the neighbor's label in {hits} of {tried} cases.",
        f"Predictions match the images' own labels in {own:.0%} of cases and their neighbors' labels in {moved:.0%}.",
    )
    return Result(looked, (_shifted(shift, evidence),))


def shifted(similar: Tensor, neighbors: Mapping[int, Tensor], classes: int, groups: Tensor | None = None) -> Result:
    """Whether images whose own labels are unrelated to them fit the labels of their neighbors in the file.

    ``similar`` is the kernel N×N of the images, ``neighbors`` as of `misaligned`, ``groups`` as of `out_of_fold`.
    """
    reached = {
        shift: float((out_of_fold(similar, labels, classes, groups).argmax(1) == labels).float().mean())
        for shift, labels in neighbors.items()
    }
    shift = max(reached, key=lambda one: reached[one])
    labels = neighbors[shift]
    guess = float(torch.bincount(labels).max()) / len(labels)
    looked = f"With the neighbors' labels, a simple classifier reaches {reached[shift]:.0%} accuracy."
    if reached[shift] < guess + 6 * (guess * (1 - guess) / len(labels)) ** 0.5:
        return Result(looked)
    return Result(looked, (_shifted(shift, (looked, "With the images' own labels it does no better than chance.")),))


def _shifted(shift: int, evidence: tuple[str, ...]) -> Finding:
    """``shift``: how many positions after an image its own label is in the file."""
    return Finding(
        "labels-misaligned",
        "data",
        "blocks",
        f"Images and labels are misaligned: images have the label of the image {counted(abs(shift), 'position')}"
        f" {'before' if shift > 0 else 'after'} them in the file.",
        evidence,
        "Look for a skipped or duplicated line in the code that reads labels (a header, a missing file). Match images"
        " and labels by name, not by position.",
        "very likely",
    )


def partly_unrelated(scores: Tensor, labels: Tensor) -> Result:
    """Whether the labels of a large part of the images are unrelated to them, though those of the rest are not.

    On the half of the images where the classifier is least confident, it should still be better than chance.
    """
    if len(labels) < MIN_IMAGES_FOR_HALVES:
        return Result(
            f"Skipped: {counted(len(labels), 'image')}, too few to judge the least confident half separately."
        )
    half = margins(scores).argsort(stable=True)[: len(labels) // 2]
    right, guess = (scores.argmax(1) == labels)[half], float(torch.bincount(labels[half]).max()) / len(half)
    accuracy, error = float(right.float().mean()), (guess * (1 - guess) / len(half)) ** 0.5
    looked = (
        f"On the half of the images where the simple classifier is least confident, its accuracy is {accuracy:.0%}"
        f" (always predicting the largest class: {guess:.0%})."
    )
    if scores.shape[1] < 3 or accuracy >= guess + 2 * error:
        return Result(looked)
    finding = Finding(
        "labels-unrelated",
        "data",
        "distorts",
        "For half of the images or more, labels seem unrelated to the images.",
        (looked,),
        "Look at some of these images. Are they empty, corrupt, or noise? Are the labels from another data set?",
        "likely",
    )
    return Result(looked, (finding,))


def exchanged(scores: Tensor, labels: Tensor, own_accuracy: float, names: Sequence[str]) -> Result:
    """Whether classes are numbered differently in the validation part: scores of its images by the training labels.

    ``own_accuracy`` is what the classifier reaches on the training part, out of fold.
    """
    classes = scores.shape[1]
    if len(labels) < MIN_LABELED_IMAGES // 3:
        return Result("Skipped: too few validation images of the training classes to compare class indices.")
    answers = scores.argmax(1)
    accuracy = float((answers == labels).float().mean())
    table = np.zeros((classes, classes))
    np.add.at(table, (labels.numpy(), answers.numpy()), 1)
    rows, columns = linear_sum_assignment(-table)
    best = float(table[rows, columns].sum() / len(labels))
    looked = (
        f"A simple classifier fitted on the training part has {accuracy:.0%} accuracy on {len(labels)} validation"
        f" images (cross-validated on the training part: {own_accuracy:.0%})."
    )
    moved = [(a, b) for a, b in zip(rows.tolist(), columns.tolist(), strict=True) if a != b and table[a, b] >= 3]
    error = (max(accuracy * (1 - accuracy), 0.01) / len(labels)) ** 0.5
    if best - accuracy > max(MIN_RENUMBERING_GAIN, 4 * error) and moved:
        finding = Finding(
            "classes-exchanged",
            "data",
            "blocks",
            "Classes are numbered differently in the training and validation parts.",
            (
                looked,
                f"After renumbering the classes, accuracy would be {best:.0%}: "
                + ", ".join(f"validation {names[a]} = training {names[b]}" for a, b in moved[:MAX_LABELS_LISTED])
                + ".",
            ),
            "Use the same class numbering in both parts: the same class folders, in the same sort order.",
            "very likely",
        )
        return Result(looked, (finding,))
    return Result(looked)
