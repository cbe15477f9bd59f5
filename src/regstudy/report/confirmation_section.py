"""The section with the confirmation runs: every value by round, and how the claim is computed."""

from __future__ import annotations

from regstudy.report.grids import Grid
from regstudy.report.metric_phrasing import score
from regstudy.report.phrasing import NONE
from regstudy.report.report_section import Findings, ReportSection
from regstudy.text import counted

HOW_IT_IS_CLAIMED = [
    "In each round the leaders that are left and the baseline are trained once with the same fresh seed and, where the "
    "validation part is split off by regstudy, on the same fresh split. Leaders drop out from round to round; no run "
    "is pruned.",
    "The winner is the leader that is believed best at the end. Because the same rounds helped to choose it, each "
    "round is read without its own vote: its value is that of the configuration which the search and the other rounds "
    "would have chosen. The mean of these values is claimed. Its interval covers the 95 % t-intervals of these values "
    "and of the winner's own, both paired with the baseline of the same round.",
    "“Confirmed” takes four rounds and an interval that lies wholly above the margin. Leaders are compared with the "
    "winner over the rounds that both ran, with the spread of all runs together (two-way analysis of variance).",
]


def confirmation_section(found: Findings) -> ReportSection | None:
    """The values of the confirmation runs; None without any."""
    claim = found.confirmation
    if claim is None:
        return None
    of, arms = claim.metric, [claim.baseline, *claim.leaders]
    rounds = sorted({number for arm in arms for number in arm.values})
    rows = [
        [
            "baseline" if arm is claim.baseline else f"trial {arm.number}",
            score(arm.searched, of),
            *(score(arm.values[number], of) if number in arm.values else NONE for number in rounds),
        ]
        for arm in arms
    ]
    head = ["", "search", *(f"round {number}" for number in rounds)]
    finding = (
        f"{counted(claim.runs, 'run')} with fresh seeds in {counted(len(rounds), 'round')}: {claim.epochs:,} epochs, "
        f"none pruned, after {claim.search_epochs:,} epochs of the search."
    )
    grid = Grid(head, rows, frozenset(range(1, len(head))), frozenset({1}))
    return ReportSection("confirmation", "Confirmation runs", finding, grids=[grid], method=HOW_IT_IS_CLAIMED)
