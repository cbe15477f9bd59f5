"""Which trials of a study are usable, and which one is best."""

from __future__ import annotations

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from regstudy.errors import StudyError
from regstudy.study import attributes


def direction_of(study: optuna.Study) -> StudyDirection:
    """Whether a study minimizes or maximizes its objective; StudyError unless it has exactly one."""
    if len(study.directions) != 1:
        raise StudyError(
            f"The study '{study.study_name}' has {len(study.directions)} objectives, but this needs a study with one."
            " Open it with optuna-dashboard instead."
        )
    return study.directions[0]


def usable_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Completed trials that did not diverge, best first."""
    sign = -1.0 if direction_of(study) == StudyDirection.MAXIMIZE else 1.0
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    usable = [trial for trial in trials if trial.user_attrs.get(attributes.OUTCOME) != "diverged"]
    return sorted(usable, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


def best_value(study: optuna.Study) -> float | None:
    """The best objective value so far, None if there is none."""
    best = usable_trials(study)[:1]
    return best[0].value if best else None
