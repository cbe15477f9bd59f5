"""What went wrong while a study ran, and whether anything was lost by it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from regstudy.study.tables import Tables

WORDS = {"error": "ended in an error", "killed": "lost the process", "timeout": "took too long"}
INTERRUPTED = "interrupted on purpose"


@dataclass(frozen=True)
class Attempts:
    """Failed attempts at trials. ``kinds``: how many of each, in words; ``given_up``: reason by ticket, from 0."""

    kinds: dict[str, int]
    given_up: dict[int, str]
    taken_over: int  # epochs that later attempts took over from checkpoints

    @property
    def finding(self) -> str:
        """The facts in a sentence or two; empty if nothing went wrong."""
        if not self.kinds:
            return ""
        total = sum(self.kinds.values())
        listed = ", ".join(f"{count} {kind}" for kind, count in self.kinds.items())
        head = f"{_count(total, 'attempt')} failed ({listed})"
        if not self.given_up:
            repeated = "it was" if total == 1 else "all were"
            taken_over = _count(self.taken_over, "epoch")
            return f"{head}; {repeated} repeated, {taken_over} from checkpoints, and no trial was lost."
        reasons = "; ".join(f"trial {ticket + 1}: {reason}" for ticket, reason in list(self.given_up.items())[:5])
        lost = _count(len(self.given_up), "trial")
        return f"{head}; {lost} could not be finished ({reasons}), all others were repeated."


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def attempts(tables: Tables) -> Attempts:
    """Failed attempts of a study's tickets; trials without a ticket are not ours to judge."""
    ours = tables.trials[tables.trials["ticket"].notna()]
    failed = ours[ours["state"] == "FAIL"]
    alive = set(ours.loc[ours["state"] != "FAIL", "ticket"])
    kinds = Counter(WORDS.get(str(fault), INTERRUPTED) for fault in failed["fault"])
    lost = failed[~failed["ticket"].isin(alive)].drop_duplicates("ticket", keep="last")
    reasons = {int(row["ticket"]): str(row["reason"]) for _, row in lost.iterrows() if row["fault"] in WORDS}
    taken_over = int(ours.loc[ours["state"] != "FAIL", "resumed"].fillna(0).sum())
    return Attempts(dict(kinds.most_common()), reasons, taken_over)
