"""What pruning saved in a study, and how often it was wrong, from the trials that were exempt from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from scipy.stats import beta

from regstudy.study.tables import Tables

GOOD = 0.75  # quantile of the finals that a wrongly cut trial reaches
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Audit:
    """``judged``: exempt trials that ran on although they would have been cut; ``wrong``: those among the best quarter.

    ``saved``: epochs that the cut trials did not run; early stopping might have spared some of them as well.
    """

    pruned: int
    spent: int
    saved: int
    judged: int
    wrong: int

    @property
    def at_most(self) -> float:
        """Upper limit of the share of wrong cuts (one-sided 95 %, Clopper and Pearson); 1 if none was judged."""
        if self.wrong == self.judged:
            return 1.0
        return float(beta.ppf(CONFIDENCE, self.wrong + 1, self.judged - self.wrong))

    def plain(self) -> dict[str, float]:
        """The facts as they are kept with the study."""
        return {**asdict(self), "at_most": round(self.at_most, 4)}


def audit(tables: Tables) -> Audit:
    """Savings and errors of a study's pruner; a study without shadow verdicts gives savings only."""
    trials, observed = tables.trials, tables.observed()
    pruned = trials["state"] == "PRUNED"
    planned = tables.epochs_planned or int(trials["epochs"].max() if len(trials) else 0)
    finals = trials.loc[observed, "value"] * (1 if tables.maximize else -1)
    judged = finals[trials.loc[observed, "shadow"].notna()]
    return Audit(
        pruned=int(pruned.sum()),
        spent=int(trials["epochs"].sum()),
        saved=int((planned - trials.loc[pruned, "epochs"]).clip(lower=0).sum()),
        judged=len(judged),
        wrong=int((judged >= finals.quantile(GOOD)).sum()) if len(judged) else 0,
    )
