"""Is an ablation as sharp as `regstudy answer` announces? Replays on two banks of repeated trainings.

    python benchmarks/resolution.py [--replays 400] [STUDY ...]

A replay draws a default-like configuration (a baseline, or a configuration of the middle half of the search), trains it
three times on fresh seeds and splits (the pilot), and plans an ablation with the product's own plan. Then a winner is
drawn from the best ten, with four arms from the better half of the search and a baseline; the product's own design
decides which arms run in which repeats, and its own analysis gives the intervals. Runs come from the world of a bank
(`confirm_world.py`): truth + effect of the split + residual.

For each contrast that stays to the last look, the half-width of its 95 % interval is divided by the announced one, and
so is the smallest effect that is found with a chance of 80 %. ± is one Monte-Carlo standard error (of the median, from
200 bootstrap samples of the replays). The constants of the noise were chosen with both banks in
view: the table shows that they fit, not that they hold for other images.

A STUDY is a folder of a study with an ablation: its contrasts are compared with what its own baseline trials would
have announced as a pilot.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ablation_world import Drawn, conducted
from confirm_world import POOL, World, world_of
from repeat_bank import REPEATS

from regstudy.analysis import answer_plan as plans
from regstudy.analysis.ablation import ablation
from regstudy.analysis.ablation_arms import contrasts_of
from regstudy.analysis.ablation_design import Request, half_width, resolution
from regstudy.analysis.answer_plan import expected_noise
from regstudy.analysis.contrasts import MEASURES, Result, t_value

IMAGES = {"digits": 400, "cifar10": 1000}  # in validation, see benchmarks/repeats/*_space.yaml
RUNS = (40, 70, 140)
REGULARIZERS, MARGIN = 4, 0.003
Ratios = list[list[tuple[float, float]]]  # by replay: of the half-width, and of the smallest effect


def main() -> None:
    """Replay, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replays", type=int, default=400, help="ablations per row")
    parser.add_argument("studies", nargs="*", type=Path, help="folders of studies with an ablation")
    given = parser.parse_args()
    print("| bank | runs | contrasts | median ratio of half-widths | quartiles | median ratio of effects told |")
    print("|---|--:|--:|--:|--:|--:|")
    for bank, images in IMAGES.items():
        lines = [json.loads(line) for line in (REPEATS / f"{bank}.jsonl").read_text().splitlines()]
        world = world_of(lines)
        for runs in RUNS:
            found = [replay(world, images, runs, seed) for seed in range(given.replays)]
            print(row(bank, runs, found), flush=True)
    for folder in given.studies:
        print(row(folder.name, 0, [of_study(folder)]), flush=True)


def replay(world: World, images: int, runs: int, seed: int) -> list[tuple[float, float]]:
    """The ratios of the contrasts of one ablation."""
    rng = np.random.default_rng([seed, runs])
    order = np.argsort(-world.truth[: world.searched])
    count = len(order)
    middle = [*order[count // 4 : 3 * count // 4], *range(world.searched, len(world.truth))]
    pilot = values(world, int(rng.choice(middle)), drawn_splits(world, plans.PILOT_RUNS, rng), rng)
    noise = expected_noise([one / 100 for one in pilot], images, share=True)
    contrasts = tuple(contrasts_of([f"r{number}" for number in range(REGULARIZERS)]))
    request = Request(contrasts, runs, MARGIN)
    announced = half_width(request, noise.paired), resolution(request, noise.paired)
    winner = int(rng.choice(order[:10]))
    others = rng.choice([one for one in order[: count // 2] if one != winner], REGULARIZERS, replace=False)
    chosen = [winner, *map(int, others), int(rng.integers(world.searched, len(world.truth)))]
    splits = drawn_splits(world, runs, rng)
    of = Drawn(
        contrasts,
        {},
        {
            arm: [
                Result(one / 100, -one / 100 + float(rng.normal(0, 0.003))) for one in values(world, row, splits, rng)
            ]
            for arm, row in zip(request.arms, chosen, strict=True)
        },
    )
    stages, results = conducted(of, (runs,), MARGIN)
    made = ablation(results, contrasts, stages, margin=MARGIN)
    last = stages[-1]
    found = []
    for one in made.effects:
        change = one.metric
        if not set(one.contrast.arms) <= set(last.arms) or change.n < 2:
            continue
        level = last.alpha / (len(MEASURES) * len(contrasts))
        power = t_value(change.n - 1, level / 2) + t_value(change.n - 1, 0.2)
        told = power * change.sd / math.sqrt(change.n)
        found.append(((change.high - change.low) / 2 / announced[0], told / announced[1]))
    return found


def drawn_splits(world: World, repeats: int, rng: np.random.Generator) -> np.ndarray:
    """The effects of the splits of so many repeats."""
    return np.asarray(rng.choice(world.splits, repeats))


def values(world: World, row: int, splits: np.ndarray, rng: np.random.Generator) -> list[float]:
    """What a configuration reaches on these splits, in points."""
    runs = world.truth[row] + splits + world.noise[row, rng.integers(POOL, size=len(splits))]
    return [float(one) for one in np.minimum(runs, 100)]


def of_study(folder: Path) -> list[tuple[float, float]]:
    """The ratios of the contrasts of a real ablation; its pilot are the first baseline trials of the search."""
    from regstudy import load_results
    from regstudy.analysis.ablation_tables import results_in
    from regstudy.search.ablation_facts import ablation_in
    from regstudy.study.load_tables import load_tables

    result = load_results(folder)
    assert result.ablated is not None, f"{folder} has no ablation"
    facts, tables = ablation_in(result.ablated), result.tables
    assert facts is not None and facts.stages
    whole = tables.trials[tables.observed()]
    pilot = whole.loc[whole["arm"] == "baseline", "value"].head(plans.PILOT_RUNS).tolist()
    noise = expected_noise(pilot, int(tables.data["validation"]), share=tables.metric == "val_accuracy")
    request, last = facts.request, facts.stages[-1]
    announced = half_width(request, noise.paired), resolution(request, noise.paired)
    results = results_in(load_tables(result.ablated))
    made = ablation(results, request.contrasts, facts.stages, margin=facts.margin, maximize=tables.maximize)
    found = []
    for one in made.effects:
        if set(one.contrast.arms) <= set(last.arms) and one.metric.n > 1:
            wide = (one.metric.high - one.metric.low) / 2
            found.append((wide / announced[0], math.nan))
    return found


def row(name: str, runs: int, found: Ratios) -> str:
    """A line of the table."""
    medians = [median_and_error(found, place) for place in (0, 1)]
    wide = np.array([each[0] for one in found for each in one])
    low, high = np.quantile(wide, (0.25, 0.75))
    shown = [f"{middle:.2f} ± {error:.2f}" for middle, error in medians]
    return f"| {name} | {runs or 'its own'} | {len(wide):,} | {shown[0]} | {low:.2f} to {high:.2f} | {shown[1]} |"


def median_and_error(found: Ratios, place: int) -> tuple[float, float]:
    """The median ratio, and its Monte-Carlo error over replays."""
    rng = np.random.default_rng(0)

    def middle(chosen: Sequence[int]) -> float:
        return float(np.median([each[place] for one in chosen for each in found[one]]))

    each = [middle([int(one) for one in rng.integers(len(found), size=len(found))]) for _ in range(200)]
    return middle(range(len(found))), float(np.std(each))


if __name__ == "__main__":
    main()
