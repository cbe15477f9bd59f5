from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from regstudy.analysis.audit import Audit, audit
from regstudy.report.finding_phrasing import audit_sentence
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables


@pytest.mark.parametrize(
    ("wrong", "judged", "limit"),
    [(0, 3, 0.6316), (0, 1, 0.95), (0, 59, 0.0495), (3, 3, 1.0), (0, 0, 1.0), (1, 10, 0.3942)],
)
def test_the_limit_is_that_of_clopper_and_pearson(wrong: int, judged: int, limit: float) -> None:
    assert Audit(5, 100, 50, judged, wrong).at_most == pytest.approx(limit, abs=5e-4)


def study(direction: str, shadows: dict[int, float]) -> optuna.Study:
    """Eight trials of values 0.1 to 0.8 (of ten epochs), two pruned after four, and exempt ones with their values."""
    sign = 1 if direction == "maximize" else -1
    made = optuna.create_study(direction=direction)
    made.set_user_attr(attributes.EPOCHS_PLANNED, 10)
    for step in range(1, 9):
        value = sign * step / 10
        made.add_trial(create_trial(value=value, intermediate_values=dict.fromkeys(range(1, 11), value)))
    for _ in range(2):
        made.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values=dict.fromkeys(range(1, 5), 0.0)))
    for epoch, value in shadows.items():
        kept = {attributes.SHADOW: {"epoch": epoch, "reason": "behind"}}
        made.add_trial(
            create_trial(
                value=sign * value, user_attrs=kept, intermediate_values=dict.fromkeys(range(1, 11), sign * value)
            )
        )
    return made


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_wrong_cuts_are_those_that_end_among_the_best_quarter(direction: str) -> None:
    found = audit(load_tables(study(direction, {3: 0.05, 4: 0.9, 5: 0.3})))
    assert (found.pruned, found.saved, found.spent) == (2, 12, 118)
    assert (found.judged, found.wrong) == (3, 1)
    assert "stopped 2 trials and saved at most 12 of 130 epochs" in audit_sentence(found)
    assert "3 trials due for pruning ran to the end" in audit_sentence(found) and "86%" in audit_sentence(found)


def test_what_is_kept_with_a_study_has_the_limit_in_it() -> None:
    kept = Audit(5, 100, 50, 3, 0).plain()
    assert kept == {"pruned": 5, "spent": 100, "saved": 50, "judged": 3, "wrong": 0, "at_most": 0.6316}


def test_nothing_judged_is_said_and_not_celebrated() -> None:
    found = audit(load_tables(study("maximize", {})))
    assert (found.judged, found.at_most) == (0, 1.0)
    assert "error rate is unknown" in audit_sentence(found)


def test_a_study_without_cuts_has_nothing_to_say() -> None:
    made = optuna.create_study()
    assert audit_sentence(audit(load_tables(made))) == ""
    made.add_trial(create_trial(value=0.1))
    assert audit_sentence(audit(load_tables(made))) == ""
