"""What pruning saved, and how often it was wrong, measured on audit trials that were exempt from pruning."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from scipy.stats import binomtest

from regstudy.study.tables import Tables

TOP_QUANTILE = 0.75  # quantile of the final scores that a wrongly pruned trial reaches
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Audit:
    """``judged``: exempt trials that would have been pruned; ``wrong``: those of them in the best quarter.

    ``saved``: epochs that the pruned trials did not run; early stopping might have saved some of them as well.
    """

    pruned: int
    spent: int
    saved: int
    judged: int
    wrong: int

    @property
    def at_most(self) -> float:
        """Upper bound of the share of wrong pruning decisions (one-sided 95 %, Clopper–Pearson); 1 without data."""
        if not self.judged:
            return 1.0
        test = binomtest(self.wrong, self.judged, alternative="less")
        return float(test.proportion_ci(CONFIDENCE, method="exact").high)

    def plain(self) -> dict[str, float]:
        """The facts as they are stored with the study."""
        return {**asdict(self), "at_most": round(self.at_most, 4)}


def audit(tables: Tables) -> Audit:
    """Savings and errors of a study's pruner; without audit trials, only the savings."""
    trials, observed = tables.trials, tables.observed()
    pruned = trials["state"] == "PRUNED"
    ran = tables.epochs_run()
    planned = (tables.epochs_planned or 0) * max(tables.folds, 1) or int(ran.max() if len(trials) else 0)
    finals = trials.loc[observed, "value"] * (1 if tables.maximize else -1)
    judged = finals[trials.loc[observed, "shadow"].notna()]
    return Audit(
        pruned=int(pruned.sum()),
        spent=int(ran.sum()),
        saved=int((planned - ran[pruned]).clip(lower=0).sum()),
        judged=len(judged),
        wrong=int((judged >= finals.quantile(TOP_QUANTILE)).sum()) if len(judged) else 0,
    )
