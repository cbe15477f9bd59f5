"""How far `regstudy answer` has come with a study: an attribute of the study, stored whole, so that a kill leaves the
old or the new state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import optuna

from regstudy.study import attributes
from regstudy.study.stored_facts import fact

DONE = "done"  # the phase after the last one


@dataclass(frozen=True)
class AnswerProgress:
    """The phase that is under way, the budget and what is spent of it in seconds, and runs that were decided, by phase.

    ``pilot``: seconds that were spent when the pilot had ended.
    """

    phase: str
    budget: float
    spent: float = 0.0
    pilot: float = 0.0
    runs: Mapping[str, int] = field(default_factory=dict)

    def store(self, study: optuna.Study) -> None:
        """Store it with the study."""
        study.set_user_attr(attributes.ANSWER, asdict(self))


def stored_progress(study: optuna.Study | None) -> AnswerProgress | None:
    """What a study stores; None if it was not made by `regstudy answer`."""
    stored = None if study is None else fact(study, attributes.ANSWER)
    return None if stored is None else AnswerProgress(**stored)
