"""The rule that prunes between folds: a table of decisions, and simulated studies in which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from regstudy.search.fold_rule import decide_on_folds

# folds differ more than trials do: fold 2 is easy, fold 3 hard
PEERS = [[0.80 + t, 0.90 + t, 0.70 + t + e, 0.80 + t, 0.80 + t - e] for t in np.arange(10) / 100 for e in (0.01, -0.01)]


@pytest.mark.parametrize(
    ("own", "peers", "prune", "words"),
    [
        ([0.60], PEERS, False, "before 2 are finished"),
        ([0.60, 0.70], PEERS[:7], False, "needs 8 trials with all folds, but there are 7"),
        ([0.60, 0.70], PEERS, True, "100% of 20 trials were better on the same 2 folds"),
        ([0.80, 0.80], PEERS, True, "better on the same 2 folds"),
        ([0.85, 0.95], PEERS, False, "not far enough behind"),
        ([0.85, 0.95, 0.75], PEERS, False, "not far enough behind"),  # below most values so far, but fold 3 is hard
        ([0.95, 1.00], PEERS, False, "not far enough behind: 0%"),
        ([0.60, 0.70, 0.50, 0.60, 0.60], PEERS, False, ""),  # nothing is left to save
        ([0.80] * 2, [[0.8] * 5] * 10, False, "not far enough behind"),  # no spread at all
        ([0.79] * 2, [[0.8] * 5] * 10, True, "estimated chance of a top-quarter result: 0.0%"),
    ],
)
def test_decisions(own: list[float], peers: list[list[float]], prune: bool, words: str) -> None:
    found = decide_on_folds(own, peers)
    assert found.prune == prune and words in found.reason


def test_a_wide_spread_within_trials_prunes_less() -> None:
    rng = np.random.default_rng(0)
    calm, wild = (0.8 + rng.normal(0, 0.02, (20, 1)) + rng.normal(0, s, (20, 5)) for s in (0.002, 0.05))
    own = [0.775, 0.775]
    assert decide_on_folds(own, calm.tolist()).prune
    assert not decide_on_folds(own, wild.tolist()).prune


@pytest.mark.table
@pytest.mark.parametrize("folds", [3, 5, 10])
@pytest.mark.parametrize("noise", [0.25, 0.5, 1.0, 2.0])  # within trials, relative to the spread between trials
def test_the_best_trial_is_rarely_pruned(noise: float, folds: int) -> None:
    """Studies of 50 trials in random order: how often the rule prunes the trial that would have been the best."""
    lost, saved, studies = simulated(noise, folds)
    print(f"folds {folds}, noise {noise}: best pruned in {lost:.1%} of {studies} studies, {saved:.0%} of folds saved")
    assert lost <= 0.02


def simulated(noise: float, folds: int, trials: int = 50, studies: int = 500) -> tuple[float, float, int]:
    """The share of studies whose best trial was pruned, the share of all folds that were not run, and the studies."""
    rng, lost, skipped = np.random.default_rng(0), 0, 0
    for _ in range(studies):
        values = rng.normal(0, 1, (trials, 1)) + rng.normal(0, 2, folds) + rng.normal(0, noise, (trials, folds))
        best, peers = int(values.mean(axis=1).argmax()), []
        for number, row in enumerate(values.tolist()):
            cut = next((n for n in range(2, folds) if decide_on_folds(row[:n], peers).prune), folds)
            skipped += folds - cut
            lost += cut < folds and number == best
            if cut == folds:
                peers.append(row)
    return lost / studies, skipped / (studies * trials * folds), studies


if __name__ == "__main__":
    for k in (3, 5, 10):
        for sd in (0.25, 0.5, 1.0, 2.0):
            share, spared, _ = simulated(sd, k)
            print(f"| {k} | {sd:g} | {share:.1%} | {spared:.0%} |")
