"""Running the slots of a study that is created, until none is waiting or the budget is spent."""

from __future__ import annotations

import time
from collections import Counter

import optuna
from optuna.trial import TrialState

from regstudy.data.image_set import Splits
from regstudy.errors import StudyError
from regstudy.search.events import Listener
from regstudy.search.queue import close_orphans, top_up
from regstudy.search.search_options import SearchOptions
from regstudy.search.stored_weights import drop_checkpoints
from regstudy.search.worker import Job
from regstudy.search.worker_pool import jobs_for, run_here, run_pool
from regstudy.space.plan import Plan
from regstudy.study import attributes
from regstudy.study.place import StudyPlace
from regstudy.study.queue_state import queue_state


def search(
    place: StudyPlace, study: optuna.Study, plan: Plan, splits: Splits, options: SearchOptions, listen: Listener
) -> None:
    """Bring an existing study to its total of finished trials, or as far as the budget allows.

    Slots whose process is gone are taken up; the trials under way when the budget ends are finished. Raises
    KeyboardInterrupt once all workers have stopped after Ctrl-C.
    """
    study.set_user_attr(attributes.PRUNER, options.pruner)
    study.set_user_attr(attributes.TRIALS, options.trials)
    serve(place, study, plan, splits, options, listen)


def serve(
    place: StudyPlace,
    study: optuna.Study,
    plan: Plan,
    splits: Splits,
    options: SearchOptions,
    listen: Listener,
) -> None:
    """Run slots of a study until none is waiting or the budget is spent, whoever asked for them."""
    deadline = time.time() + options.budget
    job = Job(place.url, study.study_name, place.folder, plan, options, deadline=deadline)
    before: Counter[str] = Counter()
    while True:
        close_orphans(study)
        drop_checkpoints(place.folder, queue_state(study.get_trials(deepcopy=False)).finished)
        top_up(study, plan, place.url)
        waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if not waiting or time.time() >= deadline:
            return
        now = Counter(trial.state.name for trial in study.get_trials(deepcopy=False))
        if now == before:
            raise StudyError(f"The workers ended without running any of the {len(waiting)} waiting trials of {place}.")
        before = now
        if options.workers == 1 and options.trial_timeout is None:
            run_here(job, splits, listen)
        else:
            try:
                run_pool(
                    study, jobs_for(job, min(options.workers, len(waiting))), splits, listen, options.trial_timeout
                )
            except KeyboardInterrupt:
                close_orphans(study)  # of workers that did not stop in time and were ended
                raise
