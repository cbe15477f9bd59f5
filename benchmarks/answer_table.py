"""What `answer.py` prints: a summary of plain values, and its Markdown tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from answer_contestants import CONFIRMED, KINDS, MINE
from answer_curves import (
    Contest,
    catch,
    median_curve,
    overstatements,
    shares_without_one,
    spread,
    true_curve,
    value_at,
)

GOAL = 0.2  # of the plain script's whole time
MOMENTS = (0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)  # shares of the plain script's whole time
BUSY = 10  # percent of the machine in use before a start, above which its clock tells little


def summary(contests: Sequence[Contest], truth: Mapping[str, float], facts: dict[str, Any]) -> dict[str, Any]:
    """All that is known, as plain values; without a truth, the times alone."""
    groups: dict[str, list[Contest]] = {name: [] for name in KINDS}
    for contest in contests:
        groups[contest.contestant].append(contest)
    groups = {name: group for name, group in groups.items() if group}
    found: dict[str, Any] = {**facts, "contestants": {}, "claims": [], "catches": {}, "curves": {}}
    for name, group in groups.items():
        series = {"seconds": [one.seconds for one in group], "epochs": [float(one.epochs) for one in group]}
        series |= {"cpu_seconds": [one.cpu_seconds for one in group]}
        series |= {"final": [100 * truth[one.final] for one in group]} if truth else {}
        found["contestants"][name] = {"seeds": len(group)} | {key: asdict(spread(each)) for key, each in series.items()}
        if truth:
            found["curves"][name] = {
                "median": median_curve([true_curve(one, truth) for one in group]),
                "seeds": {one.seed: true_curve(one, truth) for one in group},
            }
            for claim, pairs in overstatements(group, truth).items():
                read = {
                    "claimed": [p[0] for p in pairs],
                    "true": [p[1] for p in pairs],
                    "over": [p[0] - p[1] for p in pairs],
                }
                row = {key: asdict(spread([100 * each for each in values])) for key, values in read.items()}
                found["claims"].append({"contestant": name, "claim": claim, "seeds": len(pairs), **row})
    for peer, group in groups.items():
        if truth and peer != MINE and MINE in groups:
            one = catch(groups[MINE], group, truth)
            row = {"target": 100 * one.target.median, "error": 100 * one.target.error, "whole": one.whole}
            row |= {"moment": one.moment, "share": one.share, "near": one.near / one.whole}
            found["catches"][peer] = row | {"without_one": shares_without_one(groups[MINE], group, truth)}
    return found


def tables(found: Mapping[str, Any]) -> list[str]:
    """A summary in Markdown."""
    lines = [*_heading(found), "", *_contestants(found["contestants"])]
    if not found["curves"]:
        return [*lines, "", "The true values are missing: run it without --only-time, or with --only-truth."]
    lines += ["", *_claims(found["claims"]), "", *_over_time(found)]
    return [*lines, *_headline(found["catches"])]


def _heading(found: Mapping[str, Any]) -> list[str]:
    trials, epochs, train = found["size"].split("x")
    timed = found["timed"]
    lines = [
        f"{trials} trainings of at most {epochs} epochs on {train} images, {'; '.join(timed['versions'])}.",
        f"Truth: {found['trainings']} fresh trainings of each of {found['configurations']} configurations.",
        f"Timed on {'; '.join(timed['machines'])}.",
    ]
    if timed["busy"] > BUSY:
        lines.append(f"**The machine was busy** (up to {timed['busy']:.0f}% before a start): the times tell little.")
    if timed["versions"] and timed["versions"] != [timed["now"]]:
        lines.append(f"This is {timed['now']}: delete the folders of regstudy under --work to time it.")
    return lines


def _contestants(rows: Mapping[str, Any]) -> list[str]:
    lines = [
        "| contestant | seeds | seconds | CPU seconds | epochs | true accuracy of its answer (%) |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        cells = [_range(row[key], 0) for key in ("seconds", "cpu_seconds", "epochs")]
        cells.append(_range(row["final"], 1, error=True) if "final" in row else "–")
        lines.append(f"| {KINDS[name].label} | {row['seeds']} | {' | '.join(cells)} |")
    return [*lines, "", "Medians over seeds (lowest to highest); ± is one standard error of the mean over seeds."]


def _claims(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = ["| contestant | claim | claimed (%) | true (%) | claimed − true (points) |", "|---|---|---|---|---|"]
    for row in rows:
        over = _range(row["over"], 1, error=True, sign="+", middle="mean")
        cells = [KINDS[row["contestant"]].label, row["claim"], _range(row["claimed"], 1), _range(row["true"], 1), over]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Medians over seeds, of the difference the mean ± its standard error (lowest to highest)."]
    if CONFIRMED not in {row["claim"] for row in rows}:
        lines.append("So few trainings are too few for regstudy to confirm anything.")
    return lines


def _over_time(found: Mapping[str, Any]) -> list[str]:
    """True accuracy of the median curves at shares of the plain script's time."""
    rows = found["contestants"]
    whole = (
        rows["plain"]["seconds"]["median"] if "plain" in rows else median(r["seconds"]["median"] for r in rows.values())
    )
    lines = [
        f"| true accuracy (%) after | {' | '.join(f'{share:.0%}' for share in MOMENTS)} | the end |",
        "|---" * (len(MOMENTS) + 2) + "|",
    ]
    for name, curve in found["curves"].items():
        values = [value_at(curve["median"], share * whole) for share in MOMENTS] + [curve["median"][-1][1]]
        shown = [f"{100 * value:.1f}" if value else "–" for value in values]
        lines.append(f"| {KINDS[name].label} | {' | '.join(shown)} |")
    return [*lines, "", f"Medians over seeds; 100% are {whole:.0f} s."]


def _headline(catches: Mapping[str, Any]) -> list[str]:
    lines = []
    for peer, row in catches.items():
        error = row["error"] if math.isfinite(row["error"]) else 0.0
        low, high = row["without_one"]
        lines += ["", f"Against {KINDS[peer].label} ({row['target']:.1f} ± {error:.1f} % after {row['whole']:.0f} s):"]
        when = f"after {_share(row['share'])} of that time" if math.isfinite(row["share"]) else "at no time"
        lines.append(
            f"regstudy has an answer as good, and keeps one within a standard error of it, {when}"
            f" ({_share(low)} to {_share(high)} with one seed left out)."
        )
        if math.isfinite(row["near"]):
            lines.append(f"It stays within a standard error of that value from {_share(row['near'])} of that time on.")
        verdict = "hit" if row["share"] <= GOAL else "miss"
        lines.append(f"**{verdict}**: {_share(row['share'])} of the whole time; the goal is {GOAL:g}.")
    return lines


def _share(share: float) -> str:
    return f"{share:.2f}" if math.isfinite(share) else "never"


def _range(
    row: Mapping[str, float], digits: int, *, error: bool = False, sign: str = "", middle: str = "median"
) -> str:
    form = f"{sign},.{digits}f"
    after = f" ± {row['error']:.{digits}f}" if error and math.isfinite(row["error"]) else ""
    return f"{row[middle]:{form}}{after} ({row['low']:{form}} to {row['high']:{form}})".replace("-", "−")
