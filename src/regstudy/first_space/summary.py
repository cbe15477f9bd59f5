"""What was seen of images and what was chosen for them, in sentences: for the console and the head of the file."""

from __future__ import annotations

from regstudy.data.folder_walk import printable
from regstudy.first_space.choices import COPIES, Choices
from regstudy.first_space.evening import EVENING, TRIALS, Amount, Option, Scale, wanted_epochs
from regstudy.first_space.seen import EQUAL, Seen
from regstudy.search.division import DEFAULT_SHARE, divide
from regstudy.search.events import Cost, Ready
from regstudy.text import counted, format_duration, listing

NETWORKS = {
    "resnet18_transfer": "a ResNet-18",
    "svhn_resnet": "a ResNet of 2.6 million parameters",
    "dropout_cnn": "a small CNN",
}
ABOUT_EQUAL = 1.1  # times the smallest class
MOST_CLASSES = 8  # that are named
PART_NAMES = {"train": "training", "validation": "validation", "test": "test"}


def seen_lines(seen: Seen) -> list[str]:
    """One sentence or two for each kind of fact, with its title."""
    lines = [("Images", _images(seen)), ("Classes", _classes(seen)), ("Sizes", _sizes(seen)), ("Colors", _colors(seen))]
    lines += [("Groups", sentence) for sentence in _groups(seen)]
    lines += [("Unreadable", sentence) for sentence in _unreadable(seen)]
    return [f"{title}: {text}" for title, text in lines]


def cost_line(seen: Seen, scale: Scale, choices: Choices) -> str:
    """What 50 trials cost, as `study --dry-run` estimates it."""
    amount = amount_of(seen, choices)
    if scale.limit:
        amount = amount.limited(scale.limit)
    seconds = amount.seconds(scale.cost, scale.folds) / max(scale.folds, 1)
    division = divide(TRIALS, DEFAULT_SHARE, 0, 0)
    cost = Cost(seconds, scale.epochs, 0, 0, scale.folds)
    return str(Ready("search", {"": cost}, {"": division.search}, division.confirm))


def choice_lines(seen: Seen, choices: Choices, scale: Scale, tried: int, evening: float = EVENING) -> list[str]:
    """What was chosen and why, and what it leaves out. ``evening``: seconds that 50 trials may take."""
    option = scale.option
    wanted = wanted_epochs(amount_of(seen, choices).train)
    best = "the first choice for such images" if tried == 1 else "the best that is fast enough here"
    lines = [
        f"{option.network} ({NETWORKS[option.network]}) on {option.size}×{option.size} pixels, {scale.epochs} epochs:"
        f" {best} ({counted(tried, 'combination')} timed)."
    ]
    if scale.limit:
        lines.append(
            f"Only {scale.limit:,} of the training images (data.train_limit): with all of them, {TRIALS} trials would"
            f" take more than {_hours(evening)} on this machine. Remove it for `regstudy train`."
        )
    if scale.epochs < wanted:
        lines.append(f"With more time, {wanted} epochs would be better (training.epochs).")
    return lines


def amount_of(seen: Seen, choices: Choices) -> Amount:
    """The images of an epoch."""
    if choices.validation is None:
        return Amount(seen.images, min(seen.own_validation, seen.images), own_validation=True)
    held_out = max(1, round(choices.validation * seen.images))
    return Amount(seen.images - held_out, held_out)


def question(seen: Seen, option: Option) -> str:
    """The first line of the file, which `regstudy spaces` shows."""
    images = counted(seen.images, "training image")
    return f"Which regularizers close the gap of {NETWORKS[option.network]} on {images} of {printable(seen.place)}?"


def _images(seen: Seen) -> str:
    parts = ", ".join(f"{count:,} for {PART_NAMES[part]}" for part, count in seen.parts.items() if count)
    if seen.own_validation:
        return f"{parts}. The search uses your validation part."
    test = " The test part waits for `regstudy train`." if seen.parts.get("test") else ""
    return f"{parts}. Validation images are held out from those.{test}"


