"""When a study is given up because its workers die: counted by whoever replaces them."""

from __future__ import annotations

from dataclasses import dataclass

from regstudy.errors import RegstudyError

DEATHS = 20  # of workers in a row, without a trial finished between them, until the study is given up
STILLBORN = 4  # of them, that have said nothing at all


@dataclass
class Deaths:
    """Deaths since the last trial that was finished. ``advice`` is for workers that never begin.

    ``together``: how many may die of one cause, and are not to end the study.
    """

    advice: str
    together: int = 0
    in_a_row: int = 0
    stillborn: int = 0

    def trial_finished(self) -> None:
        """Workers that finish trials may die as often as they like."""
        self.in_a_row = self.stillborn = 0

    def count(self, *, heard: bool, reason: str) -> None:
        """Note a death, of a worker that has said something or not; RegstudyError if it is one too many."""
        self.in_a_row, self.stillborn = self.in_a_row + 1, 0 if heard else self.stillborn + 1
        if self.stillborn >= STILLBORN + self.together:
            raise RegstudyError(f"{self.stillborn} worker processes in a row ended before they began{self.advice}")
        if self.in_a_row >= DEATHS + self.together:
            raise RegstudyError(
                f"{self.in_a_row} workers in a row died before a trial was finished. The last one: {reason}."
            )
