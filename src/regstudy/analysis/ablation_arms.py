"""The arms of an ablation: subsets of the winner's active regularizers, each with one name, and what is compared.

Two subsets with the same members are the same arm, so it runs once: of two regularizers, "without a" is "only b".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import combinations

from regstudy.analysis.contrasts import Contrast

WINNER, BASELINE_NAME, EVERYTHING = "winner", "baseline", "all regularizers"
LATTICE_SIZES = (2, 3, 4)  # numbers of active regularizers whose full lattice is trained


def arm_name(on: Collection[str], active: Sequence[str]) -> str:
    """The name of the arm in which these of the active regularizers are on."""
    kept = [name for name in active if name in on]
    if len(kept) == len(active):
        return WINNER
    if not kept:
        return BASELINE_NAME
    if len(kept) == len(active) - 1:
        return f"without {next(name for name in active if name not in on)}"
    return f"only {' and '.join(kept)}"


def contrasts_of(active: Sequence[str], add_one_in: bool = False) -> list[Contrast]:
    """What is compared: the winner with the winner without each regularizer, and with the baseline.

    ``add_one_in`` adds a secondary family: the baseline with each regularizer alone, and without. With a single active
    regularizer all of these are one contrast.
    """
    if len(active) == 1:
        return [Contrast(active[0], WINNER, BASELINE_NAME)]
    found = [Contrast(name, WINNER, arm_name(set(active) - {name}, active)) for name in active]
    if found:
        found.append(Contrast(EVERYTHING, WINNER, BASELINE_NAME))
    if add_one_in:
        found += [Contrast(f"only {name}", arm_name({name}, active), BASELINE_NAME, "secondary") for name in active]
    return found


def arms_of(contrasts: Iterable[Contrast]) -> tuple[str, ...]:
    """The arms of these contrasts, each once."""
    return tuple(dict.fromkeys(arm for one in contrasts for arm in one.arms))


def switched_on(arm: str, active: Sequence[str]) -> frozenset[str]:
    """The regularizers that are on in an arm of `contrasts_of`."""
    subsets = [active, *([name] for name in active), *([n for n in active if n != name] for name in active), []]
    return next(frozenset(on) for on in subsets if arm_name(on, active) == arm)


def lattice(active: Sequence[str]) -> dict[str, frozenset[str]]:
    """Every subset of the active regularizers by the name of its arm, the winner first, the baseline last."""
    subsets = [frozenset(on) for size in range(len(active), -1, -1) for on in combinations(active, size)]
    return {arm_name(on, active): on for on in subsets}
