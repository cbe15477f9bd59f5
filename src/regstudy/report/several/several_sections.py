"""The sections of a page about several studies: differences, metric and gap, budgets, spaces, data."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from regstudy.analysis.between_studies import Contrast, key_of
from regstudy.analysis.claim import interval
from regstudy.analysis.confirmation import Confirmation, Leader
from regstudy.analysis.pareto import pareto_front
from regstudy.metrics import Metric
from regstudy.report import palette
from regstudy.report.figures import Drawing, finish
from regstudy.report.grids import Grid, data_facts, fact_cell
from regstudy.report.metric_phrasing import axis, scale, score, unit
from regstudy.report.phrasing import NONE, listing
from regstudy.report.range_phrasing import number
from regstudy.report.report_section import ReportSection
from regstudy.report.several.searched_study import SearchedStudy
from regstudy.report.several.several_phrasing import budget_sentence, shown_difference, why_not_comparable
from regstudy.text import counted, format_duration

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross")
VERDICTS = {
    "higher": "higher",
    "lower": "lower",
    "no difference": "no difference that matters",
    "undecided": "undecided",
    "one seed": "undecided",
}


@dataclass(frozen=True)
class Finalist:
    """A configuration that was trained again, by the position of its study, with means over its fresh runs."""

    study: int
    name: str
    value: float
    gap: float
    rounds: int
    best: bool  # on the Pareto front of the studies with which it can be compared


def several_sections(studies: Sequence[SearchedStudy], found: Sequence[Contrast]) -> list[ReportSection]:
    """All sections in reading order."""
    made = (_differences(studies, found), _pareto(studies), _budgets(studies), _spaces(studies), _data(studies))
    return [section for section in made if section is not None]


def finalists(studies: Sequence[SearchedStudy]) -> list[Finalist]:
    """The leaders and baselines of all studies, and which of them no other beats in both metric and gap."""
    raw = [
        (i, one, leader)
        for i, one in enumerate(studies)
        if one.confirmed is not None and one.claimed
        for leader in [*one.confirmed.leaders, one.confirmed.baseline]
        if leader.values
    ]
    means = [_means(one.confirmed, leader) for _, one, leader in raw if one.confirmed is not None]
    front: set[int] = set()
    for key in {key_of(one.tables) for _, one, _ in raw} - {None}:
        places = [n for n, (_, one, _) in enumerate(raw) if key_of(one.tables) == key and math.isfinite(means[n][1])]
        if places:
            sign = -1.0 if raw[places[0]][1].metric.maximize else 1.0
            loss, gaps = (np.array([factor * means[n][k] for n in places]) for k, factor in ((0, sign), (1, 1.0)))
            front |= {places[each] for each in pareto_front(loss, gaps, np.array(places))}
    return [
        Finalist(i, _name(one, leader), *mean, len(leader.values), n in front)
        for n, ((i, one, leader), mean) in enumerate(zip(raw, means, strict=True))
    ]


def _means(found: Confirmation, leader: Leader) -> tuple[float, float]:
    if leader is found.winner:
        return found.level.mean, found.gap.mean
    gaps = [gap for gap in leader.gaps.values() if math.isfinite(gap)]
    return interval(list(leader.values.values())).mean, interval(gaps).mean


def _name(one: SearchedStudy, leader: Leader) -> str:
    assert one.confirmed is not None
    kind = "baseline" if leader is one.confirmed.baseline else "winner" if leader is one.confirmed.winner else ""
    return f"trial {leader.number}{f' ({kind})' if kind else ''}"


def _differences(studies: Sequence[SearchedStudy], found: Sequence[Contrast]) -> ReportSection:
    title, of = "Differences", studies[0].metric
    if not found:
        return ReportSection(
            "differences", title, "No two of these studies have confirmed values that can be compared."
        )
    rows = []
    for one in found:
        measured = studies[one.first].metric
        what = measured.label if one.outcome == "value" else "gap"
        flip = one.outcome == "value" and not measured.maximize
        mean, low, high = shown_difference(one, studies), one.test.low, one.test.high
        mean, low, high = (-mean, -high, -low) if flip else (mean, low, high)
        shown = [number(each, measured, signed=True) for each in (mean, low, high)]
        p = "< 0.001" if one.test.adjusted < 0.001 else f"{one.test.adjusted:.3f}"
        verdict = VERDICTS[one.verdict]
        verdict = {"higher": "lower", "lower": "higher"}.get(verdict, verdict) if flip else verdict
        runs = counted(one.test.n, "pair") if one.in_pairs else f"{one.test.n} runs, not paired"
        rows.append([f"{studies[one.first].label} − {studies[one.second].label}", what, shown[0],
                     f"{shown[1]} to {shown[2]}", p, runs, verdict])  # fmt: skip
    decided = sum(one.verdict in ("higher", "lower", "no difference") for one in found)
    units = unit(of)
    head = ["studies", "of", f"difference ({units})", "95 % interval", "p (adjusted)", "runs", "verdict"]
    method = [
        "Studies with the same study.seed train each round with the same training seed on the same fresh split, so"
        " their runs come in pairs (paired t-test). Otherwise the two sets of runs are independent (Welch). Each round"
        " is also read without its own vote about the winner; the difference is that of this reading, and the interval"
        f" covers both. p-values are corrected for all {counted(len(found), 'test')} together (Holm), since which study"
        " leads is seen only afterwards. Higher and lower: corrected p below 0.05. No difference: the whole interval is"
        " within"
        f" ± {number(found[0].margin, of)} {units}.",
        "The intervals speak about these images. For new images of the same kind they would be wider.",
    ]
    finding = f"{decided} of {counted(len(found), 'difference')} {'is' if decided == 1 else 'are'} decided."
    grid = Grid(
        head, rows, frozenset({2, 3, 4}), frozenset(i for i, c in enumerate(found) if c.verdict in ("higher", "lower"))
    )
    return ReportSection("differences", title, finding, grids=[grid], method=method)


def _pareto(studies: Sequence[SearchedStudy]) -> ReportSection:
    title, found = "Metric and gap", finalists(studies)
    if not found:
        return ReportSection("pareto", title, "No study has fresh runs of its finalists.")
    front = [one for one in found if one.best]
    names = [f"{studies[one.study].label}, {one.name}" for one in front]
    finding = f"No other finalist is better in both metric and gap than {listing(names)}."
    if why_not_comparable(studies):
        finding = "Each study or group of studies on the same images has a front of its own."
    rows = [
        [studies[one.study].label, one.name, score(one.value, studies[one.study].metric),
         number(one.gap, studies[one.study].metric), str(one.rounds), "yes" if one.best else ""]
        for one in found
    ]  # fmt: skip
    head = ["study", "configuration", "fresh mean", "gap", "rounds", "not beaten in both"]
    left = [one.label for one in studies if not one.claimed]
    notes = ["Means of fresh runs. Few rounds are noisy: being on the front proves nothing."]
    if left:
        notes.append(f"Left out, because nothing is confirmed: {listing(left)}.")
    strong = frozenset(i for i, one in enumerate(found) if one.best)
    grid = Grid(head, rows, frozenset({2, 3, 4}), strong)
    alike = not why_not_comparable(studies)
    drawn = [_figure(studies, found, studies[0].metric)] if alike else []
    return ReportSection("pareto", title, finding, notes, [grid], drawn)


def _figure(studies: Sequence[SearchedStudy], found: Sequence[Finalist], of: Metric) -> Drawing:
    figure = go.Figure()
    for i, one in enumerate(studies):
        own = [each for each in found if each.study == i and math.isfinite(each.gap)]
        if not own:
            continue
        color = palette.OTHERS[i % len(palette.OTHERS)]
        figure.add_scatter(
            x=[round(scale(of) * each.gap, 3) for each in own], y=[round(scale(of) * each.value, 3) for each in own],
            mode="markers", name=html.escape(one.label), text=[html.escape(each.name) for each in own],
            hovertemplate="%{text}: %{y:.4g}, gap %{x:.3g}<extra></extra>",
            marker={"size": [13 if each.best else 8 for each in own], "color": color,
                    "symbol": SYMBOLS[i % len(SYMBOLS)]},
        )  # fmt: skip
    line = sorted((each.gap, each.value) for each in found if each.best)
    figure.add_scatter(
        x=[round(scale(of) * gap, 3) for gap, _ in line], y=[round(scale(of) * value, 3) for _, value in line],
        mode="lines", name="not beaten in both", line={"color": palette.TEXT, "width": 1, "dash": "dot"},
        hoverinfo="skip",
    )  # fmt: skip
    finish(figure, f"gap ({unit(of)})", axis(of))
    return Drawing("Finalists on fresh seeds; large marks are not beaten in both", figure)


def _budgets(studies: Sequence[SearchedStudy]) -> ReportSection:
    rows = []
    for one in studies:
        runs = 0 if one.confirmed is None else one.confirmed.runs
        taken = format_duration(one.seconds) if math.isfinite(one.seconds) else NONE
        per_run = one.tables.epochs_planned
        rows.append([one.label, f"{one.trials:,}", f"{runs:,}", f"{one.epochs:,}", taken, str(per_run or NONE)])
    head = ["study", "search trials", "confirmation runs", "epochs", "training time", "epochs of a full trial"]
    finding = budget_sentence(studies) or "What the studies spent is not recorded."
    return ReportSection("budget", "Budget", finding, grids=[Grid(head, rows, frozenset({1, 2, 3, 4, 5}))])


def _spaces(studies: Sequence[SearchedStudy]) -> ReportSection:
    paths = list(dict.fromkeys(path for one in studies for path in one.space))
    unlike = [path for path in paths if len({one.space.get(path) for one in studies}) > 1]
    unknown = [one.label for one in studies if not one.space]
    notes = [f"The space is not stored in {listing(unknown)}."] if unknown else []
    if not unlike:
        said = "The spaces are not known." if len(unknown) == len(studies) else "All studies searched the same space."
        return ReportSection("space", "Space", said, notes)
    rows = [[path, *(one.space.get(path, "default") if one.space else NONE for one in studies)] for path in unlike]
    finding = f"The spaces differ in {counted(len(unlike), 'setting')}."
    return ReportSection("space", "Space", finding, notes, [Grid(["setting", *(one.label for one in studies)], rows)])


def _data(studies: Sequence[SearchedStudy]) -> ReportSection:
    facts = [{key: fact_cell(key, value) for key, value in data_facts(one.tables.data).items() if value is not None}
             for one in studies]  # fmt: skip
    keys = list(dict.fromkeys(key for each in facts for key in each))
    rows = [[key, *(each.get(key, NONE) for each in facts)] for key in keys]
    strong = frozenset(i for i, row in enumerate(rows) if len(set(row[1:])) > 1)
    finding = why_not_comparable(studies) or "The same images, split in the same way."
    return ReportSection(
        "data", "Data", finding, grids=[Grid(["", *(one.label for one in studies)], rows, strong=strong)]
    )
