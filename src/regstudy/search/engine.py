"""Running the slots of a study that is created, until none is left to take or the budget is spent."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing

import optuna

from regstudy.data.split_source import SplitSource
from regstudy.errors import StudyError
from regstudy.search.events import Listener, Notice
from regstudy.search.queue import close_orphans, close_own, count_claimable
from regstudy.search.search_options import SearchOptions
from regstudy.search.stored_weights import drop_checkpoints
from regstudy.search.worker import Job
from regstudy.search.worker_pool import jobs_for, run_here, run_pool
from regstudy.space.plan import Plan
from regstudy.study import attributes
from regstudy.study.place import StudyPlace
from regstudy.study.queue_state import queue_state
from regstudy.study.storage import open_named, outlast


def outlast_server(stages: Callable[[], None], listen: Listener) -> None:
    """Run stages of a study, and again from the start when the database server goes away in between, which is said.

    The stages must take up what is stored, as `search` does.
    """
    outlast(stages, lambda: listen(Notice("The database server does not answer. Waiting for it; no trial is lost.")))


def search(
    place: StudyPlace, study: optuna.Study, plan: Plan, images: SplitSource, options: SearchOptions, listen: Listener
) -> None:
    """Bring an existing study to its total of finished trials, or as far as the budget allows.

    Slots whose process is gone are taken up; the trials under way when the budget ends are finished. Raises
    KeyboardInterrupt once all workers have stopped after Ctrl-C.
    """
    study.set_user_attr(attributes.PRUNER, options.pruner)
    study.set_user_attr(attributes.UNTIL, options.until)
    study.set_user_attr(attributes.TRIALS, options.trials)
    serve(place, study, plan, images, options, listen)


def serve(
    place: StudyPlace,
    study: optuna.Study,
    plan: Plan,
    images: SplitSource,
    options: SearchOptions,
    listen: Listener,
) -> None:
    """Run slots of a study until none is left to take or the budget is spent, whoever asked for them."""
    deadline = time.time() + options.budget
    job = Job(place.url, study.study_name, place.folder, plan, options, deadline=deadline)
    with closing(open_named(place.url, study.study_name)) as opened, opened.watched():
        before: Counter[str] | None = None
        while True:
            opened.check_present()  # all that follows would count trials that are in no file any more
            close_orphans(opened)
            close_own(opened)
            trials = opened.patiently(lambda: opened.study.get_trials(deepcopy=False))
            drop_checkpoints(place.folder, queue_state(trials).finished)
            claimable = opened.patiently(lambda: count_claimable(opened.study, plan.decided))
            if not claimable or time.time() >= deadline:
                return
            now = Counter(trial.state.name for trial in trials)
            if now == before:
                raise StudyError(f"The workers ended without running any of the {claimable} trials left of {place}.")
            before = now
            if options.launcher is not None:
                from regstudy.search.ray_pool import run_ray  # Ray is an extra

                run_ray(opened, job, min(options.workers, claimable), images, listen)
            elif options.workers == 1 and options.trial_timeout is None:
                run_here(job, images, listen)
            else:
                count = min(options.workers, claimable)
                # runs that are compared get the same number of threads however many are left, so the same curve
                jobs = jobs_for(job, count) if plan.adaptive else jobs_for(job, options.workers)[:count]
                try:
                    run_pool(opened, jobs, images, listen, options.trial_timeout)
                except KeyboardInterrupt:
                    close_orphans(opened)  # of workers that did not stop in time and were ended
                    raise
