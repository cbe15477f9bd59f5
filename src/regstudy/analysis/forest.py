"""A second opinion on importances: does a random forest split on a parameter more than shuffled values make it?

Mean decrease in impurity (Breiman 2001) of a forest that predicts the ranks of the values. It favors parameters with
many values, so each is judged by its own null: its importances are centered and scaled by those under shuffled values,
and the observed one must exceed the second largest of the maxima over all parameters (max-T, Westfall and Young 1993)
of `SHUFFLES` shuffles, which happens by chance in at most 2 of `SHUFFLES` + 1 cases, 5 %. PED-ANOVA looks at the top
only, a forest at the whole range; a parameter found by both has two independent indications.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.tree import DecisionTreeRegressor

from regstudy.study.tables import PARAM, Tables

SHUFFLES = 39
TREES = 20
TREE_TRIALS = 128  # trials a tree is grown from, at most: what keeps the cost nearly the same for any study
MIN_LEAF_TRIALS = 3
MAX_FOREST_TRIALS = 2000

Numbers = NDArray[np.float64]
Shuffle = Callable[[Numbers, np.random.Generator], Numbers]


def above_forest(
    tables: Tables,
    badness: pd.Series,
    groups: Sequence[str],
    group_of: Callable[[str], str],
    shuffle: Shuffle,
    rng: np.random.Generator,
) -> list[bool | None]:
    """For each group whether it exceeds its null distribution; all None with over `MAX_FOREST_TRIALS` trials.

    ``badness``: by trial number, infinite for trials that are worse than any other, which share a rank.
    """
    if len(badness) > MAX_FOREST_TRIALS:
        return [None] * len(groups)
    names, features = features_of(tables, badness.index)
    position = {name: i for i, name in enumerate(groups)}
    owner = [position[group_of(name)] for name in names]
    ranks, single = rankdata(badness.to_numpy()), features.astype(np.float32)  # what trees are grown from
    found = np.zeros((SHUFFLES + 1, len(groups)))
    for draw in range(SHUFFLES + 1):
        importances = _forest(single, ranks if draw == 0 else shuffle(ranks, rng), rng)
        np.add.at(found[draw], owner, importances)
    spread = found.std(axis=0)
    scores = (found - found.mean(axis=0)) / np.where(spread > 0, spread, np.inf)
    limit = np.sort(scores[1:].max(axis=1))[-2]
    return [bool(score > limit) for score in scores[0]]


def features_of(tables: Tables, numbers: pd.Index) -> tuple[list[str], Numbers]:
    """Parameters that varied among some trials, and their values, trials × parameters.

    Numbers drawn on a log scale as logarithms, choices by position; where a parameter was not drawn, a constant
    below its range.
    """
    rows = tables.trials.set_index("number").loc[numbers]
    names, columns = [], []
    for column in (name for name in rows.columns if name.startswith(PARAM)):
        span = tables.ranges[column.removeprefix(PARAM)]
        values = rows[column]
        if span.choices:
            values = values.map({choice: i for i, choice in enumerate(span.choices)})
        drawn = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        missing = np.isnan(drawn)
        if missing.all():
            continue
        if span.log and np.nanmin(drawn) > 0:
            drawn = np.log(drawn)
        low, high = np.nanmin(drawn), np.nanmax(drawn)
        filled = np.where(missing, low - max(high - low, 1.0), drawn)
        if filled.min() < filled.max():
            names.append(column.removeprefix(PARAM))
            columns.append(filled)
    return names, np.column_stack(columns) if columns else np.empty((len(numbers), 0))


def _forest(features: NDArray[np.float32], values: Numbers, rng: np.random.Generator) -> Numbers:
    """Mean decrease in impurity per parameter, of a forest; they add up to 1.

    Trees on bootstrap samples, grown one by one: scikit-learn's own forest takes three times as long for small ones.
    """
    found = np.zeros(features.shape[1])
    size = min(len(values), TREE_TRIALS)
    for _ in range(TREES if features.size else 0):
        drawn = rng.integers(len(values), size=size)
        tree = DecisionTreeRegressor(
            max_features=1 / 3, min_samples_leaf=MIN_LEAF_TRIALS, random_state=int(rng.integers(2**31))
        )
        found += tree.fit(features[drawn], values[drawn], check_input=False).feature_importances_
    return found / TREES
