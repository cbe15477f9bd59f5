"""Confirmation runs: the leaders of a search and its baseline, trained again with fresh seeds, round by round."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace

import optuna

from regstudy.analysis.race import Race
from regstudy.data.split_source import SplitSource
from regstudy.errors import StudyError
from regstudy.files import make_folder
from regstudy.search.create import versions
from regstudy.search.engine import serve
from regstudy.search.events import ConfirmationStarted, Listener, Notice
from regstudy.search.queue import close_orphans, count_claimable
from regstudy.search.race_facts import (
    RaceFacts,
    best_baseline,
    challengers,
    facts_in,
    next_round,
    round_plan,
)
from regstudy.search.search_options import SearchOptions
from regstudy.space.plan import Plan
from regstudy.space.study_name import CONFIRMATION
from regstudy.space.study_section import StudySection
from regstudy.study import attributes
from regstudy.study.companion import confirmation_place, find_confirmation, has_stale_runs
from regstudy.study.passwords import masked_url
from regstudy.study.place import StudyPlace
from regstudy.study.queue_state import count_finished, queue_state
from regstudy.study.storage import OpenStudy, exclusive, open_named, open_storage
from regstudy.study.stored_facts import facts_of
from regstudy.text import counted, listing

COPIED = (
    attributes.METRIC,
    attributes.DATA,
    attributes.REGULARIZERS,
    attributes.SEED,
    attributes.SPACE_NAME,
    attributes.EPOCHS_PLANNED,
)  # from the search, so that the runs can be read alone
POLL = 2.0  # seconds between looks at what other workers do


@dataclass(frozen=True)
class Confirming:
    """The confirmation runs of a search. ``images`` loads the images when the first run needs them."""

    place: StudyPlace  # of the search
    search: optuna.Study
    section: StudySection
    options: SearchOptions
    images: Callable[[], SplitSource]
    fresh_splits: bool
    listen: Listener

    def run(self, runs: int, deadline: float, seconds: float = 0.0) -> None:
        """Make the study have this many confirmation runs in all, or as many as the deadline (time.time()) allows.

        ``seconds`` is the estimate for one. Waits for runs that other workers have taken. Raises KeyboardInterrupt
        after Ctrl-C, once all workers have stopped.
        """
        done, before = self._finished(), -1
        while before < done < runs and time.time() < deadline:
            # leaders are as many as the time is enough for; what is left of it then is used for more
            fitting = done + runs_in_time(self.search, deadline - time.time(), self.options.workers)
            if fitting <= done:
                return
            self._race(int(min(runs, fitting)), deadline, seconds)
            done, before = self._finished(), done

    def _finished(self) -> int:
        found = find_confirmation(self.place, self.search)
        return 0 if found is None else count_finished(found)

    def _race(self, runs: int, deadline: float, seconds: float) -> None:
        study = self._prepare(runs)
        if study is None:
            return
        place = confirmation_place(self.place, self.search)
        make_folder(place.folder)
        images: SplitSource | None = None
        with closing(open_named(place.url, study.study_name)) as opened, opened.watched():
            facts, announced = self._decide(opened), -1
            if not self._unfinished(opened, facts):
                return
            done, metric = count_finished(opened.study), self.section.metric
            pace = seconds / self.options.workers
            self.listen(ConfirmationStarted(self.place, facts.runs, done, None, metric, self.options.workers, pace))
            while self._unfinished(opened, facts) and time.time() < deadline:
                if facts.race.round != announced:
                    announced = facts.race.round
                    self.listen(Notice(self._words(facts)))
                images = images or self.images()
                plan = round_plan(facts, self.search, self.section, fresh_splits=self.fresh_splits)
                left = replace(self.options, trials=len(facts.planned), budget=time_until(deadline))
                serve(place, opened.study, plan, images, left, self.listen)
                wait_for_others(opened, deadline, self.listen)
                facts = self._decide(opened)

    def _prepare(self, runs: int) -> optuna.Study | None:
        """The study that stores the runs, created if need be; None if there is nothing to compare."""
        baseline, why = best_baseline(self.search), why_not_confirmed(self.search)
        if baseline is None or why:
            self.listen(Notice(why))
            return None
        name = confirmation_place(self.place, self.search).name
        with exclusive(self.place.url):
            study = find_confirmation(self.place, self.search)
            if study is None:
                check_no_stale_runs(self.place, self.search)
                study = optuna.create_study(
                    study_name=name,
                    storage=open_storage(self.place.url),
                    direction=self.search.direction,
                    load_if_exists=True,  # one whose creation was interrupted
                )
                known = facts_of(self.search)
                known[attributes.DATA] = {**known[attributes.DATA], "own_validation": not self.fresh_splits}
                for key in COPIED:
                    if key in known:
                        study.set_user_attr(key, known[key])
                study.set_user_attr(attributes.VERSIONS, versions())
                new = RaceFacts(runs, baseline.number, Race(()))
                study.set_user_attr(attributes.RACE, new.plain(self.search))  # with it the creation is complete
            facts = facts_in(study)
            assert facts is not None  # or it is not found
            if facts.runs != max(runs, len(facts.planned)):  # what is planned may be under way elsewhere
                facts = replace(facts, runs=max(runs, len(facts.planned)))
                study.set_user_attr(attributes.RACE, facts.plain(self.search))
        return study

    def _decide(self, opened: OpenStudy) -> RaceFacts:
        """The facts after the next round has been planned, if the last one has ended."""

        def attempt() -> RaceFacts:
            with exclusive(opened.url):
                study = opened.study
                facts = facts_in(study)
                assert facts is not None  # `_prepare` has stored them
                after = next_round(facts, self.search, study.get_trials(deepcopy=False))
                if after != facts:
                    study.set_user_attr(attributes.RACE, after.plain(self.search))
                study.set_user_attr(attributes.TRIALS, len(after.planned))
                return after

        return opened.patiently(attempt)

    def _unfinished(self, opened: OpenStudy, facts: RaceFacts) -> int:
        trials = opened.patiently(lambda: opened.study.get_trials(deepcopy=False))
        return queue_state(trials).count_unfinished(len(facts.planned))

    def _words(self, facts: RaceFacts) -> str:
        """The next round in words."""
        race = facts.race
        leaders = listing([f"trial {number}" for number in race.leaders])
        sizes = ", ".join(map(str, race.sizes))
        first = max(2, race.sizes.index(race.sizes[race.round - 1]) + 1) if race.round > 1 else 1
        rounds = f"Round {race.round}" if first == race.round else f"Rounds {first} to {race.round}"
        head = f"{rounds} of {len(race.sizes)}: {leaders} against the baseline (trial {facts.baseline})."
        if first > 1:
            return head
        split = "on a fresh split" if self.fresh_splits else "on the same validation images as the search"
        return (
            f"Confirmation: {counted(facts.runs, 'run')}. The leaders of the search and the baseline are trained again"
            f" with fresh seeds, {split}; with {sizes} leaders in rounds 1 to {len(race.sizes)}. {head}"
        )


def why_not_confirmed(search: optuna.Study) -> str:
    """Why a search has no winner to confirm; empty if it has one."""
    from regstudy.analysis.learned import nothing_learned  # pandas takes half a second, not to be spent at the start
    from regstudy.study.tables import load_tables

    baseline = best_baseline(search)
    if baseline is None:
        return "Nothing to confirm: no baseline trial finished with a usable result."
    if not challengers(search, baseline.number):
        return "Nothing to confirm: no search trial with another configuration than the baseline's has a usable result."
    if nothing_learned(load_tables(search)):
        return "Nothing to confirm: no trial beats always giving the same answer."
    return ""


def check_no_stale_runs(place: StudyPlace, search: optuna.Study | None) -> None:
    """StudyError if a place holds confirmation runs of an earlier study, where this one would store its own."""
    name = place.name if search is None else search.study_name
    if (search is None or find_confirmation(place, search) is None) and has_stale_runs(place.url, name):
        companion = name + CONFIRMATION
        where = masked_url(place.url)
        raise StudyError(
            f"{place} still holds confirmation runs, as the study '{companion}', of an earlier study that was deleted."
            f" Delete them, too (optuna delete-study --study-name {companion} --storage {where}), or use another study"
            " name (--study NAME)."
        )


def time_until(deadline: float) -> float:
    """Seconds until a deadline (time.time()); 0 if it is over."""
    return max(0.0, deadline - time.time())


def runs_in_time(search: optuna.Study, seconds: float, workers: int) -> float:
    """How many confirmation runs fit into a time, by what the search's full trials took."""
    if math.isinf(seconds):
        return seconds
    took = seconds_per_run(search)
    return math.floor(seconds * workers / took) if took > 0 else 0


