"""How the trials of a study are divided: the search, and the confirmation of its winner."""

from __future__ import annotations

import math
from dataclasses import dataclass

from regstudy.analysis.race import MIN_ROUNDS, most_runs
from regstudy.text import counted

MOST_ADVISED = 1_000  # trials
DEFAULT_SHARE = 0.3  # of the trials, for confirmation
FEWEST_RUNS = 2 * MIN_ROUNDS  # with which anything can be confirmed: a leader and the baseline in each round
MOST_RUNS = 500  # more could only tell apart what is equal for any purpose; the search makes better use of them


@dataclass(frozen=True)
class Division:
    """The numbers of search trials and of confirmation runs, and why there are none of these, if so."""

    search: int
    confirm: int
    why_none: str = ""
    unused: int = 0  # trials that were asked for and that nobody needs

    @property
    def total(self) -> int:
        """All trials."""
        return self.search + self.confirm


def divide(trials: int, share: float, searched: int, planned: int) -> Division:
    """Divide so many trials, of which ``searched`` have ended and ``planned`` confirmation runs are decided.

    What has ended or is decided stays, also if fewer trials are asked for now. A share that is too small to confirm
    anything is left to the search.

    >>> divide(50, 0.3, 0, 0)
    Division(search=36, confirm=14, why_none='', unused=0)
    """
    wanted = min(math.floor(share * trials + 0.5), MOST_RUNS)
    room = min(wanted, trials - searched)
    if planned:
        confirm = max(planned, room)
        return Division(max(searched, trials - confirm), confirm)
    if room >= FEWEST_RUNS:
        confirm = most_runs(room)
        return Division(trials - confirm, confirm)
    return Division(trials, 0, _why(trials, share, searched, wanted))


def after_stop(trials: int, share: float, searched: int, planned: int) -> Division:
    """Divide so many trials after a search that has ended early, with ``searched`` of them: the others confirm.

    >>> after_stop(100, 0.3, 40, 0)
    Division(search=40, confirm=60, why_none='', unused=0)
    """
    room = min(trials - searched, MOST_RUNS) if share else 0
    confirm = max(planned, room if room >= FEWEST_RUNS else 0)
    return Division(searched, confirm, unused=max(trials - searched - confirm, 0))


def _why(trials: int, share: float, searched: int, wanted: int) -> str:
    if share == 0:
        return ""
    if wanted >= FEWEST_RUNS:
        return (
            f"No trials are left to confirm the winner with: {searched} of {counted(trials, 'trial')} are search trials"
            " already. Increase trials (--trials), or use `regstudy confirm`."
        )
    enough = (FEWEST_RUNS - 0.5) / share  # the number of runs is rounded
    more = (
        f" Use {math.ceil(enough)} trials or more, or `regstudy confirm` afterwards." if enough < MOST_ADVISED else ""
    )
    return (
        f"{counted(trials, 'trial')} are too few to confirm the winner with a share of {share:g} of them: at least"
        f" {FEWEST_RUNS} confirmation runs are needed.{more}"
    )
