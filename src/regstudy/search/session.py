"""From a plan to a finished study, for searches and comparisons alike: check, estimate the cost, create, run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna

from regstudy.data.image_set import Splits
from regstudy.metrics import metric
from regstudy.search.confirming import Confirming, why_not_confirmed
from regstudy.search.create import check_folders, check_place, create_study
from regstudy.search.division import DEFAULT_SHARE, Division, divide
from regstudy.search.engine import outlast_server, search, serve
from regstudy.search.events import Listener, NothingLeft, Notice, Ready, StudyStarted
from regstudy.search.gpu_sharing import check_memory
from regstudy.search.known_start import StartRequest, known_start
from regstudy.search.race_facts import facts_in
from regstudy.search.rounds import check_no_stale_runs, finish_search, time_until
from regstudy.search.search_options import SearchOptions
from regstudy.search.side_by_side import with_workers
from regstudy.search.study_images import Images
from regstudy.search.totals import how_it_ended, totals
from regstudy.search.trial_cost import check_fit, costs_of
from regstudy.search.worth import WORTH, go_on, stopped_division, why_stopped
from regstudy.space.plan import Plan
from regstudy.space.search_space import Space
from regstudy.space.study_name import name_of_file
from regstudy.study import attributes
from regstudy.study.companion import find_confirmation, folder_of
from regstudy.study.place import StudyPlace, study_place
from regstudy.study.queue_state import count_finished, queue_state, remaining
from regstudy.study.ranking import best_value
from regstudy.study.storage import in_words, outlast
from regstudy.study.stored_facts import fact
from regstudy.text import counted

# checks a plan and its images before training, given the stored results of an earlier check; returns the results that
# the study stores, and raises StudyError if the study would be meaningless
PreflightCheck = Callable[[Any, Splits, dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Where:
    """Where a study is stored and where its images are; without ``name`` it has the plan's, in letters for a folder."""

    results: Path = Path("results")
    name: str | None = None
    storage: str | None = None
    data_dir: Path = Path("data")

    def place(self, plan: Plan) -> StudyPlace:
        """The study's place."""
        return study_place(self.results, self.name or name_of_file(plan.name), self.storage)