def seconds_per_run(search: optuna.Study) -> float:
    """What the full trials of a search took on average; NaN if there is none."""
    from regstudy.study.tables import load_tables

    tables = load_tables(search)
    return float(tables.trials.loc[tables.observed(), "seconds"].mean())


def finish_search(
    place: StudyPlace,
    search: optuna.Study,
    plan: Plan,
    images: SplitSource,
    options: SearchOptions,
    listen: Listener,
    deadline: float,
) -> None:
    """Wait until other workers have finished the search, and run what they leave."""
    with closing(open_named(place.url, search.study_name)) as opened, opened.watched():
        while True:
            wait_for_others(opened, deadline, listen)
            claimable = opened.patiently(lambda: count_claimable(opened.study))
            if not claimable or time.time() >= deadline or math.isfinite(options.budget):
                return
            serve(place, search, plan, images, options, listen)


def wait_for_others(opened: OpenStudy, deadline: float, listen: Listener) -> None:
    """Wait while other workers run what is left and nothing can be claimed here."""
    told = False
    while time.time() < deadline:
        close_orphans(opened)
        running = opened.patiently(
            lambda: opened.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
        )
        if not running or opened.patiently(lambda: count_claimable(opened.study)):
            return
        if not told:
            listen(Notice(f"Waiting for {counted(len(running), 'run')} of other workers."))
            told = True
        time.sleep(POLL)
