"""From images to the text of a space: look, choose, measure on this machine, write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from regstudy.data.image_set import ImageSet, Splits
from regstudy.errors import ArgumentError
from regstudy.files.outputs import seal
from regstudy.first_space.busy_machine import Machine
from regstudy.first_space.choices import Choices, choose
from regstudy.first_space.evening import EVENING, FEWEST_IMAGES, Option, Scale, for_an_evening, options_for
from regstudy.first_space.look import check_place, is_table, look_at_folder
from regstudy.first_space.seen import Seen
from regstudy.first_space.space_text import space_text
from regstudy.first_space.split_check import can_fold, check_split
from regstudy.first_space.summary import amount_of, choice_lines, cost_line, seen_lines
from regstudy.first_space.table_columns import look_at_table
from regstudy.space.loader import space_from_text
from regstudy.training.cost import ImageCost, seconds_per_image
from regstudy.training.devices import choose_device
from regstudy.training.validation import CHECKS

PER_CLASS = 10  # images that a limit leaves to each class, at least
LONG_ENOUGH = 10  # epochs of a draft that is only timed: more than the warm-up


@dataclass(frozen=True)
class Draft:
    """The text of a space, and sentences: what was seen, what was chosen, what 50 trials cost, what to know."""

    text: str
    seen: tuple[str, ...]
    chosen: tuple[str, ...]
    cost: str
    notes: tuple[str, ...]


def draft_space(path: Path, output: Path, device: str | None = None, evening: float = EVENING) -> Draft:
    """A space for a folder or a table of images, which fits them and this machine. Writes nothing.

    ``evening``: seconds that 50 trials may take.

    Raises RegstudyError.
    """
    machine = Machine(torch.device(choose_device(device)))
    check_place(path)
    seen = look_at_table(path) if is_table(path) and path.is_file() else look_at_folder(path)
    choices = choose(seen)
    timed: list[Option] = []

    def measure(option: Option) -> ImageCost:
        timed.append(option)
        return machine.alone(lambda: _cost(seen, choices, option, machine.device))

    scale = for_an_evening(
        options_for(seen.sample.side(choices.fit), seen.sample.uniform),
        amount_of(seen, choices),
        measure,
        foldable=choices.foldable and can_fold(seen),
        fewest=max(FEWEST_IMAGES, PER_CLASS * len(seen.per_class)),
        evening=evening,
    )
    facts, cost = seen_lines(seen), cost_line(seen, scale, choices)
    text = seal(space_text(seen, choices, scale, [*facts, f"{cost} Measured on this machine ({machine})."]))
    check_split(seen, space_from_text(text, output.stem, str(output), checks=CHECKS).defaults().data)
    chosen = choice_lines(seen, choices, scale, len(set(timed)), evening)
    notes = (*seen.notes, *filter(None, [machine.remark()]))
    return Draft(text, tuple(facts), tuple(chosen), cost, notes)


def default_output(path: Path) -> Path:
    """The file for a folder or table: its name with `.yaml`, in the working folder."""
    name = path.stem if is_table(path) else path.resolve().name
    return Path(f"{name or 'images'}.yaml")


def check_name_of(output: Path) -> None:
    """ArgumentError unless a file is named like a space."""
    if output.suffix not in (".yaml", ".yml"):
        raise ArgumentError(f"The output '{output}' must end in .yaml: it is a space, which is written as YAML.")


def _cost(seen: Seen, choices: Choices, option: Option, device: torch.device) -> ImageCost:
    """What an image costs under the defaults of the space that would be written."""
    text = space_text(seen, choices, Scale(option, LONG_ENOUGH, ImageCost(0.0, 0.0)))
    config = space_from_text(text, "draft", "the draft", checks=CHECKS).defaults()
    return seconds_per_image(config, _noise(seen, choices, option.size), device)


def _noise(seen: Seen, choices: Choices, size: int) -> Splits:
    """Random images of the shape and with the classes of the real ones; what they show makes no difference."""
    classes = tuple(seen.per_class)
    count = max(choices.batch[2], len(classes))
    images = torch.randint(256, (count, choices.channels, size, size), dtype=torch.uint8)
    part = ImageSet(images, torch.arange(count) % len(classes), classes)
    return Splits(part, part, part, "noise", 0)
