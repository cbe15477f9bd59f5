"""Arms of a comparison: what files and the options of a command line say, as fixed configurations.

A file gives the configuration at its defaults; a variant replaces some of its values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from regstudy.config.run_config import flatten
from regstudy.errors import ConfigError
from regstudy.space.fixed_plan import FixedPlan, make_plan
from regstudy.space.loader import load_space, space_from_text
from regstudy.space.parsing import ConfigCheck
from regstudy.space.search_space import Space
from regstudy.space.seeds import split_seed

LONGEST = 60  # characters of an arm's name
EXAMPLE = "'strong: model.dropout=0.5, regularization.l2=1e-3'"
BRACKETS = {"{": "}", "[": "]", "(": ")"}


@dataclass(frozen=True)
class Variant:
    """Values that an arm has instead of its file's: `a.b=value` pairs."""

    label: str
    changes: tuple[str, ...] = ()


def parse_variant(text: str) -> Variant:
    """A variant from ``label: path=value, path=value``; a label alone changes nothing, pairs alone are their label.

    Commas within brackets or quotes belong to a value. Raises ConfigError.
    """
    label, colon, rest = text.partition(":")
    if "=" in label:  # the colon, if there is one, belongs to a value
        label, rest = text, text
    label = " ".join(label.split())
    if not is_label(label):
        raise ConfigError(f"--arm '{text}' needs a name of 1 to {LONGEST} characters, as in --arm {EXAMPLE}.")
    changes = tuple(pair.strip() for pair in _split(rest) if pair.strip())
    wrong = [pair for pair in changes if "=" not in pair or not all(pair.partition("=")[0].split("."))]
    if wrong or (colon and not changes):
        what = f"'{wrong[0]}' is not of the form path=value" if wrong else "nothing follows the colon"
        raise ConfigError(f"--arm '{text}': {what}. Write --arm {EXAMPLE}; a name alone changes nothing.")
    return Variant(label, changes)


def is_label(label: object) -> bool:
    """Whether an arm can be called so: 1 to `LONGEST` printable characters."""
    return isinstance(label, str) and 0 < len(label) <= LONGEST and label.isprintable()


def _split(text: str) -> list[str]:
    """A text at its commas, those within brackets and quotes excepted."""
    parts, closing, quote = [""], [], ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in BRACKETS:
            closing.append(BRACKETS[character])
        elif closing and character == closing[-1]:
            closing.pop()
        elif character == "," and not closing:
            parts.append("")
            continue
        parts[-1] += character
    return parts


def load_arms(
    paths: Sequence[Path],
    variants: Sequence[Variant],
    overrides: Sequence[str] = (),
    *,
    checks: Iterable[ConfigCheck] = (),
) -> dict[str, Space]:
    """Every file with every variant, by name: the file's, the variant's, or both where there are several of each.

    ``overrides`` hold for all. Raises ConfigError for what a file or a variant says wrongly and for names that come
    twice.
    """
    looks = list(checks)
    arms: dict[str, Space] = {}
    for path in paths:
        space = load_space(path, overrides, checks=looks)  # what the file says wrongly comes first
        spaces = [(path.stem, space)]
        if variants:
            front = "" if len(paths) == 1 else f"{path.stem} / "
            spaces = [(front + v.label, _varied(space, path, v, overrides, looks)) for v in variants]
        for name, space in spaces:
            if name in arms:
                raise ConfigError(f"Two arms are called '{name}'. Give each file or --arm a name of its own.")
            arms[name] = space
    return arms


def plan_of(name: str, arms: Mapping[str, Space]) -> FixedPlan:
    """The plan of these spaces at their defaults.

    A split seed that some of the files give holds for all; where none does, it follows from that of the study. Raises
    ConfigError if arms differ in their data, their metric or the seed of their study.
    """
    first, *others = arms
    for other in others:
        for key in ("metric", "seed"):
            mine, theirs = getattr(arms[first].study, key), getattr(arms[other].study, key)
            if mine != theirs:
                raise ConfigError(
                    f"All arms need the same study.{key}, but it is {mine} in '{first}' and {theirs} in '{other}'. Give"
                    f" one for all: --set study.{key}={mine}."
                )
    configs = {label: space.defaults() for label, space in arms.items()}
    given = [configs[label].data.split_seed for label, space in arms.items() if space.has("data.split_seed")]
    seed = given[0] if given else split_seed(arms[first].study.seed)
    configs = {
        label: config if arms[label].has("data.split_seed") else config.replaced({"data.split_seed": seed})
        for label, config in configs.items()
    }
    return make_plan(name, configs, arms[first].study, "The comparison")


def collapsed(arms: Mapping[str, Space]) -> list[str]:
    """Lines ``path value`` for what is a range or a choice in a file, of which a plan takes the default.

    The value is left out where files have different ones.
    """
    values: dict[str, set[str]] = {}
    for space in arms.values():
        settings = flatten(space.defaults().model_dump(mode="json"))
        for path in {parameter.path: None for parameter in space.parameters()}:
            value = settings.get(path, settings.get(f"{path}.name"))
            if value is not None:  # else it exists only under another choice
                values.setdefault(path, set()).add(str(value))
    return [f"{path} {next(iter(found))}" if len(found) == 1 else path for path, found in values.items()]


def _varied(whole: Space, path: Path, variant: Variant, overrides: Sequence[str], checks: list[ConfigCheck]) -> Space:
    """The space of a file, which is read already, with a variant's values."""
    try:
        changes = [*overrides, *variant.changes]
        space = space_from_text(whole.text, path.stem, str(path), changes, checks=checks)
    except ConfigError as error:
        raise ConfigError(f"The arm '{variant.label}' cannot be made: {error}") from None
    for change in variant.changes:
        place = change.partition("=")[0]
        if any(p.path == place or p.path.startswith(f"{place}.") for p in space.parameters()):
            raise ConfigError(
                f"The arm '{variant.label}' cannot be made: {change} is a range or a choice, but an arm is one"
                " configuration. Give one value, or an arm for each."
            )
    return space