def _classes(seen: Seen) -> str:
    ordered = sorted(seen.per_class, key=lambda name: -seen.per_class[name])
    named = ordered if len(ordered) <= MOST_CLASSES else [*ordered[: MOST_CLASSES - 2], *ordered[-2:]]
    shown = [f"{printable(name)} {seen.per_class[name]:,}" for name in named]
    if len(named) < len(ordered):
        shown.insert(-2, f"… ({len(ordered) - len(named):,} more)")
    largest = f"The largest is {seen.imbalance:.1f} times the smallest."
    balance = "All are about equally common." if seen.imbalance < ABOUT_EQUAL else largest
    return f"{len(ordered)}: {', '.join(shown)}. {balance}"


def _sizes(seen: Seen) -> str:
    sample, total = seen.sample, sum(count for part, count in seen.parts.items() if part != "test")
    read = len(sample.sides)
    looked = "" if read >= total else f" (by {read:,} of {total:,} files)"
    if len(set(sample.sides)) == 1:
        return f"all {sample.sides[0][0]}×{sample.sides[0][1]} pixels{looked}."
    short = sample.short_sides
    shape = "about square" if sample.square else f"the longer side is {_middle(sample.shapes):.2f} times the shorter"
    if not sample.square and sample.shapes[-1] > EQUAL * _middle(sample.shapes):
        shape += f", at most {sample.shapes[-1]:.2f} times"
    between = f"{short[0]:,} to {short[-1]:,} pixels, median {sample.short_side:,}"
    sides = f"{short[0]:,} pixels" if short[0] == short[-1] else between
    return f"the shorter side has {sides}; {shape}{looked}."


def _colors(seen: Seen) -> str:
    sample = seen.sample
    if sample.all_gray:
        stored = ", although some files are stored in color" if sample.stored_as_color else ""
        return f"gray{stored} ({counted(sample.decoded, 'image')} decoded)."
    some = f", {sample.gray:,} of {sample.decoded:,} gray" if sample.gray else ""
    return f"RGB{some} ({counted(sample.decoded, 'image')} decoded)."


def _groups(seen: Seen) -> list[str]:
    lines = []
    if seen.group is not None and seen.source["name"] == "table":
        lines.append(f"{seen.group.groups:,} in the column '{printable(seen.group.rule)}'.")
    elif seen.group is not None:
        total = sum(count for part, count in seen.parts.items() if part != "test")
        lines.append(
            f"{seen.group.groups:,} by the {total:,} names, such as '{printable(seen.group.example)}'."
            + ("" if seen.own_validation else " The split keeps each together.")
        )
    if seen.groups_in_both:
        lines.append(
            f"Warning: {counted(seen.groups_in_both, 'group')} in both your training and your validation part, so"
            " validation scores will be too good. Divide the images anew, each group in one part."
        )
    if seen.sample.copies:
        few = seen.group is None and seen.sample.copies < COPIES * seen.sample.decoded
        advice = "; data.group: near_duplicates would keep them together" if few else ""
        lines.append(
            f"{counted(seen.sample.copies, 'near duplicate')} among the {seen.sample.decoded:,} decoded images{advice}."
        )
    return lines or ["none visible in the names, and no near duplicates among the decoded images."]


def _unreadable(seen: Seen) -> list[str]:
    wrong = seen.sample.unreadable
    if not wrong:
        return []
    named = listing([f"{printable(name)} ({reason})" for name, reason in list(wrong.items())[:3]])
    tried = len(wrong) + seen.sample.decoded
    return [f"{len(wrong):,} of {tried:,} files tried: {named}. They are left out and counted at every start."]


def _middle(values: list[float]) -> float:
    return values[len(values) // 2]


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:g} hours" if seconds == EVENING else format_duration(seconds)
