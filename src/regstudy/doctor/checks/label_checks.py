"""Labels: do they say anything about the images, how many are wrong, are they shifted or exchanged between parts?

All of it comes from a simple classifier (`simple_model`) and the answers it gives to images that it was not fitted on.
A hard task and wrong labels both lower its accuracy, but differently: where the task is hard, the answers of which the
classifier is surest are still right; where labels are wrong, those are contradicted as often as all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import beta, binomtest, norm
from torch import Tensor

from regstudy.doctor.checks.leakage import picture
from regstudy.doctor.checks.simple_model import margins, out_of_fold
from regstudy.doctor.findings import Finding, Pictures, Result, Severity

CONFIDENT_SHARE, MIN_CONFIDENT_ANSWERS = (
    0.05,
    40,
)  # share of the answers that are called sure, and the least number of them
AGREEMENT_DISTORTS, AGREEMENT_BLOCKS = 0.88, 0.72  # upper limit of the agreement of sure answers with the labels
MIN_LABELED_IMAGES = 150  # images below which nothing is said of labels
FILE_SHIFTS = (1, -1, 2, -2)  # places in the file
MAX_SHIFT_P_VALUE, CHANCE_FACTOR, MIN_WRONG_ANSWERS = (
    1e-4,
    1.5,
    20,
)  # of the test; its chance is this much above the nominal one
MIN_IMAGES_FOR_HALVES = 600
MIN_RENUMBERING_GAIN = 0.15  # of the accuracy that an exchange of class numbers must gain
MAX_SUSPECTS_DRAWN, MAX_LABELS_LISTED = 12, 3


def unrelated(scores: Tensor, labels: Tensor, classes: int) -> Result:
    """Whether labels N follow from images at all, by the out-of-fold scores N×classes.

    Accuracies are means over classes, so that predicting the largest class is worth no more than chance.
    """
    if len(labels) < MIN_LABELED_IMAGES:
        return Result(f"{len(labels)} images are too few to tell whether labels follow from images.")
    present = torch.unique(labels)
    chosen = _balanced_answers(scores, labels, classes)
    hits = [int((chosen[labels == label] == label).sum()) for label in present]
    sizes = [int((labels == label).sum()) for label in present]
    accuracy = float(np.mean([hit / size for hit, size in zip(hits, sizes, strict=True)]))
    chance = 1 / len(present)
    error = float(np.sqrt(np.mean([chance * (1 - chance) / size for size in sizes]) / len(present)))
    above = (accuracy - chance) / error
    looked = (
        f"A simple classifier names the class of {accuracy:.0%} of {len(labels)} images it was not fitted on"
        f" (chance: {chance:.0%})."
    )
    if above > 3.0:
        return Result(looked)
    finding = Finding(
        "labels-unrelated",
        "data",
        "blocks" if above < 2.0 and len(labels) >= 2 * MIN_LABELED_IMAGES else "distorts",
        "The labels say nothing about the images: a classifier that looks at colours and edges does no better than"
        " guessing.",
        (
            looked,
            f"Guessing would do as well or better with a probability of {_tail(above):.0%}.",
        ),
        "Look at some images with their labels. Were labels and images read in different orders, shuffled separately,"
        " or is what the labels say not to be seen in the images?",
        "very likely",
    )
    return Result(looked, (finding,))


def _tail(deviations: float) -> float:
    return float(norm.sf(deviations))


def _balanced_answers(scores: Tensor, labels: Tensor, classes: int) -> Tensor:
    """The answers of scores with each class's share taken off, so that rare classes are named as well."""
    share = torch.bincount(labels, minlength=classes).float() / len(labels)
    spread = scores.std(0).clamp(min=1e-6)
    return ((scores - share) / spread - (share == 0) * 1e6).argmax(1)


