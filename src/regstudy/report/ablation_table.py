"""The effects of an ablation as a table: a data frame for programs, and Markdown for people."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from regstudy.analysis.ablation import Change, Effect
from regstudy.metrics import Metric
from regstudy.report.ablation_findings import AblationFindings
from regstudy.report.ablation_phrasing import (
    ONLY_SEEDS,
    UNDERFITS,
    cause_sentences,
    estimate,
    open_sentences,
    rate_sentences,
    together_sentence,
)
from regstudy.report.interaction_phrasing import interaction_sentence
from regstudy.report.metric_phrasing import unit, validation_name
from regstudy.report.phrasing import NONE, markdown
from regstudy.report.range_phrasing import in_brackets, number, span


def ablation_frame(found: AblationFindings) -> pd.DataFrame:
    """A row per effect, unrounded, in the unit of the study (shares as fractions); see `StudyResult.ablation`."""
    return pd.DataFrame([_record(one, found.factors) for one in found.result.effects])


def _record(one: Effect, factors: Mapping[str, float]) -> dict[str, object]:
    chances = one.chances
    return {
        "regularizer": one.name,
        "family": one.contrast.family,
        "with": one.contrast.on,
        "without": one.contrast.off,
        "verdict": one.verdict,
        **_numbers("metric", one.metric),
        **_numbers("gap", one.gap),
        "train": one.fit.mean,
        "p_helps": math.nan if chances is None else chances.above,
        "p_within": math.nan if chances is None else chances.within,
        "p_hurts": math.nan if chances is None else chances.below,
        "runs": 2 * one.metric.n,
        "more_runs": one.more_runs,
        "lr_factor_with": factors.get(one.contrast.on, 1.0),
        "lr_factor_without": factors.get(one.contrast.off, 1.0),
    }


def _numbers(name: str, found: Change) -> dict[str, object]:
    return {
        name: found.mean,
        f"{name}_low": found.low,
        f"{name}_high": found.high,
        f"{name}_new_low": found.new_low,
        f"{name}_new_high": found.new_high,
    }


def head(of: Metric) -> list[str]:
    """The heads of the columns of `row`."""
    what, kind = validation_name(of), unit(of) if of.percent else f"{unit(of)}, + is better"
    return [
        "regularizer", "verdict", f"{what} ({kind})", "new images", f"gap ({unit(of)})", "new images",
        "P(helps)", "P(within)", "P(hurts)", "repeats",
    ]  # fmt: skip


def row(one: Effect, of: Metric) -> list[str]:
    """An effect in the words of the report."""
    known = one.chances
    odds = [NONE] * 3 if known is None else [chance(p) for p in (known.above, known.within, known.below)]
    verdict = "underfits" if one.verdict == UNDERFITS else one.verdict
    return [one.name, verdict, *_ranges(one.metric, of), *_ranges(one.gap, of), *odds, str(one.metric.n)]


def _ranges(found: Change, of: Metric) -> list[str]:
    """The mean with its range on these images, and the range for new ones."""
    return [
        number(found.mean, of, signed=True) + in_brackets(estimate(found), of),
        span(estimate(found, new=True), of) or NONE,
    ]


def chance(p: float) -> str:
    """``97 %``, ``> 99 %`` or ``< 1 %``: no chance is certain."""
    if p > 0.99:
        return "> 99\N{NO-BREAK SPACE}%"
    return "< 1\N{NO-BREAK SPACE}%" if p < 0.01 else f"{100 * p:.0f}\N{NO-BREAK SPACE}%"


def ablation_markdown(name: str, found: AblationFindings) -> str:
    """The ablation in a page of Markdown: the answer, the table, what limits it."""
    of = found.metric
    said = cause_sentences(found)
    lines = [
        f"## {markdown(name)}: ablation",
        "",
        f"Trial {found.winner} was taken apart in {found.result.runs} runs.",
        "",
    ]
    if said:
        lines += [f"**{markdown(' '.join(said))}**", ""]
    more = [*open_sentences(found), together_sentence(found)]
    more += [interaction_sentence(one, of) for one in found.standing]
    more += rate_sentences(found)
    more += [ONLY_SEEDS] if found.own_validation else []
    lines += [text for sentence in more if sentence for text in (markdown(sentence), "")]
    columns = head(of)
    lines += [f"| {' | '.join(columns)} |", f"|{'---|' * 2}{'--:|' * (len(columns) - 2)}"]
    lines += [f"| {' | '.join(map(markdown, row(one, of)))} |" for one in found.result.effects]
    lines += ["", how_to_read(found)]
    return "\n".join(lines) + "\n"


def how_to_read(found: AblationFindings) -> str:
    """What stands in the columns."""
    margin = f"{number(found.result.margin, found.metric)} {unit(found.metric)}"
    return (
        "Ranges are 95 % intervals: in brackets on these images, then for new images of the same kind. P: chance that "
        f"validation changes by more than the margin of {margin}, or stays within it."
    )
