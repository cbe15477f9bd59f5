"""Writes a first space as YAML with comments that say why each value is what it is and when to change it."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Sequence

from regstudy.errors import ConfigError
from regstudy.files.outputs import mark
from regstudy.first_space.choices import VERY_UNEQUAL, Choices
from regstudy.first_space.evening import Scale
from regstudy.first_space.seen import Seen
from regstudy.first_space.summary import question
from regstudy.space.yaml_values import read_yaml_text

WIDTH = 118
PLAIN = re.compile(r"[A-Za-z_./][\w./-]*", re.ASCII)
FLIP = "flip is wrong for text, digits, and whatever differs between left and right"
COLOR = "color for classes that differ in color or brightness"
TRANSFER = (
    "ImageNet weights usually help more than any regularizer with few images: --set model.weights=imagenet --set"
    " preprocessing.normalize=imagenet (45 MB are downloaded once)."
)
METRICS = {
    "accuracy": "the classes are about equally common, so the share of right answers says it all",
    "balanced_accuracy": "the classes are unequal; accuracy would reward ignoring the rare ones",
    "average_precision": "the rare class is what matters, and the threshold is chosen later",
}


def space_text(seen: Seen, choices: Choices, scale: Scale, head: Iterable[str] = ()) -> str:
    """The whole file; ``head`` are the sentences below its first line."""
    marked = f"Written by {mark('init', sealed=True)}. It is yours: `regstudy init` does not replace what you change."
    blocks = [
        [*comment(question(seen, scale.option)), *comment(marked)],
        [line for sentence in head for line in comment(sentence)],
        _data(seen, choices, scale),
        _model(choices, scale),
        _regularization(choices),
        _training(choices, scale),
        _study(choices),
    ]
    return "\n".join("\n".join(lines) + "\n" for lines in blocks if lines)


def comment(sentence: str) -> list[str]:
    """A sentence as lines of a comment."""
    clean = "".join(sign if sign.isprintable() else " " for sign in sentence)
    return textwrap.wrap(
        clean, WIDTH, initial_indent="# ", subsequent_indent="#   ", break_long_words=False, break_on_hyphens=False
    )


def scalar(value: str) -> str:
    """A text as YAML on one line: plain where that reads back as the same text, else quoted."""
    if PLAIN.fullmatch(value) and read_yaml_text(value, "the value") == value:
        return value
    if value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"The name {value!a} has bytes that are not UTF-8, so no file can state it. Rename it."
        ) from None
    return json.dumps(value)


def _data(seen: Seen, choices: Choices, scale: Scale) -> list[str]:
    sample, size = seen.sample, scale.option.size
    lines = ["data:"]
    for key, value in seen.source.items():
        note = "  # as seen from the folder in which you start regstudy" if key in ("root", "file") else ""
        lines.append(f"  {key}: {scalar(value)}{note}")
    if sample.uniform and size == sample.short_side:
        note = "as the images are"
    elif size > sample.side(choices.fit):
        note = "the images are smaller and are enlarged; the networks need that"
    else:
        note = "larger images show finer detail; time grows with the square"
    lines.append(f"  size: {size}  # pixels per side: {note}")
    lines += _shape(seen, choices)
    gray = "gray" if choices.channels == 1 else "RGB; 1 would make them gray"
    lines.append(f"  channels: {choices.channels}  # {gray}")
    if choices.group is not None and seen.source.get("group") is None:
        note = "copies of a picture" if choices.group == "near_duplicates" else "images of one group"
        lines.append(f"  group: {scalar(choices.group)}  # keeps {note} in the same part")
    if choices.skip_unreadable:
        lines.append("  unreadable: skip  # some files cannot be decoded; each start says how many and which")
    if choices.validation is not None:
        use = "share held out by `regstudy train`" if scale.folds else "share held out"
        lines.append(f"  validation: {choices.validation}  # {use}")
    if scale.folds:
        lines.append(f"  resampling: {{kfold: {scale.folds}}}  # few images: each validates in one of the trainings")
    elif choices.foldable:
        lines.append("  # resampling: {kfold: 5}  # few images: less luck in the scores for five times the time")
    if scale.limit:
        lines.append(f"  train_limit: {scale.limit}  # fewer images, so that 50 trials fit an evening")
    if choices.positive is not None:
        lines.append(f"  positive: {scalar(choices.positive)}  # the class that the metric is about")
    return lines


def _shape(seen: Seen, choices: Choices) -> list[str]:
    if seen.sample.square:
        return []
    typical = seen.sample.shapes[len(seen.sample.shapes) // 2]
    lost = f"cuts off {1 - 1 / typical:.0%} of a typical image at the ends; pad keeps it, with black margins"
    kept = "keeps long images whole, with black margins; crop would cut off the ends"
    return [f"  fit: {choices.fit}  # {kept if choices.fit == 'pad' else lost}"]


def _model(choices: Choices, scale: Scale) -> list[str]:
    network = scale.option.network
    transfer = network == "resnet18_transfer"
    lines = comment(TRANSFER) if transfer and choices.channels == 3 else []
    lines += ["model:", f"  name: {network}  # or torchvision:…, timm:…, package.module:function (docs/networks.md)"]
    lines.append("  dropout: {low: 0.0, high: 0.6}")
    low = "3e-5" if transfer else "3e-4"
    return [
        *lines,
        "optimizer:",
        "  name: adamw",
        f"  lr: {{low: {low}, high: 1e-2, log: true, default: 1e-3}}",
        "schedule:",
        "  choices:",
        "    - {name: constant}",
        "    - {name: cosine, warmup_epochs: 1}",
    ]


def _regularization(choices: Choices) -> list[str]:
    doubts = [text for name, text in (("flip", FLIP), ("color", COLOR)) if name in choices.operations]
    left_out = [f"{name} is left out: {why}." for name, why in choices.without.items()]
    caution = [f"Only you know what keeps the class: {', '.join(doubts)}."] if doubts else []
    return [
        *comment("Each range is searched; `or: 0` lets the search turn it off. More in docs/spaces.md: l1, mixup, …"),
        "regularization:",
        "  l2: {or: 0, low: 1e-3, high: 0.3, log: true}  # weight decay, decoupled",
        "  label_smoothing: {low: 0.0, high: 0.2}",
        *comment(" ".join([*caution, *left_out, "Look at them with `regstudy preview`."])),
        "augmentation:",
        f"  ops: [{', '.join(choices.operations)}]",
        "  strength: {low: 0.0, high: 1.0}",
    ]


def _training(choices: Choices, scale: Scale) -> list[str]:
    low, high, default = choices.batch
    lines = [
        "training:",
        f"  batch_size: {{low: {low}, high: {high}, powers_of: 2, default: {default}}}",
        f"  epochs: {scale.epochs}",
        f"  patience: {max(5, scale.epochs // 3)}  # epochs without a lower validation loss, then a trial stops",
    ]
    if choices.balance:
        lines.append(f"  balance: {{choices: [none, weights]}}  # a class is over {VERY_UNEQUAL:g} times as common")
    return lines


def _study(choices: Choices) -> list[str]:
    nuisances = ["optimizer.lr", "training.batch_size", "schedule"]
    nuisances += ["training.balance"] if choices.balance else []
    lines = ["study:", f"  metric: {choices.metric}  # {METRICS[choices.metric]}"]
    lines += [f"  also: {_flow(choices.also)}"] if choices.also else []
    return [*lines, f"  nuisance: {_flow(nuisances)}  # tuned, but not the question"]


def _flow(values: Sequence[str]) -> str:
    return f"[{', '.join(values)}]"
