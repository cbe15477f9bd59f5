"""What a study showed, for programs and notebooks: tables, the best trial, the verdict, figures, the report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path

import optuna
import pandas as pd
import plotly.graph_objects as go

from regstudy.config.run_config import RunConfig, parse_config
from regstudy.report.page import find, write_report
from regstudy.report.phrasing import VerdictText, metric_name, objective, percent, verdict
from regstudy.report.sections import Findings, Section, sections
from regstudy.study import attributes
from regstudy.study.place import StudyPlace
from regstudy.study.queue_state import count_finished
from regstudy.study.ranking import usable_trials
from regstudy.study.storage import in_words
from regstudy.study.tables import Tables, load_tables


@dataclass(frozen=True)
class BestTrial:
    """The best of a study's complete trials: it was chosen by ``value``, so a fresh seed will give somewhat less."""

    number: int
    value: float  # of the study's metric, at the best epoch
    epoch: int  # counts from 1
    config: RunConfig


class StudyResult:
    """A snapshot of a study; `load_results` takes a new one.

    Accuracies are fractions in 0..1, losses nats, times seconds. Raises StudyError for a study with several objectives.
    """

    def __init__(self, place: StudyPlace, study: optuna.Study) -> None:
        self.place, self.study = place, study

    @cached_property
    def tables(self) -> Tables:
        """The study's tables with the facts that belong to the whole."""
        with in_words(self.place.url):
            return load_tables(self.study)

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
        return count_finished(self.study)

    @cached_property
    def best(self) -> BestTrial | None:
        """The best trial that was complete and did not diverge; None before there is any."""
        ours = (trial for trial in usable_trials(self.study) if attributes.CONFIG in trial.user_attrs)
        trial = next(ours, None)
        if trial is None or trial.value is None:
            return None
        facts = trial.user_attrs
        config = parse_config(facts[attributes.CONFIG], f"trial {trial.number} of {self.name}")
        return BestTrial(trial.number, trial.value, int(facts.get(attributes.BEST_EPOCH, 0)), config)

    @cached_property
    def verdict(self) -> VerdictText:
        """What the study showed: a headline, why, and what to beware of."""
        return verdict(self._findings.tables, self._findings.comparison, self._findings.relations)

    @property
    def importances(self) -> pd.DataFrame:
        """Which parameters moved the metric and the gap, with what chance reaches; a row per parameter and target."""
        return self._findings.importances

    @property
    def figures(self) -> dict[str, go.Figure]:
        """The report's figures by title."""
        return {drawing.title: drawing.figure for section in self._sections for drawing in section.figures}

    def report(self) -> Path:
        """Write the report into the study's folder and return its page."""
        with in_words(self.place.url):
            return write_report(self.study, self.place.folder)

    @cached_property
    def _findings(self) -> Findings:
        with in_words(self.place.url):
            return find(self.study)

    @cached_property
    def _sections(self) -> list[Section]:
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
        trials = self.trials[self.tables.observed()]
        top = trials.sort_values("value", ascending=not self.tables.maximize).head(5)
        shown = pd.DataFrame(
            {
                "trial": top["number"],
                "arm": top["arm"],
                "clean training": top["clean_train_accuracy"].map(percent),
                "validation": top["val_accuracy"].map(percent),
                "gap": top["gap_accuracy"].map(percent),
            }
        )
        return str(shown.to_html(index=False, border=0))
