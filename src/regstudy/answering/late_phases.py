"""The phases after the search: confirmation, ablation, final training. What one does not use goes to those after it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import optuna

from regstudy.analysis.ablation_arms import arms_of, contrasts_of
from regstudy.analysis.ablation_design import MIN_REPEATS
from regstudy.analysis.answer_deadlines import SURE, final_start, last_start
from regstudy.analysis.answer_plan import FEWEST_CONFIRMED, MOST_ABLATED, MOST_CONFIRMED, AnswerPlan
from regstudy.analysis.race import most_runs
from regstudy.answering.answer_clock import AnswerClock
from regstudy.answering.plan_words import CONFIG_FILE, MODEL_FOLDER, model_words, skipped_words
from regstudy.api import train
from regstudy.config.active_regularizers import active_regularizers
from regstudy.errors import StudyError
from regstudy.production.choice import confirmation_of
from regstudy.production.epoch_line import epoch_line
from regstudy.production.export import Exported, export
from regstudy.production.training_folder import METRICS_FILE, config_hash, read_metrics, unfinished
from regstudy.search.ablate_study import AblationRequest, ablate_study, winner_of
from regstudy.search.ablation_facts import ablation_in, winner_config
from regstudy.search.confirm_study import confirm_study
from regstudy.search.confirming import seconds_at_most, seconds_per_run, why_not_confirmed
from regstudy.search.events import Notice
from regstudy.search.race_facts import facts_in
from regstudy.search.search_options import SearchOptions
from regstudy.space.loader import load_config
from regstudy.study import attributes
from regstudy.study.companion import find_ablation, find_confirmation
from regstudy.study.place import StudyPlace

SAFE = 0.95  # of the time for the ablation, so that its last look is made
TO_CONFIRM = 0.3  # share of what the search leaves, for the confirmation


@dataclass(frozen=True)
class LatePhases:
    """The phases after the search of a study; ``training`` is the pace of the pilot in seconds."""

    place: StudyPlace
    study: optuna.Study
    plan: AnswerPlan
    training: float
    options: SearchOptions
    data_dir: Path
    margin: float | None  # as asked for
    command: str
    clock: AnswerClock
    skipped: Callable[[str], None]  # stores why there is no ablation although one is planned

    def confirm(self) -> None:
        """Make as many confirmation runs as are planned, and more with a share of what the search has left.

        Trials of the search may take longer than those of the pilot, which have no regularizers. Then the race has as
        many runs as fit: a small one that ends tells more than a large one that is cut off.
        """
        if why := why_not_confirmed(self.study):
            self._say(why)
            return
        plan, clock = self.plan, self.clock
        if "confirm" not in clock.progress.runs:
            end = clock.progress.pilot + plan.seconds["search"] + plan.seconds["confirm"]
            end = end if plan.runs["ablate"] else self._final(self.study)
            unspent = self._fitting(end, self.study) - plan.runs["confirm"]
            more = max(0, int((TO_CONFIRM if plan.runs["ablate"] else 1.0) * unspent))
            fitting = max(FEWEST_CONFIRMED, self._fitting(self._final(self.study), self.study))
            clock.decide("confirm", most_runs(min(plan.runs["confirm"] + more, MOST_CONFIRMED, fitting)))
        self._confirm(clock.progress.runs["confirm"])

    def _confirm(self, runs: int) -> None:
        """Make so many confirmation runs in all; they may use the time of the ablation, which needs a winner."""
        runs = max(runs, FEWEST_CONFIRMED, self._confirmed())
        fresh = find_confirmation(self.place, self.study)
        options = self._within(runs, fresh if fresh is not None else self.study)
        confirm_study(self.place, runs, options, self.data_dir, self.clock.tell)

    def _confirmed(self) -> int:
        """How many confirmation runs are planned already."""
        found = find_confirmation(self.place, self.study)
        facts = None if found is None else facts_in(found)
        return len(facts.planned) if facts else 0

    def ablate(self) -> None:
        """Take the winner apart with all the time that is left, or give it to an undecided confirmation."""
        confirmed = confirmation_of(self.study, fresh := find_confirmation(self.place, self.study))
        if confirmed is not None and confirmed.status in ("no better", "nothing learned"):
            self._say("The winner is no better than the baseline, so there is nothing to take apart.")
            return
        try:
            number, _ = winner_of(self.place, self.study)
        except StudyError as error:
            self._say(str(error))
            return
        names = [one.name for one in active_regularizers(winner_config(self.study, number))]
        if not names:
            self._say(f"The winner (trial {number}) has no regularizer on; there is nothing to take apart.")
            return
        timed = fresh if fresh is not None else self.study
        known = find_ablation(self.place, self.study)
        facts = None if known is None else ablation_in(known)
        least = MIN_REPEATS * len(arms_of(contrasts_of(names)))
        if "ablate" not in self.clock.progress.runs:
            fitting = min(int(SAFE * self._fitting(self._final(timed), timed)), MOST_ABLATED)
            self.clock.decide("ablate", max(fitting + (facts.made if facts else 0), facts.runs if facts else 0))
        runs = self.clock.progress.runs["ablate"]
        if facts is None and runs < least:
            why = skipped_words(names, least, least * self._pace(timed) / self.options.workers)
            self.skipped(why)
            self._say(why)
            if confirmed is None or confirmed.status in ("undecided", "too few rounds"):
                self._confirm(min(self._confirmed() + runs, MOST_CONFIRMED))
            return
        runs = max(runs, facts.runs if facts else 0)
        request = AblationRequest(runs, self.margin)
        ablate_study(self.place, request, self._within(runs, timed), self.data_dir, self.clock.tell)

    def train(self) -> None:
        """Train what is recommended, unless that has been done, and note where the network is."""
        file, folder = self.place.output / CONFIG_FILE, self.place.output / MODEL_FOLDER
        try:
            chosen = export(self.place.folder, file, storage=self.place.storage)
        except StudyError as error:
            self._say(f"There is no final training: {error}")
            return
        if not _is_trained(file, folder):
            self._say(f"Final training of trial {chosen.trial}. {chosen.why}")
            train(
                file, folder, data_dir=self.data_dir, device=self.options.device, threads=self.options.threads,
                on_epoch=lambda records, signal: self._say(epoch_line(records, signal)), progress=self.clock.tell,
                command=self.command,
            )  # fmt: skip
        self._note(folder, chosen)

    def _note(self, folder: Path, chosen: Exported) -> None:
        """Store what the page says about the final network."""
        metrics = read_metrics(folder)
        if not metrics.get("best_epoch"):
            why = metrics.get("reason", "no reason is known")
            self._say(f"The final training did not succeed ({why}); see {folder}.")
            return
        known = {"folder": folder.name, "trial": chosen.trial, "words": model_words(metrics)}
        self.study.set_user_attr(attributes.FINAL_MODEL, known)

    def _within(self, runs: int, timed: optuna.Study) -> SearchOptions:
        """Options for so many runs, the last of which ends before the final training at the pace of a study."""
        end = last_start(self._final(timed), self._pace(timed))
        return replace(self.options, trials=runs, budget=self.clock.until(end))

    def _final(self, timed: optuna.Study) -> float:
        """When the final training begins at the latest."""
        return final_start(self.clock.budget, max(self.training, self._pace(timed)))

    def _fitting(self, end: float, timed: optuna.Study) -> int:
        """How many trainings fit until then, by their mean."""
        mean = seconds_per_run(timed)
        return int(self.clock.until(end) * self.options.workers / (mean if mean > 0 else self.training))

    def _pace(self, timed: optuna.Study) -> float:
        """Seconds that nine of ten whole trainings of a study took at most."""
        found = seconds_at_most(timed, SURE)
        return found if math.isfinite(found) and found > 0 else self.training

    def _say(self, text: str) -> None:
        self.clock.listen(Notice(text))


def _is_trained(file: Path, folder: Path) -> bool:
    """Whether the folder holds a training of the configuration in a file that has ended."""
    if unfinished(folder) or not (folder / METRICS_FILE).exists():
        return False
    return bool(read_metrics(folder).get("config_hash") == config_hash(load_config(file)))
