"""When to prune a trial between two folds, as a pure rule: values of folds in, a decision out.

Some folds are harder than others, so a trial is compared with its peers on the same folds only. The value of a trial in
a fold is taken as the sum of an effect of the trial, an effect of the fold, and noise. Peers that completed all folds
give the effects of the folds and the spread s of the noise (trials minus 1, times folds minus 1 degrees of freedom). A
trial that has finished n of k folds is forecast to end at its mean lead over its peers on these folds, with the
standard error s √((1 − n/k) / n). It is pruned if it is behind three fifths of its peers so far and its chance of
ending in the best quarter is smaller than ``chance`` times the share of folds left, as in
`regstudy.search.pruning_rule`. Its constants are its own and more careful, because few folds say little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy  # scipy.stats is loaded where it is first used: it takes a third of a second

from regstudy.records import PruningDecision
from regstudy.search.pruning_rule import GOOD_QUANTILE

MIN_FOLDS = 2  # finished ones before a trial may be pruned by this rule
MIN_WHOLE_TRIALS = 8  # trials with all folds
BEHIND_FOLDS = 0.4  # quantile of the peers' leads; a trial at or above it is never pruned
FOLD_CHANCE = 0.06  # of ending in the best quarter


def decide_on_folds(
    own: Sequence[float], peers: Sequence[Sequence[float]], chance: float = FOLD_CHANCE
) -> PruningDecision:
    """Whether to prune a trial with the values ``own`` of its first folds (larger is better).

    ``peers`` are the values of all folds of the trials that completed them.
    """
    done = len(own)
    if done < MIN_FOLDS:
        return PruningDecision(False, f"no pruning between folds before {MIN_FOLDS} are finished")
    if len(peers) < MIN_WHOLE_TRIALS:
        reason = f"the comparison of folds needs {MIN_WHOLE_TRIALS} trials with all folds, but there are {len(peers)}"
        return PruningDecision(False, reason)
    known = np.array(peers, dtype=float)
    trials, folds = known.shape
    by_fold = known.mean(axis=0)
    lead, leads = float(np.mean(own - by_fold[:done])), (known - by_fold).mean(axis=1)
    leads_so_far = (known - by_fold)[:, :done].mean(axis=1)
    ahead = float(np.mean(leads_so_far > lead))
    words = f"{ahead:.0%} of {trials} trials were better on the same {done} folds"
    if done >= folds or lead >= np.quantile(leads_so_far, BEHIND_FOLDS):
        return PruningDecision(False, f"not far enough behind: {words}")
    noise = known - by_fold - leads[:, None]
    freedom = (trials - 1) * (folds - 1)
    error = math.sqrt(float((noise**2).sum()) / freedom * (1 - done / folds) / done)
    distance = lead - float(np.quantile(leads, GOOD_QUANTILE))
    reach = float(scipy.stats.t.cdf(distance / error, freedom)) if error > 0 else float(distance >= 0)
    words += f"; estimated chance of a top-quarter result: {reach:.1%}"
    return PruningDecision(reach < chance * (folds - done) / folds, words)
