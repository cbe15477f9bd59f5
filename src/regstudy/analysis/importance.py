"""Which parameters moved the validation metric and the gap: PED-ANOVA against a permutation null.

Importances: Optuna's PED-ANOVA, "how differently is this parameter distributed among the top trials?"; it handles
conditional parameters and works from ranks. Switch (``<path>.on``) and strength (``<path>``) of one regularizer
are added up.

Validation metric: complete trials by value; pruned and diverged ones enter as below the top. Gap: only trials that
`gap.qualify` admits. The baseline arm enters neither: there all regularizers are off together, so the effect of one
would be credited to all. If a study has no arms, all its trials count.

Null: the same evaluator with the values shuffled among neighbours in time (`BLOCK` trials): a sampler that learns
improves the values and narrows every parameter as it goes, and a null that forgets the order takes that for an effect.
Each parameter's null has its own scale, so every null draw is divided by the parameter's own 95 % quantile, the
largest over the parameters is taken (Westfall and Young 1993, max-T), and its 95 % quantile scales all thresholds.
A parameter is *above chance* only beyond its threshold.

Simulated, 50 trials, two real regularizers and six placebos, 50 to 80 studies each; share of studies in which any
placebo was named / share that named the stronger real one. Random search, shuffled freely: top tenth 3 % / 33 %, top
fifth 7 % / 82 %. TPE, shuffled freely: top tenth 12 % / 4 %, top fifth 18 % / 16 %; in blocks of five, top fifth
5 % / 25 % and, in a second set with this code, 5 % / 15 %. Hence the top fifth and blocks of five, and hence no
conclusion from "not above chance": the partial rank correlation of `gap` sees more (85 % of the same TPE studies).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from regstudy.analysis.gap import qualify
from regstudy.analysis.table import PARAM, Tables

MIN_TRIALS = 10
MIN_TOP = 5  # PED-ANOVA wants at least this many trials in the top
TOP_SHARE = 0.2
BLOCK = 5
LEVEL = 0.95
COLUMNS = ["parameter", "target", "importance", "null_95", "above_chance", "trials_used", "note"]


@dataclass(frozen=True)
class Counts:
    """How many trials of the search arm there are of each kind; ``excluded``: trained too poorly for their gap."""

    complete: int
    pruned: int
    diverged: int
    failed: int
    baseline: int
    excluded: int


def counts(tables: Tables) -> Counts:
    """Counts that belong beside every importance table."""
    trials = tables.trials
    baseline = trials["arm"] == "baseline"
    observed = tables.observed() & ~baseline
    return Counts(
        complete=int(observed.sum()),
        pruned=int(((trials["state"] == "PRUNED") & ~baseline).sum()),
        diverged=int(((trials["outcome"] == "diverged") & ~baseline).sum()),
        failed=int((trials["state"] == "FAIL").sum()),
        baseline=int(baseline.sum()),
        excluded=int((observed & trials["gap_accuracy"].notna() & ~qualify(tables).mask).sum()),
    )


def importances(study: optuna.Study, tables: Tables, *, seed: int = 0, permutations: int | None = None) -> pd.DataFrame:
    """Table of importances for the targets ``val_accuracy`` and ``gap``, largest first within each.

    ``val_accuracy`` means the study's objective, whatever its metric. ``null_95`` is the threshold of the module's
    docstring. Too few trials (`MIN_TRIALS`): importance and threshold are NaN and ``note`` says so.
    """
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    groups = _groups(tables)
    rng = np.random.default_rng(seed)
    parts = []
    for target, badness in (("val_accuracy", _objective(tables)), ("gap", _gap(tables))):
        chosen = [trials[number] for number in badness.index]
        parts.append(_table(target, groups, chosen, badness.to_numpy(dtype=float), rng, permutations))
    return pd.concat(parts, ignore_index=True)


def group_of(parameter: str) -> str:
    """The switch of a regularizer belongs to its strength; every other parameter stands for itself."""
    return parameter.removesuffix(".on")


def _groups(tables: Tables) -> list[str]:
    names = [column.removeprefix(PARAM) for column in tables.trials.columns if column.startswith(PARAM)]
    return list(dict.fromkeys(map(group_of, names)))


def _objective(tables: Tables) -> pd.Series:
    """Badness by trial number; infinite for trials that cannot be in the top."""
    trials = tables.trials[tables.trials["arm"] != "baseline"]
    trials = trials[trials["state"].isin(["COMPLETE", "PRUNED"])]
    badness = trials["value"] * (-1.0 if tables.maximize else 1.0)
    badness = badness.where(tables.observed()[trials.index], math.inf)
    return pd.Series(badness.to_numpy(), index=trials["number"].to_numpy())


def _gap(tables: Tables) -> pd.Series:
    trials = tables.trials[qualify(tables).mask & (tables.trials["arm"] != "baseline")]
    return pd.Series(trials["gap_accuracy"].to_numpy(), index=trials["number"].to_numpy())


def _table(
    target: str,
    groups: list[str],
    trials: list[FrozenTrial],
    badness: NDArray[np.float64],
    rng: np.random.Generator,
    permutations: int | None,
) -> pd.DataFrame:
    n = len(trials)
    rankable = int(np.isfinite(badness).sum())
    present = list(dict.fromkeys(group_of(name) for trial in trials for name in trial.distributions))
    top = min(max(math.ceil(TOP_SHARE * n), MIN_TOP), rankable)
    if n < MIN_TRIALS or rankable < MIN_TOP or top >= n or not present:
        note = f"too few trials to judge: {n} usable, {rankable} of them ran to the end; {MIN_TRIALS} are needed"
        rows = [[name, target, math.nan, math.nan, False, n, note] for name in groups]
        return _typed(rows)
    evaluate = _Evaluator(present, trials, top)
    ranks = np.argsort(np.argsort(badness, kind="stable"), kind="stable").astype(float)
    draws = permutations or (300 if n <= 300 else 200)
    with _quiet():
        seen = evaluate(ranks)
        null = np.stack([evaluate(shuffled(ranks, rng)) for _ in range(draws)])  # draws × parameters
    threshold = _thresholds(null)
    rows = []
    for i in np.argsort(-seen, kind="stable"):
        above = bool(seen[i] > threshold[i] > 0)
        note = "above chance" if above else f"cannot be told from chance with {n} trials"
        rows.append([present[i], target, float(seen[i]), float(threshold[i]), above, n, note])
    return _typed(rows)


def shuffled(ranks: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Ranks, one per trial in the order they started, permuted within blocks of at least `BLOCK` neighbours."""
    n = len(ranks)
    blocks = np.arange(n) * max(1, n // BLOCK) // n
    return ranks[np.lexsort((rng.random(n), blocks))]


def _typed(rows: list[list[Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype(
        {"parameter": "str", "target": "str", "importance": "float64", "null_95": "float64", "above_chance": "bool"}
        | {"trials_used": "int64", "note": "str"}
    )


def _thresholds(null: NDArray[np.float64]) -> NDArray[np.float64]:
    """Family-wise threshold per parameter from null draws (draws × parameters)."""
    own = np.quantile(null, LEVEL, axis=0)
    scale = np.where(own > 0, own, np.inf)
    worst = (null / scale).max(axis=1)
    factor = max(1.0, float(np.quantile(worst, LEVEL)))
    return np.asarray(own * factor)


class _Evaluator:
    """PED-ANOVA of fixed trials under any ranking of them; ranks (0 = best) in, one importance per group out."""

    def __init__(self, groups: list[str], trials: list[FrozenTrial], top: int) -> None:
        self._position = {name: i for i, name in enumerate(groups)}
        self._inner = PedAnovaImportanceEvaluator(target_quantile=(top - 0.5) / len(trials))
        with _quiet():
            self._study = optuna.create_study()
        self._study.add_trials(
            [
                optuna.create_trial(
                    state=TrialState.COMPLETE, value=0.0, params=trial.params, distributions=trial.distributions
                )
                for trial in trials
            ]
        )

    def __call__(self, ranks: NDArray[np.float64]) -> NDArray[np.float64]:
        found = self._inner.evaluate(self._study, target=lambda trial: float(ranks[trial.number]))
        result = np.zeros(len(self._position))
        for name, value in found.items():
            result[self._position[group_of(name)]] += value
        return result


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's remarks on custom targets and rare branches, which the table's notes cover."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)