def wrong(scores: Tensor, labels: Tensor, images: Tensor, names: Sequence[str], paths: Sequence[str] = ()) -> Result:
    """How many labels are wrong, from the answers the classifier is surest of; the suspects as pictures.

    ``scores`` N×classes out of fold, ``labels`` N, ``images`` uint8 N×C×H×W, ``names`` of the classes. The suspects are
    found by cleanlab where it is installed, else by the difference between the best and the labelled class's scores.
    """
    count = max(MIN_CONFIDENT_ANSWERS, round(CONFIDENT_SHARE * len(labels)))
    if len(labels) < max(MIN_LABELED_IMAGES, 4 * count):
        return Result(f"{len(labels)} images are too few to estimate wrong labels.")
    answers = scores.argmax(1)
    accuracy = float((answers == labels).float().mean())
    surest = margins(scores).argsort(descending=True, stable=True)[:count]
    agreeing = int((answers[surest] == labels[surest]).sum())
    agreement, upper = agreeing / count, upper_limit(agreeing, count)
    looked = f"Of the {count} answers that a simple classifier is surest of, {agreement:.0%} agree with the labels."
    guessing = torch.bincount(labels).max().item() / len(labels)
    if upper >= AGREEMENT_DISTORTS or accuracy <= guessing + 3 * (guessing * (1 - guessing) / len(labels)) ** 0.5:
        return Result(looked)
    suspects = suspected(scores, labels)[:MAX_SUSPECTS_DRAWN]
    severity: Severity = "blocks" if upper < AGREEMENT_BLOCKS else "distorts"
    evidence = [
        looked,
        f"At least {1 - upper:.0%} of the labels are wrong, or the classes cannot be told apart (upper 97.5 % limit of"
        f" the agreement: {upper:.0%}; on clean data sets it was above {AGREEMENT_DISTORTS:.0%}).",
    ]
    evidence += [_suspect(at, answers, labels, names, paths) for at in suspects[:MAX_LABELS_LISTED]]
    finding = Finding(
        "labels-wrong",
        "data",
        severity,
        f"Many labels contradict their images: even where the classes look clearest, {1 - agreement:.0%} of the labels"
        " say something else.",
        tuple(evidence),
        "Look at the suspected images below and fix their labels; regularization then fights overfitting, not errors.",
        "very likely" if severity == "blocks" else "likely",
    )
    captions = tuple(_suspect(at, answers, labels, names, paths) for at in suspects)
    shown = Pictures("labels-wrong", "Suspected label errors", tuple(picture(images[at]) for at in suspects), captions)
    return Result(looked, (finding,), (shown,))


def _suspect(at: int, answers: Tensor, labels: Tensor, names: Sequence[str], paths: Sequence[str]) -> str:
    label, answer = names[int(labels[at])], names[int(answers[at])]
    return f"{paths[at] if paths else f'no. {at}'}: labelled {label}, looks like {answer}"


def upper_limit(successes: int, trials: int) -> float:
    """The upper 97.5 % limit of a share (Clopper and Pearson, 1934)."""
    return 1.0 if successes == trials else float(beta.ppf(0.975, successes + 1, trials - successes))


def suspected(scores: Tensor, labels: Tensor) -> list[int]:
    """Positions of images whose labels are doubtful, the most doubtful first."""
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


def misaligned(scores: Tensor, labels: Tensor, neighbours: Mapping[int, Tensor]) -> Result:
    """Whether some images carry the label of a neighbour in the order of the file, as from some place on.

    ``scores`` N×classes out of fold, ``labels`` N, and by distance the labels N that neighbours have. Where the answer
    is not the label, it is a neighbour's no more often than chance would have it, unless labels are shifted.
    """
    answers = scores.argmax(1)
    found, classes = [], scores.shape[1]
    share = torch.bincount(labels, minlength=classes).double() / len(labels)
    for shift, neighbour in neighbours.items():
        open_ones = (answers != labels) & (neighbour != labels)
        tried, hits = int(open_ones.sum()), int((answers == neighbour)[open_ones].sum())
        if classes == 2:  # every wrong answer is the other class: the neighbour's must win where the two labels differ
            open_ones = neighbour != labels
            tried, hits, expected = int(open_ones.sum()), int((answers == neighbour)[open_ones].sum()), 0.5
        elif tried >= MIN_WRONG_ANSWERS:  # a wrong answer is one of the other classes, by its share among them
            chance = float((share[answers] / (1 - share[labels]).clamp(min=1e-6))[open_ones].mean())
            expected = min(0.9, CHANCE_FACTOR * max(chance, 1 / classes))
        else:
            continue
        if tried:
            found.append((float(binomtest(hits, tried, expected, alternative="greater").pvalue), shift, hits, tried))
    looked = "The labels belong to their images and not to their neighbours."
    if not found or min(found)[0] > MAX_SHIFT_P_VALUE:
        return Result(looked)
    _, shift, hits, tried = min(found)
    own = float((answers == labels).float().mean())
    moved = float((answers == neighbours[shift]).float().mean())
    evidence = (
        f"Where the label is not what the image looks like, it is the neighbour's in {hits} of {tried} cases.",
        f"Answers agree with the labels of {own:.0%} of the images, and with the neighbours' of {moved:.0%}.",
    )
    return Result(looked, (_shifted(shift, evidence),))