@dataclass(frozen=True)
class Session:
    """A study that is about to run."""

    plan: Plan
    images: Images
    place: StudyPlace
    options: SearchOptions
    listen: Listener
    command: str = ""  # reproduces the study
    preflight: PreflightCheck | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)  # further attributes, updated at every run
    start: StartRequest = field(default_factory=StartRequest)  # what a search is to start from

    def run(self) -> None:
        """Run the study until it has its number of trials, or until the time budget is used up.

        Raises StudyError if the place holds a different study or if the default configuration cannot be trained, and
        KeyboardInterrupt after Ctrl-C, once all workers have stopped.
        """
        with in_words(self.place.url):
            study = check_place(self.place, self.plan)
            division = self._division(study)
            if division.confirm:
                check_no_stale_runs(self.place, study)
                check_folders(folder_of(self.place))
            known = known_start(self.start, self.plan, self.place, self.images.splits.hash, study, division.search)
            self.listen(Notice("\n".join([self._introduction(division), *known.notes])))
            if study is not None and not totals(self.place, study, division).left:
                self.listen(self._nothing_left(study, division))
                known.keep(self.place.url, study)
                self._keep_facts(study)
                return
            check_fit(self.plan, self.images.splits)
            doctor = dict(fact(study, attributes.DOCTOR) or {}) if study is not None else {}
            found = self.preflight(self.plan, self.images.splits, doctor) if self.preflight else doctor
            ready = Ready(
                self.plan.kind,
                costs_of(self.plan, self.images.splits, self.options.device),
                self._left(study, division),
                self._confirm_left(study, division),
            )
            options = with_workers(
                self.options, study, self.plan, self.images.splits, ready.seconds, division.search, self.listen
            )
            check_memory(self.plan, self.images.splits, options, self.listen)
            self.listen(ready)
            study = self._create(ready, found, doctor, known.facts())
            if options.workers > self.options.workers:
                study.set_user_attr(attributes.WORKERS, options.workers)
            known.keep(self.place.url, study)
            replace(self, options=options)._work(study, ready, division)

    def _create(
        self, ready: Ready, found: dict[str, Any], known: dict[str, Any], start: dict[str, Any]
    ) -> optuna.Study:
        facts: dict[str, Any] = {attributes.DATA: self.images.facts(), **start}
        if self.plan.kind == "comparison":
            sizes = {name: [cost.parameters, cost.trained] for name, cost in ready.costs.items()}
            facts[attributes.PARAMETERS] = sizes
        study = create_study(self.place, self.plan, self.images.splits, command=self.command, facts=facts)
        for name, value in self.facts.items():
            study.set_user_attr(name, value)
        if found != known:
            study.set_user_attr(attributes.DOCTOR, found)
        return study

    def _work(self, study: optuna.Study, ready: Ready, division: Division) -> None:
        options, deadline = self.options, time.time() + self.options.budget
        left = max(sum(ready.left.values()) + ready.confirm, 1)
        seconds = ready.seconds / left
        pace = seconds / options.workers
        searching = replace(options, trials=division.search)
        if self.plan.kind == "search":
            share = self._share(study)
            study.set_user_attr(attributes.CONFIRM, {"share": share, "runs": division.confirm})
            go_on(study, options.trials, options.until)
            reserved = share * ready.confirm / max(division.confirm, 1)  # of the time
            searching = replace(searching, budget=options.budget * (1 - reserved))
        if sum(ready.left.values()):
            done, best, series = count_finished(study), best_value(study), self.plan.study.metric
            limit = self.plan.study.gap_at_most
            self.listen(StudyStarted(self.place, division.search, done, best, series, options.workers, pace, limit))
        given, until = division, time.time() + searching.budget
        told = fact(study, attributes.STOPPED) is not None

        def after_stop() -> Division:
            """The division once the search has ended early, which is said once; else as it is."""
            nonlocal told
            if fact(study, attributes.STOPPED) is None or division is not given:
                return division
            found = self._division(study)
            if not told:
                self.listen(Notice(why_stopped(study, metric(self.plan.study.metric), found)))
            told = True
            return found

        def stages() -> None:
            nonlocal division
            division = after_stop()  # the server may have gone away after it
            left = replace(searching, trials=division.search, budget=time_until(until))
            search(self.place, study, self.plan, self.images.splits, left, self.listen)
            if given.confirm:
                finish_search(self.place, study, self.plan, self.images.splits, left, self.listen, deadline)
            division = after_stop()
            if not division.confirm:
                return
            if why := why_not_confirmed(study):
                if told:
                    division = self._nothing_confirmed(study, why, division)
                    return
                division = Division(given.total, 0)
                more = replace(options, trials=given.total, budget=time_until(deadline))
                self._search_on(study, why, given.confirm, more, seconds)
            else:
                Confirming(
                    self.place, study, self.plan.study, options, self.images.load,
                    not self.images.splits.own_validation, self.listen,
                ).run(division.confirm, deadline, seconds)  # fmt: skip

        try:
            outlast_server(stages, self.listen)
        except KeyboardInterrupt:
            self._end(study, division, interrupted=True)
            raise
        self._end(study, division)

    def _nothing_confirmed(self, study: optuna.Study, why: str, division: Division) -> Division:
        """Leave the trials that were kept for the confirmation unused: more search is not worth it."""
        self.listen(Notice(f"{why} The {counted(division.confirm, 'trial')} left for it are not used."))
        study.set_user_attr(attributes.CONFIRM, {"share": self._share(study), "runs": 0})
        return Division(division.search, 0, unused=division.unused + division.confirm)

    def _search_on(self, study: optuna.Study, why: str, given: int, options: SearchOptions, seconds: float) -> None:
        """Give the trials that were kept for the confirmation to the search, since there is nothing to confirm."""
        self.listen(Notice(f"{why} The search gets the {counted(given, 'trial')} left for it."))
        study.set_user_attr(attributes.CONFIRM, {"share": self._share(study), "runs": 0})
        done, best, series = count_finished(study), best_value(study), self.plan.study.metric
        pace = seconds / options.workers
        limit = self.plan.study.gap_at_most
        self.listen(StudyStarted(self.place, options.trials, done, best, series, options.workers, pace, limit))
        search(self.place, study, self.plan, self.images.splits, options, self.listen)

    def _division(self, study: optuna.Study | None) -> Division:
        """How the trials are divided between the search and the confirmation of its winner."""
        trials, share = self.options.trials, self._share(study)
        if study is None or self.plan.kind != "search":
            return divide(trials, share, 0, 0)
        found = find_confirmation(self.place, study)
        facts = None if found is None else facts_in(found)
        planned = len(facts.planned) if facts else 0
        if stopped := stopped_division(study, trials, self.options.until, share, planned):
            return stopped
        state = queue_state(study.get_trials(deepcopy=False))
        return divide(trials, share, len(state.finished | state.lost), planned)

    def _share(self, study: optuna.Study | None) -> float:
        """The share of the trials for confirmation: what is asked for, else what was asked for before.

        Studies of earlier versions have none until it is asked for. Without a regularizer there is nothing to confirm.
        """
        if not isinstance(self.plan, Space) or not self.plan.regularizes:
            return 0.0
        if self.options.confirm is not None:
            return self.options.confirm
        known = fact(study, attributes.CONFIRM) if study is not None else None
        if known is not None:
            return float(known["share"])
        return DEFAULT_SHARE if study is None or not study.get_trials(deepcopy=False) else 0.0

    def _end(self, study: optuna.Study, division: Division, *, interrupted: bool = False) -> None:
        if interrupted:  # whoever presses Ctrl-C does not wait for a server
            self._keep_facts(study)
            found = totals(self.place, study, division)
        else:
            outlast(lambda: self._keep_facts(study))
            found = outlast(lambda: totals(self.place, study, division))
        self.listen(how_it_ended(found, self.options, interrupted=interrupted))

    def _keep_facts(self, study: optuna.Study) -> None:
        """Update the attributes that a study stores when it ends."""
        if self.plan.adaptive:
            from regstudy.analysis.audit import (
                audit,  # scipy and pandas take half a second, not to be spent at the start
            )
            from regstudy.study.load_tables import load_tables

            study.set_user_attr(attributes.AUDIT, audit(load_tables(study)).plain())
        for name, value in self.facts.items():
            study.set_user_attr(name, value)

    def _introduction(self, division: Division) -> str:
        splits, options = self.images.splits, self.options
        test = f" ({splits.parts['test']})" if "test" in splits.parts else ""
        folds = ""
        if splits.folds:
            folds = (
                f" Every trial trains {splits.folds} folds, and its value is the mean over them. Only `regstudy train`"
                " uses data.validation."
            )
        parts = division.why_none and f" {division.why_none}"
        if division.confirm:
            searched = counted(division.search, "search trial")
            parts = f" {searched}, then {counted(division.confirm, 'run')} with fresh seeds to confirm the winner."
        if options.until == WORTH and self.plan.kind == "search":
            parts += " The search ends earlier once its next trials would gain too little."
        return (
            f"{self.plan.describe(options.trials)}{parts}\n"
            f"Images: {splits.in_words()} (split {splits.hash}, the same for all runs).{folds} The test set{test} is"
            f" not used. {options.trains_on}"
        )

    def _nothing_left(self, study: optuna.Study, division: Division) -> NothingLeft:
        found, comparison = totals(self.place, study, division), self.plan.kind == "comparison"
        done, lost = found.finished, found.given_up
        runs, more = (counted(done, "run"), "repeats") if comparison else (counted(done, "finished trial"), "trials")
        if division.confirm:
            runs += f" ({counted(division.confirm, 'confirmation run')} among them)"
        also = f" and gave up {lost} after repeated failures" if lost else ""
        words = f"Nothing left to do: {self.place} already has {runs}{also}. To add more, increase {more} (--{more})."
        if fact(study, attributes.STOPPED) is not None:
            words += " The search was ended early; more trials without --until worth go on with it."
        return NothingLeft(words, lost)

    def _confirm_left(self, study: optuna.Study | None, division: Division) -> int:
        """How many confirmation runs are still to be made."""
        found = None if study is None else find_confirmation(self.place, study)
        return remaining(found, division.confirm) if found is not None else division.confirm

    def _left(self, study: optuna.Study | None, division: Division) -> dict[str, int]:
        """How many trials of each arm are still to run, without confirmation runs."""
        total = division.search
        state = queue_state(study.get_trials(deepcopy=False) if study is not None else ())
        names = list(self.plan.representatives())
        if len(names) == 1:
            return {names[0]: state.count_unfinished(total)}
        arms = Counter(self.plan.order(slot)[0] for slot in state.unfinished(total))
        return {name: arms[name] for name in names}


def help_with(
    place: StudyPlace, study: optuna.Study, plan: Plan, splits: Splits, options: SearchOptions, listen: Listener
) -> None:
    """Run trials of a study that was started elsewhere, until none are waiting.

    Raises KeyboardInterrupt after Ctrl-C, once all workers have stopped.
    """
    done, best = count_finished(study), best_value(study)
    limit = plan.study.gap_at_most
    check_memory(plan, splits, options, listen)
    listen(StudyStarted(place, options.trials, done, best, plan.study.metric, options.workers, 0.0, limit))
    serve(place, study, plan, splits, options, listen)
