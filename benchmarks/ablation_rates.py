"""How many tries of each learning rate an ablation needs: what noise costs an arm, against fewer repeats.

    python benchmarks/ablation_rates.py [--studies 4000]

Each of two arms has a best learning rate of its own: its distance from the winner's is normal, with a standard
deviation of 0.7 steps (a step is a factor of 3), and the loss is quadratic in that distance. The product's own rule
chooses the rate. The error is that of the effect, against the effect if both arms had the best of the three rates.
All in standard deviations of a paired difference.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from ablation_world import RUN

from regstudy.analysis.ablation_rates import FACTORS, arm_at, best_factors
from regstudy.analysis.contrasts import Result

RUNS_PER_ARM = 20  # tries and repeats together: 100 runs of five arms
SLOPES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)  # loss at one step from the best rate
STEPS = {factor: math.log(factor, 3) for factor in FACTORS.values()}


def main() -> None:
    """Print a Markdown table: error of the effect (and mean loss of an arm) by number of tries."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=4000)
    studies = parser.parse_args().studies
    print("| a step from the best rate costs | winner's rate in all arms | 1 try | 2 tries | 3 tries | 4 tries |")
    print("|--:|--:|--:|--:|--:|--:|")
    for slope in SLOPES:
        cells = []
        for tries in range(5):
            rng = np.random.default_rng(0)
            lost = np.array([[loss(slope, tries, rng) for _ in range(2)] for _ in range(studies)])
            repeats = RUNS_PER_ARM - len(FACTORS) * tries
            error = lost[:, 0] - lost[:, 1] + rng.normal(0, 1 / math.sqrt(repeats), studies)
            cells.append(f"{np.sqrt((error**2).mean()):.2f} ({lost.mean():.2f})")
        print(f"| {slope:g} | {' | '.join(cells)} |")


def loss(slope: float, tries: int, rng: np.random.Generator) -> float:
    """What an arm loses at the rate it takes, against the best one of the three."""
    best = rng.normal(0, 0.7)
    values = {factor: -slope * (step - best) ** 2 for factor, step in STEPS.items()}
    tried = {
        arm_at("a", rate): {n: Result(values[factor] + rng.normal(0, RUN)) for n in range(tries)}
        for rate, factor in FACTORS.items()
    }
    return max(values.values()) - values[best_factors(["a"], tried, maximize=True)["a"]]


if __name__ == "__main__":
    main()