def shifted(similar: Tensor, neighbours: Mapping[int, Tensor], classes: int, groups: Tensor | None = None) -> Result:
    """Whether images whose own labels say nothing of them follow from the labels of neighbours in the file.

    ``similar`` is the kernel N×N of the images, ``neighbours`` as of `misaligned`, ``groups`` as of `out_of_fold`.
    """
    reached = {
        shift: float((out_of_fold(similar, labels, classes, groups).argmax(1) == labels).float().mean())
        for shift, labels in neighbours.items()
    }
    shift = max(reached, key=lambda one: reached[one])
    labels = neighbours[shift]
    guess = float(torch.bincount(labels).max()) / len(labels)
    looked = f"With the labels of neighbours, a simple classifier is right for {reached[shift]:.0%}."
    if reached[shift] < guess + 6 * (guess * (1 - guess) / len(labels)) ** 0.5:
        return Result(looked)
    return Result(looked, (_shifted(shift, (looked, "With the images' own labels it only guesses.")),))


def _shifted(shift: int, evidence: tuple[str, ...]) -> Finding:
    """``shift``: how many places behind an image its own label stands in the file."""
    return Finding(
        "labels-misaligned",
        "data",
        "blocks",
        f"Images and labels are misaligned: images have the label of the image {abs(shift)}"
        f" {'before' if shift > 0 else 'after'} them in the file.",
        evidence,
        "Look for a line skipped or doubled where labels are read (a header, a missing file), and pair by name, not by"
        " position.",
        "very likely",
    )


def partly_unrelated(scores: Tensor, labels: Tensor) -> Result:
    """Whether the labels of a large part of the images say nothing, though those of the rest do.

    Of the half of the images of which the classifier is least sure it should still name more than chance does.
    """
    if len(labels) < MIN_IMAGES_FOR_HALVES:
        return Result(f"{len(labels)} images are too few to judge a part of them.")
    half = margins(scores).argsort(stable=True)[: len(labels) // 2]
    right, guess = (scores.argmax(1) == labels)[half], float(torch.bincount(labels[half]).max()) / len(half)
    accuracy, error = float(right.float().mean()), (guess * (1 - guess) / len(half)) ** 0.5
    looked = f"Of the half it is least sure of, the classifier names {accuracy:.0%} (guessing: {guess:.0%})."
    if scores.shape[1] < 3 or accuracy >= guess + 2 * error:
        return Result(looked)
    finding = Finding(
        "labels-unrelated",
        "data",
        "distorts",
        "For half of the images or more, the labels say nothing about what is to be seen.",
        (looked,),
        "Look at some of these images: empty or broken pictures, noise, or labels of another set?",
        "likely",
    )
    return Result(looked, (finding,))


def exchanged(scores: Tensor, labels: Tensor, own_accuracy: float, names: Sequence[str]) -> Result:
    """Whether classes have other numbers in the validation part: scores of its images by the training part's labels.

    ``own_accuracy`` is what the classifier reaches on the training part, out of fold.
    """
    classes = scores.shape[1]
    if len(labels) < MIN_LABELED_IMAGES // 3:
        return Result("Too few validation images of classes that are trained on to compare the numbers of classes.")
    answers = scores.argmax(1)
    accuracy = float((answers == labels).float().mean())
    table = np.zeros((classes, classes))
    np.add.at(table, (labels.numpy(), answers.numpy()), 1)
    rows, columns = linear_sum_assignment(-table)
    best = float(table[rows, columns].sum() / len(labels))
    looked = (
        f"Fitted on the training part, a simple classifier is right for {accuracy:.0%} of {len(labels)} validation"
        f" images (within the training part: {own_accuracy:.0%})."
    )
    moved = [(a, b) for a, b in zip(rows.tolist(), columns.tolist(), strict=True) if a != b and table[a, b] >= 3]
    error = (max(accuracy * (1 - accuracy), 0.01) / len(labels)) ** 0.5
    if best - accuracy > max(MIN_RENUMBERING_GAIN, 4 * error) and moved:
        finding = Finding(
            "classes-exchanged",
            "data",
            "blocks",
            "Classes have different numbers in the training and the validation part.",
            (
                looked,
                f"With exchanged class numbers it would be {best:.0%}: "
                + ", ".join(f"validation {names[a]} = training {names[b]}" for a, b in moved[:MAX_LABELS_LISTED])
                + ".",
            ),
            "Make both parts number their classes alike: the same list of class folders, sorted alike, in both roots.",
            "very likely",
        )
        return Result(looked, (finding,))
    return Result(looked)
