"""The results of a study for programs and notebooks: tables, best trial, verdict, figures, report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import plotly.graph_objects as go

from regstudy.analysis.confirmation import Confirmation
from regstudy.analysis.next_trials import NextTrials
from regstudy.config.run_config import RunConfig, parse_config
from regstudy.errors import StudyError
from regstudy.report.ablation_table import ablation_frame
from regstudy.report.answer_phrasing import Answer
from regstudy.report.first_screen import answer_to, as_verdict
from regstudy.report.metric_phrasing import gap_score, score, validation_name
from regstudy.report.next_actions import arguments_of
from regstudy.report.page import find, write_report
from regstudy.report.phrasing import metric_name, objective
from regstudy.report.sections import Findings, ReportSection, sections
from regstudy.report.verdict_phrasing import Verdict
from regstudy.study import attributes
from regstudy.study.companion import find_ablation, find_confirmation
from regstudy.study.load_tables import load_tables
from regstudy.study.place import StudyPlace
from regstudy.study.storage import in_words
from regstudy.study.stored_facts import fact
from regstudy.study.tables import Tables, best


@dataclass(frozen=True)
class BestTrial:
    """The best complete trial. It was chosen by ``value``, so expect a somewhat lower value with a new seed."""

    number: int
    value: float  # of the study's metric, at the best epoch
    epoch: int  # from 1; 0 if unknown
    stored: Mapping[str, Any] | None = field(repr=False)  # the configuration as stored in the study

    @property
    def config(self) -> RunConfig:
        """The resolved configuration; StudyError for a study that regstudy did not make, which stores none."""
        if self.stored is None:
            raise StudyError(f"Trial {self.number} has no stored configuration: this study was not made by regstudy.")
        return parse_config(self.stored, f"trial {self.number}")


class StudyResult:
    """A snapshot of a study, taken when it is created. `load_results` takes a new one; `report` re-reads the study.

    Shares such as accuracy are fractions in 0..1, losses in nats, times in seconds. ``tables`` holds the tables and
    facts about the study, ``study`` is Optuna's, ``fresh`` its study of confirmation runs and ``ablated`` that
    of ablation runs, if there are any. Raises StudyError for a study with several objectives.
    """

    def __init__(self, place: StudyPlace, study: optuna.Study) -> None:
        self.place, self.study = place, study
        with in_words(place.url):
            self.tables: Tables = load_tables(study)
            self.fresh: optuna.Study | None = find_confirmation(place, study)
            self.ablated: optuna.Study | None = find_ablation(place, study)

    @property
    def name(self) -> str:
        """The study's name."""
        return self.study.study_name

    @property
    def trials(self) -> pd.DataFrame:
        """A row per trial: how it ended, the series at its best epoch, its configuration by dotted path."""
        return self.tables.trials

    @property
    def epochs(self) -> pd.DataFrame:
        """A row per epoch of every trial, with all series and the gaps."""
        return self.tables.epochs

    @property
    def finished(self) -> int:
        """How many trials have ended with a result, pruned ones included."""
        return int(self.trials["state"].isin(["COMPLETE", "PRUNED"]).sum())

    @cached_property
    def best(self) -> BestTrial | None:
        """The best trial that was complete and did not diverge; None before there is any."""
        row = best(self.tables)
        if row is None:
            return None
        number = int(row["number"])
        with in_words(self.place.url):
            trials = {trial.number: trial for trial in self.study.get_trials(deepcopy=False)}
        stored, epoch = fact(trials[number], attributes.CONFIG), row["best_epoch"]
        return BestTrial(number, float(row["value"]), 0 if pd.isna(epoch) else int(epoch), stored)

    @cached_property
    def confirmation(self) -> Confirmation | None:
        """The claim about the winner, from fresh seeds alone; None before confirmation runs have ended."""
        return self._findings.confirmation

    @cached_property
    def next_trials(self) -> NextTrials | None:
        """What ten further search trials would truly gain, and whether that is worth it; None before 15 trials."""
        return self._findings.ahead

    @cached_property
    def ablation(self) -> pd.DataFrame | None:
        """What each regularizer of the winner does, a row per effect; None before ablation runs have ended.

        Changes are those that the regularizer makes: a positive ``metric`` is better validation, also of a loss, a
        negative ``gap`` a smaller gap. Ends are of 95 % intervals, ``new_`` those for new images of the same kind.
        ``lr_factor_`` is what the winner's learning rate is multiplied by in the arm with it and in that without it.
        """
        found = self._findings.apart
        return None if found is None else ablation_frame(found)

    @cached_property
    def answer(self) -> Answer:
        """The study's answer with its status, as the report gives it; its ``lines`` are plain text."""
        return answer_to(self._findings, arguments_of(self.place))

    @cached_property
    def verdict(self) -> Verdict:
        """The study's result: a headline, the reasons, and caveats. After confirmation runs it rests on these alone."""
        return as_verdict(self._findings, self.answer)

    @property
    def importances(self) -> pd.DataFrame:
        """Importances for the metric and the gap, with chance thresholds; a row per parameter and target."""
        return self._findings.importances

    @property
    def figures(self) -> dict[str, go.Figure]:
        """The report's figures by title."""
        return {drawing.title: drawing.figure for section in self._sections for drawing in section.figures}

    def report(self) -> Path:
        """Write the report into the study's folder and return its page."""
        with in_words(self.place.url):
            fresh, ablated = find_confirmation(self.place, self.study), find_ablation(self.place, self.study)
            return write_report(
                self.study, self.place.output, fresh=fresh, where=arguments_of(self.place), ablated=ablated
            )

    @cached_property
    def _findings(self) -> Findings:
        with in_words(self.place.url):
            return find(self.study, self.tables, self.fresh, self.ablated)

    @cached_property
    def _sections(self) -> list[ReportSection]:
        return sections(self._findings)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} of {self.place}: {self.finished} finished trials"]
        if self.best is not None:
            shown = objective(self.best.value, self.tables.metric)
            lines.append(f"Best: trial {self.best.number}, {metric_name(self.tables.metric)} {shown}")
        return "\n".join([*lines, str(self.verdict)])

    def _repr_html_(self) -> str:
        text = self.verdict
        sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in [*text.sentences, *text.cautions])
        return f"<p><b>{escape(text.headline)}</b></p><ul>{sentences}</ul>{self._summary_html()}"

    def _summary_html(self) -> str:
        """The best trials as a small table."""
        trials, of = self.trials[self.tables.eligible()], self.tables.measured
        top = trials.sort_values("value", ascending=not self.tables.maximize).head(5)
        shown = pd.DataFrame(
            {
                "trial": top["number"],
                "arm": top["arm"],
                "train (eval mode)": [score(value, of) for value in top[of.clean_train]],
                validation_name(of): [score(value, of) for value in top[of.val]],
                "gap": [gap_score(value, of) for value in top[self.tables.gap]],
            }
        )
        return str(shown.to_html(index=False, border=0))
