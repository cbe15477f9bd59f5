"""What a page is made of, and what the analysis found for it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from regstudy.analysis.ablation import Ablation
from regstudy.analysis.confirmation import Confirmation
from regstudy.analysis.gap import BaselineComparison, Relation
from regstudy.analysis.importance import Counts
from regstudy.analysis.learned import Qualification
from regstudy.analysis.next_trials import NextTrials
from regstudy.report.ablation_findings import AblationFindings
from regstudy.report.figures import Drawing
from regstudy.report.grids import Grid
from regstudy.report.media import Album, FindingCard
from regstudy.study.tables import Tables


@dataclass(frozen=True)
class ReportSection:
    """One section of the page: ``notes`` explain how to read it, ``method`` (collapsed) how it was computed.

    A ``folded`` section is a single line with its title and finding until it is opened.
    """

    id: str
    title: str
    finding: str
    notes: list[str] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    figures: list[Drawing] = field(default_factory=list)
    cards: list[FindingCard] = field(default_factory=list)
    albums: list[Album] = field(default_factory=list)
    method: list[str] = field(default_factory=list)
    folded: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing but the finding."""
        return not (self.notes or self.grids or self.figures or self.cards or self.albums or self.method)


@dataclass(frozen=True)
class Findings:
    """Everything that the analysis computed for one report.

    ``fresh``: the tables of the confirmation runs, if there are any; ``confirmation``: what they show;
    ``apart``: what its ablation runs show; ``ahead``: what further trials of the search would gain.
    """

    tables: Tables
    comparison: BaselineComparison
    qualification: Qualification
    relations: list[Relation]
    importances: pd.DataFrame
    counts: Counts
    fresh: Tables | None = None
    confirmation: Confirmation | None = None
    apart: AblationFindings | None = None
    ahead: NextTrials | None = None

    @property
    def ablation(self) -> Ablation | None:
        """The effects of the winner's regularizers; None without ablation runs."""
        return None if self.apart is None else self.apart.result
