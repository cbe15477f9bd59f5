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
from regstudy.search.events import ConfirmationStarted, Listener, Notice
from regstudy.search.race_facts import (
    RaceFacts,
    best_baseline,
    challengers,
    facts_in,
    next_round,
    round_plan,
)
from regstudy.search.rounds import check_no_stale_runs, create_companion, run_rounds, unfinished
from regstudy.search.search_options import SearchOptions
from regstudy.space.round_plan import RoundPlan
from regstudy.space.study_name import CONFIRMATION
from regstudy.space.study_section import StudySection
from regstudy.study import attributes
from regstudy.study.companion import companion_place, find_confirmation
from regstudy.study.place import StudyPlace
from regstudy.study.queue_state import count_finished
from regstudy.study.ranking import usable_trials
from regstudy.study.storage import OpenStudy, exclusive, open_named
from regstudy.study.stored_facts import fact
from regstudy.text import counted, listing


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
        place = companion_place(self.place, self.search)
        with closing(open_named(place.url, study.study_name)) as opened, opened.watched():
            facts = self._decide(opened)
            if not unfinished(opened, facts):
                return
            done, metric = count_finished(opened.study), self.section.metric
            pace = seconds / self.options.workers
            self.listen(ConfirmationStarted(self.place, facts.runs, done, None, metric, self.options.workers, pace))
            run_rounds(
                place, opened, lambda: self._decide(opened), self._plan, self._words, self.options, self.images,
                deadline, self.listen,
            )  # fmt: skip

    def _plan(self, facts: RaceFacts) -> RoundPlan:
        return round_plan(facts, self.search, self.section, fresh_splits=self.fresh_splits)

    def _prepare(self, runs: int) -> optuna.Study | None:
        """The study that stores the runs, created if need be; None if there is nothing to compare."""
        baseline, why = best_baseline(self.search), why_not_confirmed(self.search)
        if baseline is None or why:
            self.listen(Notice(why))
            return None
        with exclusive(self.place.url):
            study = find_confirmation(self.place, self.search)
            if study is None:
                check_no_stale_runs(self.place, self.search)
                new = {attributes.RACE: RaceFacts(runs, baseline.number, Race(())).plain(self.search)}
                study = create_companion(self.place, self.search, CONFIRMATION, self.fresh_splits, new)
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

    def _words(self, facts: RaceFacts) -> str:
        """The next round in words."""
        race = facts.race
        leaders = listing([f"trial {number}" for number in race.leaders])
        sizes = ", ".join(map(str, race.sizes))
        leading = f"{sizes} leaders in rounds 1 to {len(race.sizes)}"
        if len(set(race.sizes)) == 1:
            leading = f"{counted(race.sizes[0], 'leader')} in each of {len(race.sizes)} rounds"
        first = max(2, race.sizes.index(race.sizes[race.round - 1]) + 1) if race.round > 1 else 1
        rounds = f"Round {race.round}" if first == race.round else f"Rounds {first} to {race.round}"
        head = f"{rounds} of {len(race.sizes)}: {leaders} against the baseline (trial {facts.baseline})."
        if first > 1:
            return head
        split = "on a fresh split" if self.fresh_splits else "on the same validation images as the search"
        return (
            f"Confirmation: {counted(facts.runs, 'run')}. The leaders of the search and the baseline are trained again"
            f" with fresh seeds, {split}; with {leading}. {head}"
        )


def why_not_confirmed(search: optuna.Study) -> str:
    """Why a search has no winner to confirm; empty if it has one."""
    from regstudy.analysis.learned import nothing_learned  # pandas takes half a second, not to be spent at the start
    from regstudy.study.load_tables import load_tables

    baseline = best_baseline(search)
    if baseline is None:
        return "Nothing to confirm: no baseline trial finished with a usable result."
    if not challengers(search, baseline.number):
        limit = fact(search, attributes.GAP_AT_MOST)
        if limit is not None and usable_trials(search, limited=False):
            return f"Nothing to confirm: no search trial keeps its gap within study.gap_at_most ({limit:g})."
        return "Nothing to confirm: no search trial with another configuration than the baseline's has a usable result."
    if nothing_learned(load_tables(search)):
        return "Nothing to confirm: no trial beats always giving the same answer."
    return ""


def runs_in_time(search: optuna.Study, seconds: float, workers: int) -> float:
    """How many confirmation runs fit into a time, by what the search's full trials took."""
    if math.isinf(seconds):
        return seconds
    took = seconds_per_run(search)
    return math.floor(seconds * workers / took) if took > 0 else 0


def seconds_per_run(search: optuna.Study) -> float:
    """What the full trials of a search took on average; NaN if there is none."""
    from regstudy.study.load_tables import load_tables

    tables = load_tables(search)
    return float(tables.trials.loc[tables.observed(), "seconds"].mean())


def seconds_at_most(study: optuna.Study, share: float) -> float:
    """How long a full trial of a study took at most in this share of the cases; NaN if there is none."""
    from regstudy.study.load_tables import load_tables

    tables = load_tables(study)
    return float(tables.trials.loc[tables.observed(), "seconds"].quantile(share, interpolation="higher"))
