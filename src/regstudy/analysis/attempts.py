"""Failed attempts of a study, and whether any trial was lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from regstudy.study.tables import Tables

FAULT_WORDS = {"error": "raised an error", "killed": "lost the process", "timeout": "timed out"}
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Attempts:
    """Failed attempts at trials. ``kinds``: how many of each; ``given_up``: reason by slot, from 0."""

    kinds: dict[str, int]
    given_up: dict[int, str]
    taken_over: int  # epochs that later attempts restored from checkpoints


def attempts(tables: Tables) -> Attempts:
    """Failed attempts of a study's slots; trials without a slot are ignored."""
    ours = tables.trials[tables.trials["slot"].notna()]
    failed = ours[ours["state"] == "FAIL"]
    alive = set(ours.loc[ours["state"] != "FAIL", "slot"])
    kinds = Counter(FAULT_WORDS.get(str(fault), INTERRUPTED) for fault in failed["fault"])
    lost = failed[~failed["slot"].isin(alive)].drop_duplicates("slot", keep="last")
    reasons = {int(row["slot"]): str(row["reason"]) for _, row in lost.iterrows() if row["fault"] in FAULT_WORDS}
    taken_over = int(ours.loc[ours["state"] != "FAIL", "resumed"].fillna(0).sum())
    return Attempts(dict(kinds.most_common()), reasons, taken_over)
