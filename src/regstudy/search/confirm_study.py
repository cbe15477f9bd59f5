"""Confirming the winner of a study that is already there."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from regstudy.analysis.race import most_runs
from regstudy.data.image_set import Splits
from regstudy.data.loading_events import OnProgress
from regstudy.data.pool import Pool, load_pool
from regstudy.errors import StudyError
from regstudy.search.confirming import Confirming, seconds_per_run, why_not_confirmed
from regstudy.search.create import check_folders, plan_of_study
from regstudy.search.division import DEFAULT_SHARE, FEWEST_RUNS, MOST_RUNS, Division
from regstudy.search.engine import outlast_server
from regstudy.search.events import Cost, Listener, NothingLeft, Notice, Ready
from regstudy.search.gpu_sharing import check_memory
from regstudy.search.queue import is_silent
from regstudy.search.rounds import check_no_stale_runs
from regstudy.search.search_options import SearchOptions
from regstudy.search.study_images import rule_of
from regstudy.search.totals import how_it_ended, totals
from regstudy.space.plan import Plan
from regstudy.study import attributes
from regstudy.study.companion import find_confirmation, folder_of
from regstudy.study.owner import is_dead
from regstudy.study.place import StudyPlace, kind_of, open_study
from regstudy.study.queue_state import count_finished, queue_state
from regstudy.study.storage import in_words
from regstudy.study.stored_facts import fact, facts_of
from regstudy.text import counted
from regstudy.training.validation import CHECKS


def confirm_study(
    place: StudyPlace, runs: int | None, options: SearchOptions, data_dir: Path, listen: Listener
) -> None:
    """Make a study have this many confirmation runs in all. Raises StudyError if it has no winner to confirm."""
    with in_words(place.url):
        study = open_study(place)
        if kind_of(study) != "search":
            raise StudyError(
                f"{place} is a {kind_of(study)}. Only a study that searches a space has a winner to confirm."
            )
        plan = plan_of_study(study, str(place), CHECKS)
        check_at_rest(place, study)
        check_no_stale_runs(place, study)
        check_folders(folder_of(place))
        if why := why_not_confirmed(study):
            raise StudyError(f"{place}: {why}")
        planned = _planned(place, study)
        runs = runs or _runs(study, planned)
        if runs < planned:
            raise StudyError(
                f"{place} already has {counted(planned, 'confirmation run')}. Give a larger total (--runs), or leave it"
                " out."
            )
        division = Division(0, runs)  # the search stays as it is
        before = totals(place, study, division)
        if not before.left:
            words = f"Nothing left to do: {place} already has {counted(runs, 'confirmation run')}."
            listen(NothingLeft(f"{words} To add more, increase the total (--runs).", before.given_up))
            return
        pool = same_images(plan, study, data_dir, listen)
        check_memory(plan, first_split(pool, study), options, listen)
        _say_what_is_missing(study, listen)
        took, epochs = seconds_per_run(study), plan.planned_epochs
        cost = Cost(took / epochs if took > 0 else math.nan, epochs, 0, 0)
        listen(Ready("confirmation", {"run": cost}, {"run": before.left}))
        share = (fact(study, attributes.CONFIRM) or {}).get("share") or DEFAULT_SHARE
        study.set_user_attr(attributes.CONFIRM, {"share": share, "runs": runs})
        confirming = Confirming(place, study, plan.study, options, lambda: pool, pool.validation is None, listen)
        deadline = time.time() + options.budget
        try:
            outlast_server(lambda: confirming.run(runs, deadline, took if took > 0 else 0.0), listen)
        except KeyboardInterrupt:
            listen(how_it_ended(totals(place, study, division), options, interrupted=True))
            raise
        listen(how_it_ended(totals(place, study, division), options))


def stored_plan(place: StudyPlace) -> Plan:
    """The plan of a stored study, checked, which imports the user's own code that it names."""
    return plan_of_study(open_study(place), str(place), CHECKS)


def check_at_rest(place: StudyPlace, study: optuna.Study, what: str = "search") -> None:
    """StudyError while trials run, those of the search or of its ``what``: the best of them may be yet to come."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    alive = [trial for trial in trials if not is_dead(fact(trial, attributes.OWNER)) and not is_silent(trial)]
    if alive:
        are = "is" if len(alive) == 1 else "are"
        raise StudyError(
            f"{place} is still running: {counted(len(alive), 'trial')} of its {what} {are} under way. Run this"
            f" command when the {what} has ended, or stop it first (Ctrl-C)."
        )


def same_images(plan: Plan, study: optuna.Study, data_dir: Path, listen: OnProgress) -> Pool:
    """The images of a study, to be split; StudyError if those on this machine are others."""
    known = facts_of(study)[attributes.DATA]
    section = plan.data.model_copy(update={"split_seed": known["split_seed"]})
    pool = load_pool(section, data_dir, listen, rule_of(known))
    check_split(pool.split(known["split_seed"]), known, data_dir)
    return pool


def first_split(pool: Pool, study: optuna.Study) -> Splits:
    """The images of a study as its search had them."""
    return pool.split(facts_of(study)[attributes.DATA]["split_seed"])


def check_split(splits: Splits, known: Mapping[str, Any], data_dir: Path) -> None:
    """StudyError if these are not the images that a study has described."""
    if splits.hash != known["split_hash"]:
        raise StudyError(
            f"The images on this machine (split {splits.hash}) are not those of the study (split"
            f" {known['split_hash']}). Copy the data set from the machine that started the study to {data_dir}."
        )


def _planned(place: StudyPlace, study: optuna.Study) -> int:
    found = find_confirmation(place, study)
    return 0 if found is None else len((fact(found, attributes.RACE) or {}).get("planned", ()))


def _runs(study: optuna.Study, planned: int) -> int:
    """As many runs as were asked for, else three for seven trials of the search."""
    asked = int((fact(study, attributes.CONFIRM) or {}).get("runs", 0))
    wanted = round(count_finished(study) * DEFAULT_SHARE / (1 - DEFAULT_SHARE))
    return max(planned, asked) or most_runs(min(max(FEWEST_RUNS, wanted), MOST_RUNS))


def _say_what_is_missing(study: optuna.Study, listen: Listener) -> None:
    left = queue_state(study.get_trials(deepcopy=False)).count_unfinished(int(fact(study, attributes.TRIALS, 0)))
    if left:
        listen(
            Notice(f"The search is not finished: {counted(left, 'trial')} are left. Its leaders so far are confirmed.")
        )
