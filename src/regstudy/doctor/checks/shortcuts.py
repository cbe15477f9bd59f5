"""Shortcuts: labels that brightness, color, sharpness, the border, or the size or format of files alone tell.

A network takes a shortcut instead of learning what the classes look like, and fails where the shortcut is missing
(Geirhos et al., Shortcut learning in deep neural networks, 2020). Whether a property is a shortcut or belongs to the
class, only people can say: the findings show it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regstudy.data.preprocessing import center_crop
from regstudy.doctor.checks.file_headers import Header, headers
from regstudy.doctor.checks.image_properties import BAR_WIDTH, SHARPNESS, Table, properties_of
from regstudy.doctor.checks.leakage import picture
from regstudy.doctor.checks.one_property import Judged, Mark, Names, Told
from regstudy.doctor.findings import Chart, Finding, Media, Pictures, Result, Severity, Sure
from regstudy.doctor.parts import Part
from regstudy.text import counted

MAX_SHORTCUT_IMAGES = 3_000  # that are measured
MIN_PER_CLASS = 30  # images; classes with fewer are not judged
VISIBLE_SEPARATION = 0.5  # from which sharpness shows in the pixels what a property of files tells
MAX_CLASSES_LISTED, EXAMPLES_PER_SIDE, CHART_BINS = 12, 4, 24
SQUARES = {  # what of the shape of a file is left by `data.fit`
    "pad": "Padding (`data.fit: pad`) leaves bars that show the shape of the original.",
    "stretch": "Stretching (`data.fit: stretch`) leaves distorted pictures that show the shape of the original.",
}
ADVICE = {
    "label-from-border": "Crop the border (`preprocessing.crop`; `data.fit: crop` instead of `pad` avoids bars), or"
    " record the classes in the same way. If the border belongs to the class, keep it.",
    "label-from-brightness": "Were the classes recorded with different devices, exposures or backgrounds? Then record"
    " them in the same way, or vary brightness and color in training (`augmentation.ops: [color]`). If it belongs to"
    " the class, as with day and night, keep it, but know that a network may learn nothing else.",
    "label-from-files": "Do the classes come from different sources? Sources usually differ in more than size and"
    " format. Collect all classes from the same ones, or bring all files to one size and format before you train. If"
    " it belongs to the class, as with objects cut out of larger pictures, keep it.",
}
UNITS = {"the size of the original": " (√(width × height), in pixels)"}
Candidate = Told | Mark


def judge_shortcuts(train: Part, names: Sequence[str]) -> Result:
    """`shortcuts` in a sample of the training images, as the model sees them: after the center crop."""
    positions = train.sample(MAX_SHORTCUT_IMAGES)
    chosen = positions.tolist()
    groups = [train.groups[at] for at in chosen] if train.groups else ()
    files = [train.folder / train.paths[at] for at in chosen] if train.folder is not None and train.paths else ()
    whole, seen = train.images.shape[-2:], train.inputs(positions[:1]).shape[-2:]

    def pixels(at: Tensor) -> Tensor:
        images = train.images[positions[at]]
        return images if seen == whole else center_crop(images, seen[-1])

    return shortcuts(pixels, train.labels[positions], names, groups, files, train.fit)


def shortcuts(
    pixels: Callable[[Tensor], Tensor],
    labels: Tensor,
    names: Sequence[str],
    groups: Sequence[Any] = (),
    files: Sequence[Path] = (),
    fit: str | None = None,
) -> Result:
    """Whether one property tells the label.

    ``pixels`` gives the images at some positions as the network sees them, uint8 N×C×H×W; labels N, and where known,
    the group and the file of each image, and how files become squares (`data.fit`).
    """
    kept, judged = _judged(labels, names, groups)
    if len(judged.classes) < 2:
        return Result(f"Skipped: fewer than two classes have at least {MIN_PER_CLASS} images.")

    def shown(at: Tensor) -> Tensor:
        return pixels(torch.from_numpy(kept)[at])

    found = properties_of(shown, len(kept))
    anywhere = np.where(found.bars == "", "", "bars of one color along the sides")
    content, edge = (judged.all_told(tables) for tables in (found.content, found.border))
    marks = [judged.mark(found.bars), judged.mark(anywhere)]
    bars, bright, border = _candidates([*marks, edge[BAR_WIDTH]]), _candidates(content), _candidates([*marks, *edge])
    findings: list[Finding] = []
    media: list[Media] = []
    if bars or (border and not bright):  # bars make images darker, and brighter images have brighter borders
        findings.append(_finding("label-from-border", judged, border, found.border))
        media.append(_examples(shown, judged, border[0], found.bars))
    elif bright:
        findings.append(_finding("label-from-brightness", judged, bright, found.content, sure="likely"))
        media.append(_chart("label-from-brightness", judged, bright[0], found.content))
    opened = headers([files[at] for at in kept.tolist()]) if files else None
    told = [*content, *edge]
    if opened is not None:
        originals, (format_mark, size_mark) = _originals(opened), (judged.mark(kind) for kind in _kinds(opened))
        told += (filed := judged.all_told(originals))
        if hidden := _candidates([format_mark, *filed, size_mark]):
            visible = _visibility(judged, hidden[0], content[SHARPNESS], bool(border), fit)
            severity: Severity = "distorts" if visible[0] else "note"
            findings.append(_finding("label-from-files", judged, hidden, originals, visible[1], severity))
            media.append(_chart("label-from-files", judged, hidden[0], originals))
    scores = ", ".join(f"{one.what} {one.accuracy:.0%}" for one in told)
    chance = 1 / len(judged.classes)
    looked = (
        f"Balanced accuracy by one property alone, on {counted(len(kept), 'image')} (chance: {chance:.0%}): {scores}."
    )
    return Result(looked, tuple(findings), tuple(media))


def _judged(labels: Tensor, names: Sequence[str], groups: Sequence[Any]) -> tuple[np.ndarray, Judged]:
    """The positions of the images of the classes that are large enough, and these images."""
    numbers = labels.numpy()
    classes = np.flatnonzero(np.bincount(numbers, minlength=len(names)) >= MIN_PER_CLASS)
    kept = np.flatnonzero(np.isin(numbers, classes))
    known = {key: number for number, key in enumerate(dict.fromkeys(groups))}
    keys = np.array([known[groups[at]] for at in kept.tolist()] if groups else kept, dtype=np.int64)
    return kept, Judged(numbers[kept], names, tuple(classes.tolist()), np.unique(keys, return_inverse=True)[1])


def _candidates(tried: Sequence[Candidate | None]) -> list[Candidate]:
    """What tells the label, the best first; of those that tell it about equally well, the first."""
    found = [one for one in tried if one is not None and (isinstance(one, Mark) or one.sure)]
    return sorted(found, key=lambda one: -round(one.separation, 1))


def _originals(opened: Sequence[Header]) -> dict[str, Table]:
    columns = {
        "the size of the original": [(one.width * one.height) ** 0.5 for one in opened],
        "the aspect ratio of the original": [one.width / one.height for one in opened],
        "the JPEG quality of the file": [one.quality for one in opened],
    }
    return {what: np.array(values, dtype=np.float64)[:, None] for what, values in columns.items()}


def _kinds(opened: Sequence[Header]) -> tuple[Names, Names]:
    """Marks of files: their format, and their exact size."""
    formats = np.array([f"the format {one.format}" for one in opened])
    return formats, np.array([f"a size of exactly {one.width}×{one.height} pixels" for one in opened])


def _visibility(
    judged: Judged, best: Candidate, sharpness: Told, border: bool, fit: str | None
) -> tuple[bool, tuple[str, ...]]:
    """Whether the network can see a property of files in the resized images, and how."""
    how = [SQUARES[fit]] if fit in SQUARES and "aspect" in best.what else []
    if border:
        how.append("The border of the resized images shows it, too.")
    about = best.marked if isinstance(best, Mark) else (best.label,)
    same = len(judged.classes) == 2 or sharpness.label in about
    if same and sharpness.separation >= VISIBLE_SEPARATION:
        how.append(f"The resized images show it, too: {_sentence(judged, sharpness)}.")
    if how:
        return True, tuple(how)
    what = f"The network sees resized images, whose sharpness tells little of it ({sharpness.accuracy:.0%}"
    return False, (f"{what} balanced accuracy; chance: {1 / len(judged.classes):.0%}).",)


def _finding(
    name: str,
    judged: Judged,
    found: Sequence[Candidate],
    tables: Mapping[str, Table],
    more: Sequence[str] = (),
    severity: Severity = "distorts",
    sure: Sure = "very likely",
) -> Finding:
    words = [_sentence(judged, one) for one in found]
    evidence = [line for one in found[:1] if (line := _per_class(judged, one, tables))]
    evidence += [f"Also: {sentence}." for sentence in words[1:3]]
    title = "Files tell the label" if name == "label-from-files" else "A shortcut"
    return Finding(name, "data", severity, f"{title}: {words[0]}.", (*evidence, *more), ADVICE[name], sure)


def _sentence(judged: Judged, found: Candidate) -> str:
    if isinstance(found, Mark):
        marked = _list([judged.names[label] for label in found.marked])
        return f"{found.share:.0%} of the images of {marked} have {found.what}, and {found.elsewhere:.0%} of the others"
    if len(judged.classes) == 2:
        one, other = (judged.names[label] for label in judged.classes)
        return f"{found.what} alone tells '{one}' from '{other}' in {found.accuracy:.0%} of the images (chance: 50%)"
    return (
        f"{found.what} alone recognizes '{judged.names[found.label]}', with {found.share:.0%} of its images and"
        f" {found.false:.0%} of the others"
    )


def _per_class(judged: Judged, found: Candidate, tables: Mapping[str, Table]) -> str:
    """The shares or medians of the classes, the most extreme first if there are many."""
    if isinstance(found, Mark):
        values = dict(zip(judged.classes, found.shares, strict=True))
        words = {label: f"{share:.0%}" for label, share in values.items()}
        title = f"Images with {found.what}"
    else:
        table = tables[found.what].mean(1)
        values = {label: float(np.median(table[judged.labels == label])) for label in judged.classes}
        words = {label: f"{value:.3g}" for label, value in values.items()}
        title = f"Median of {found.what}{UNITS.get(found.what, '')}"
    order = sorted(values, key=lambda label: -values[label])
    listed = ", ".join(f"'{judged.names[label]}' {words[label]}" for label in order[:MAX_CLASSES_LISTED])
    rest = len(order) - MAX_CLASSES_LISTED
    return f"{title}: {listed}{f', and {rest} more classes' if rest > 0 else ''}."


def _list(names: Sequence[str]) -> str:
    shown = [f"'{name}'" for name in names[:3]] + ([f"{len(names) - 3} more classes"] if len(names) > 3 else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _chart(name: str, judged: Judged, found: Candidate, tables: Mapping[str, Table]) -> Chart:
    """The shares of images with a mark by class, or the distributions of a property by class."""
    if isinstance(found, Mark):
        classes = tuple(judged.names[label] for label in judged.classes)
        shares = {"images": (classes, found.shares)}
        return Chart(name, f"Images with {found.what}", "class", "share of images", shares, kind="bars")
    values, own = tables[found.what][:, 0], judged.labels == found.label
    edges = np.linspace(values.min(), values.max(), CHART_BINS + 1)
    middles = tuple(((edges[:-1] + edges[1:]) / 2).tolist())
    series = {}
    for part, flags in ((judged.names[found.label], own), (_others(judged, found.label), ~own)):
        counts = np.histogram(values[flags], edges)[0]
        series[part] = (middles, tuple((counts / counts.sum()).tolist()))
    title = f"{found.what[0].upper()}{found.what[1:]} of '{judged.names[found.label]}' and of the others"
    return Chart(name, title, found.what, "share of images", series)


def _others(judged: Judged, label: int) -> str:
    rest = [judged.names[other] for other in judged.classes if other != label]
    return rest[0] if len(rest) == 1 else "other classes"


def _examples(shown: Callable[[Tensor], Tensor], judged: Judged, found: Candidate, bars: Names) -> Pictures:
    """Images of the class in question and of others, in pairs."""
    classes = found.marked if isinstance(found, Mark) else (found.label,)
    own = np.isin(judged.labels, classes)
    first = np.flatnonzero(own & (bars != "")) if isinstance(found, Mark) else np.flatnonzero(own)
    pairs = list(zip(first[:EXAMPLES_PER_SIDE].tolist(), np.flatnonzero(~own).tolist(), strict=False))
    chosen = [at for pair in pairs for at in pair]
    captions = tuple(judged.names[int(judged.labels[at])] for at in chosen)
    title = f"Borders of {_list([judged.names[label] for label in classes])} (left) and of others (right)"
    return Pictures("label-from-border", title, tuple(map(picture, shown(torch.tensor(chosen)))), captions, columns=2)
