"""Which trial is exported, and why there is none."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState
from synthetic import make_study

from regstudy.errors import StudyError
from regstudy.production.export import chosen_trial


def running() -> optuna.Study:
    study = optuna.create_study(study_name="mine")
    study.add_trial(optuna.create_trial(state=TrialState.RUNNING))
    return study


@pytest.mark.parametrize(
    ("study", "words"),
    [
        (make_study(4, baseline=0, diverged=4, name="mine"), "In the study 'mine', all 4 completed trials diverged"),
        (make_study(1, baseline=0, diverged=1, name="mine"), "In the study 'mine', its only completed trial diverged"),
        (running(), "The study 'mine' has no completed trial yet"),
        (make_study(0, name="mine"), "The study 'mine' has no completed trial yet"),
    ],
    ids=["all diverged", "one diverged", "running", "empty"],
)
def test_the_reason_why_there_is_nothing_to_export(study: optuna.Study, words: str) -> None:
    with pytest.raises(StudyError) as error:
        chosen_trial(study, None)
    assert str(error.value) == f"{words}, so there is nothing to export."
