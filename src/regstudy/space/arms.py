"""Arms of a comparison: fixed configurations from files and `--arm` options.

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

MAX_ARM_NAME_LENGTH = 60
ARM_EXAMPLE = "'strong: model.dropout=0.5, regularization.l2=1e-3'"
CLOSING_BRACKETS = {"{": "}", "[": "]", "(": ")"}


@dataclass(frozen=True)
class Variant:
    """Values of an arm that replace those of its file: `a.b=value` pairs."""

    label: str
    changes: tuple[str, ...] = ()


def parse_variant(text: str) -> Variant:
    """A variant from ``label: path=value, path=value``; a label alone changes nothing, and pairs without a label are
    their own label.

    Commas within brackets or quotes belong to a value. Raises ConfigError.
    """
    label, colon, rest = text.partition(":")
    if "=" in label:  # the colon, if there is one, belongs to a value
        label, rest = text, text
    label = " ".join(label.split())
    if not is_label(label):
        raise ConfigError(
            f"The arm '{text}' needs a name of 1 to {MAX_ARM_NAME_LENGTH} characters. Example: --arm {ARM_EXAMPLE}"
        )
    changes = tuple(pair.strip() for pair in _split(rest) if pair.strip())
    wrong = [pair for pair in changes if "=" not in pair or not all(pair.partition("=")[0].split("."))]
    if wrong or (colon and not changes):
        what = f"'{wrong[0]}' is not of the form path=value" if wrong else "nothing follows the colon"
        raise ConfigError(
            f"The arm '{text}' is invalid: {what}. Example: --arm {ARM_EXAMPLE}; a name alone changes nothing."
        )
    return Variant(label, changes)


def is_label(label: object) -> bool:
    """Whether this can be the name of an arm: 1 to `MAX_ARM_NAME_LENGTH` printable characters."""
    return isinstance(label, str) and 0 < len(label) <= MAX_ARM_NAME_LENGTH and label.isprintable()


def _split(text: str) -> list[str]:
    """Split a text at its commas, except those within brackets and quotes."""
    parts, closing, quote = [""], [], ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in CLOSING_BRACKETS:
            closing.append(CLOSING_BRACKETS[character])
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
    """Every file with every variant, by name: that of the file, of the variant, or both if there are several of each.

    ``overrides`` apply to all. Raises ConfigError for invalid files or variants and for duplicate names.
    """
    looks = list(checks)
    arms: dict[str, Space] = {}
    for path in paths:
        space = load_space(path, overrides, checks=looks)  # problems of the file are reported first
        spaces = [(path.stem, space)]
        if variants:
            front = "" if len(paths) == 1 else f"{path.stem} / "
            spaces = [(front + v.label, _varied(space, path, v, overrides, looks)) for v in variants]
        for name, space in spaces:
            if name in arms:
                raise ConfigError(f"Two arms are called '{name}'. Give every file or --arm a different name.")
            arms[name] = space
    return arms


def plan_of(name: str, arms: Mapping[str, Space]) -> FixedPlan:
    """The plan of these spaces at their defaults.

    A split seed given by some of the files applies to all; otherwise it is derived from the study's seed. Raises
    ConfigError if arms differ in their data, their metric or the seed of their study.
    """
    first, *others = arms
    for other in others:
        for key in ("metric", "seed"):
            mine, theirs = getattr(arms[first].study, key), getattr(arms[other].study, key)
            if mine != theirs:
                raise ConfigError(
                    f"All arms need the same study.{key}, but it is {mine} in '{first}' and {theirs} in '{other}'. Set"
                    " it"
                    f" for all arms: --set study.{key}={mine}"
                )
    configs = {label: space.defaults() for label, space in arms.items()}
    given = [configs[label].data.split_seed for label, space in arms.items() if space.has("data.split_seed")]
    seed = given[0] if given else split_seed(arms[first].study.seed)
    configs = {
        label: config if arms[label].has("data.split_seed") else config.replaced({"data.split_seed": seed})
        for label, config in configs.items()
    }
    also = dict.fromkeys(metric for space in arms.values() for metric in space.study.also)
    return make_plan(name, configs, arms[first].study.model_copy(update={"also": tuple(also)}), "The comparison")


def collapsed(arms: Mapping[str, Space]) -> list[str]:
    """Lines ``path value`` for the ranges and choices in the files, which a comparison sets to their defaults.

    The value is left out if the files have different ones.
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
    """The space of a file that is already loaded, with a variant's values."""
    try:
        changes = [*overrides, *variant.changes]
        space = space_from_text(whole.text, path.stem, str(path), changes, checks=checks)
    except ConfigError as error:
        raise ConfigError(f"The arm '{variant.label}' is invalid: {error}") from error
    for change in variant.changes:
        place = change.partition("=")[0]
        if any(p.path == place or p.path.startswith(f"{place}.") for p in space.parameters()):
            raise ConfigError(
                f"The arm '{variant.label}' is invalid: {change} is a range or a choice, but an arm needs a single"
                " value."
                " Give one value, or one arm per value."
            )
    return space
