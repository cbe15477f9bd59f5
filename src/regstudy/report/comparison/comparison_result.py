"""The results of a comparison for programs and notebooks."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from regstudy.analysis.arm_statistics import Comparison, load_comparison
from regstudy.report.answer_phrasing import Answer
from regstudy.report.comparison.comparison_page import comparison_sections, comparison_table, write_comparison
from regstudy.report.comparison.comparison_phrasing import comparison_verdict
from regstudy.report.study_result import StudyResult
from regstudy.report.verdict_phrasing import Verdict
from regstudy.study.storage import in_words


class ComparisonResult(StudyResult):
    """A snapshot of a comparison: fixed configurations, the arms, each run with several seeds."""

    @cached_property
    def comparison(self) -> Comparison:
        """Every arm with its spreads, and every difference from the first arm."""
        with in_words(self.place.url):
            return load_comparison(self.study)

    @property
    def arms(self) -> pd.DataFrame:
        """A row per arm and measure: number of runs, mean, standard deviation and range over the seeds."""
        table = comparison_table(self.comparison)
        return table[table["against"].isna()][["arm", "measure", "n", "mean", "sd", "low", "high"]]

    @property
    def differences(self) -> pd.DataFrame:
        """A row per other arm and measure: the paired difference from the first arm, its 95 % interval and p-value."""
        table = comparison_table(self.comparison)
        return table[table["against"].notna()].drop(columns=["low", "high"]).reset_index(drop=True)

    @cached_property
    def verdict(self) -> Verdict:
        """What the differences show, and caveats."""
        return comparison_verdict(self.comparison)

    @cached_property
    def answer(self) -> Answer:
        """The verdict as an answer; a comparison has no winner to confirm."""
        text = self.verdict
        caveat = " ".join(text.cautions[:1])
        return Answer("none", "Compared", text.headline, " ".join(text.sentences[:1]), caveat=caveat)

    @property
    def figures(self) -> dict[str, go.Figure]:
        """The page's figures by title."""
        return {
            drawing.title: drawing.figure for part in comparison_sections(self.comparison) for drawing in part.figures
        }

    def report(self) -> Path:
        """Write the page into the study's folder and return it."""
        with in_words(self.place.url):
            return write_comparison(self.study, self.place.output)

    def _summary_html(self) -> str:
        """The differences as a small table."""
        return str(self.differences[["arm", "measure", "n", "mean", "verdict"]].to_html(index=False, border=0))
