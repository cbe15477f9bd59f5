"""The result of a comparison: a self-contained HTML page, a summary in Markdown, and tables for further use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from regstudy.analysis.arm_statistics import CURVES, MOMENTS, Comparison, load_comparison
from regstudy.files import write_atomically
from regstudy.report.comparison.comparison_figures import mean_curves, seed_points
from regstudy.report.comparison.comparison_phrasing import (
    comparison_verdict,
    epoch_words,
    hundredths,
    interval_words,
    mean_words,
    measure_name,
    p_words,
    parameter_words,
    runs_words,
    seconds_words,
    signed_points,
    spread_words,
    verdict_words,
)
from regstudy.report.grids import Grid, fact_grid, state_words
from regstudy.report.headline import keep_headline
from regstudy.report.page import banners, markdown, page_html
from regstudy.report.phrasing import NONE, Verdict, minus, plural, setting
from regstudy.report.sections import ReportSection
from regstudy.study.tables import Study, settings_of

QUESTION = "Comparison: the same images and seeds for every arm, nothing pruned"
SHOWN = (  # rows of the table of arms
    *(f"{series}_{moment}" for moment in ("first", "last") for series in CURVES),
    "val_accuracy_best",
    "running_gap_last",
    "gap_accuracy_last",
    "gap_accuracy_best",
)


def write_comparison(study: Study, folder: Path) -> Path:
    """Write comparison.html, .md and .csv, trials.csv and epochs.csv; returns the path of the page.

    Raises StudyError for a study that works off no plan.
    """
    found = load_comparison(study)
    text = comparison_verdict(found)
    write_atomically(folder / "comparison.csv", comparison_table(found).to_csv(index=False))
    write_atomically(folder / "trials.csv", found.tables.trials.to_csv(index=False))
    write_atomically(folder / "epochs.csv", found.tables.epochs.to_csv(index=False))
    write_atomically(folder / "comparison.md", summary(found, text))
    page = folder / "comparison.html"
    warnings = banners(found.tables)
    write_atomically(page, page_html(found.tables.name, QUESTION, warnings, text, comparison_sections(found)))
    keep_headline(study, text.headline)
    return page


def comparison_table(found: Comparison) -> pd.DataFrame:
    """A row per arm and measure, then per difference and measure, which alone say ``against`` what; fractions."""
    spreads = [
        {"arm": arm.name, "against": None, "measure": measure, **vars(spread)}
        for arm in found.arms
        for measure, spread in arm.spreads.items()
    ]
    differences = [
        {"arm": d.arm, "against": d.against, "measure": d.measure, "n": d.paired.n, "mean": d.paired.mean,
         "sd": d.paired.sd, "interval_low": d.paired.low, "interval_high": d.paired.high, "p": d.paired.p,
         "p_adjusted": d.paired.adjusted, "verdict": d.verdict}
        for d in found.differences
    ]  # fmt: skip
    columns = ["arm", "against", "measure", "n", "mean", "sd", "low", "high"]
    columns += ["interval_low", "interval_high", "p", "p_adjusted", "verdict"]
    return pd.DataFrame([*spreads, *differences], columns=columns)


def comparison_sections(found: Comparison) -> list[ReportSection]:
    """All sections in reading order."""
    makers = (_arms, _differences, _seeds, _curves, _settings, _runs, _data, _making)
    return [section for make in makers if (section := make(found)) is not None]


def arm_rows(found: Comparison) -> list[list[str]]:
    """The table of arms: a row per fact or measure, a column per arm."""
    facts = (
        ("runs", runs_words),
        ("parameters", parameter_words),
        ("median time of an epoch", seconds_words),
        ("epochs run", epoch_words),
    )
    rows = [[name, *(words(arm) for arm in found.arms)] for name, words in facts]
    for measure in SHOWN:
        unit = "points" if "gap" in measure else "%"
        cells = [spread_words(arm.spreads[measure]) for arm in found.arms]
        rows.append([f"{measure_name(measure)} ({unit})", *cells])
    return rows


def unbroken(text: str) -> str:
    """A text whose ranges and spreads stay in one line."""
    for sign in ("±", "to"):
        text = text.replace(f" {sign} ", f"\N{NO-BREAK SPACE}{sign}\N{NO-BREAK SPACE}")
    return text


def timing_note(found: Comparison) -> str:
    """Beside how many others the workers ran while the times were measured."""
    counts = [count for arm in found.arms if arm.workers for count in arm.workers]
    if not counts:
        return ""
    low, high = min(counts), max(counts)
    number = plural(high, "worker") if low == high else f"{low} to {high} workers"
    return f"Times were measured while {number} ran on the machine, and hold for that only."


def _arms(found: Comparison) -> ReportSection:
    rows = [[unbroken(cell) for cell in row] for row in arm_rows(found)]
    strong = frozenset(i for i, row in enumerate(rows) if row[0].startswith("validation"))
    grid = Grid(["", *(arm.name for arm in found.arms)], rows, strong=strong)
    notes = [
        "Mean ± standard deviation over the seeds, with the lowest and the highest. Running training accuracy is "
        "measured during the epoch, with dropout and augmentation on; clean training accuracy in evaluation mode after "
        "it. Running gap = running training − validation; clean gap = clean training − validation: only the latter is "
        "over-fitting.",
        timing_note(found),
    ]
    used, asked = (sum(getattr(arm, count) for arm in found.arms) for count in ("used", "asked"))
    finding = f"{used} of {plural(asked, 'run')} ended with a usable outcome."
    if used:
        top = max((arm for arm in found.arms if arm.used), key=lambda arm: arm.spreads["val_accuracy_last"].mean)
        best = f"{top.name}, {mean_words(top.spreads['val_accuracy_last'])} %"
        finding = f"Highest mean validation after the last epoch: {best}. {finding}"
    return ReportSection("arms", "Arms", finding,
                   [note for note in notes if note], [grid])  # fmt: skip


def _differences(found: Comparison) -> ReportSection | None:
    if not found.differences:
        return None
    rows = [
        [d.arm, measure_name(d.measure), str(d.paired.n), signed_points(d.paired.mean), unbroken(interval_words(d)),
         p_words(d.paired.adjusted), verdict_words(d)]
        for d in found.differences
    ]  # fmt: skip
    head = ["arm", "measure", "pairs", "difference (points)", "95 % interval (points)", "p, adjusted", "verdict"]
    strong = frozenset(i for i, d in enumerate(found.differences) if d.verdict in ("higher", "lower"))
    margin, first = f"{100 * found.margin:g}", found.arms[0].name
    decided = sum(d.verdict in ("higher", "lower", "no difference") for d in found.differences)
    tests = plural(len(found.differences), "difference")
    notes = [
        "Differences are taken within repeats, which have the same seed in every arm; intervals and p-values are those "
        f"of a paired t-test, p-values adjusted for all {tests} (Holm). No difference: the whole interval lies within "
        f"±{margin} points. Higher or lower: adjusted p below 0.05. How many more repeats would decide is an "
        "approximation for a chance of 80 %, if mean and spread stayed as they are."
    ]
    finding = f"Against {first}: {decided} of {tests} decided."
    return ReportSection(
        "differences", f"Differences from {first}", finding, notes, [Grid(head, rows, frozenset({2, 3, 5}), strong)]
    )


def _seeds(found: Comparison) -> ReportSection | None:
    if found.runs.empty:
        return None
    first, last = (
        [arm.spreads[f"val_accuracy_{moment}"].sd for arm in found.arms if arm.used > 1] for moment in ("first", "last")
    )
    finding = "With one seed per arm there is no spread to show."
    if last:
        finding = (
            f"Between seeds validation differs by up to {hundredths(max(first))} points (standard deviation) after the "
            f"first epoch, and by up to {hundredths(max(last))} after the last."
        )
    return ReportSection("seeds", "Every seed", finding, figures=[seed_points(found)])


def _curves(found: Comparison) -> ReportSection | None:
    drawn = mean_curves(found)
    if not drawn:
        return None
    notes = ["Lines are means over the seeds of an arm, bands reach from the lowest seed to the highest."]
    for arm in found.arms:
        if arm.longer:
            notes.append(
                f"{plural(arm.longer, 'run')} of {arm.name} went on after the last epoch drawn: early stopping ended "
                "others before, and a mean over changing runs would mislead."
            )
    running, clean = (
        [arm.spreads[f"{n}_last"].mean for arm in found.arms if arm.used] for n in ("running_gap", "gap_accuracy")
    )
    finding = f"After the last epoch the clean gap is {_range(clean)} points; the running one {_range(running)}."
    return ReportSection("curves", "Mean learning curves", finding, notes, figures=drawn)


def _range(values: list[float]) -> str:
    low, high = (minus(f"{100 * value:.1f}") for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _settings(found: Comparison) -> ReportSection | None:
    """What the arms differ in, and all else that is the same is left to the stored plan."""
    settings = {name: settings_of(config.model_dump(mode="json")) for name, config in found.plan.arms.items()}
    paths = list(dict.fromkeys(path for each in settings.values() for path in each))
    differing = [path for path in paths if len({repr(each.get(path)) for each in settings.values()}) > 1]
    if len(settings) < 2:
        return None
    if not differing:
        return ReportSection("settings", "What the arms differ in", "Nothing: all arms are the same configuration.")
    nulls = found.tables.regularizers
    rows = [
        [path, *(setting(each.get(path), nulls.get(path), regularizer=path in nulls) for each in settings.values())]
        for path in differing
    ]
    strong = frozenset(i for i, path in enumerate(differing) if path in nulls)
    notes = ["Regularizers are in bold. Where a file gives a range, its default was taken."]
    finding = f"The arms differ in {plural(len(differing), 'setting')}; everything else is the same."
    return ReportSection(
        "settings", "What the arms differ in", finding, notes, [Grid(["setting", *settings], rows, strong=strong)]
    )


def _runs(found: Comparison) -> ReportSection:
    """Every trial, attempts that failed included."""
    usable = found.runs.set_index("number")
    rows = []
    for _, trial in found.tables.trials.iterrows():
        slot = trial["slot"]
        task = None if pd.isna(slot) else found.plan.task(int(slot))
        values = [NONE] * 4
        if trial["number"] in usable.index:
            run = usable.loc[trial["number"]]
            values = [hundredths(run[f"val_accuracy_{moment}"]) for moment in MOMENTS]
            values.append(hundredths(run["gap_accuracy_last"]))
        what = [task.arm, str(task.repeat), str(task.seed)] if task else [NONE] * 3
        reason = NONE if pd.isna(trial["reason"]) else str(trial["reason"])
        rows.append([str(trial["number"]), *what, state_words(trial), str(trial["epochs"]), *values, reason])
    head = ["trial", "arm", "repeat", "seed", "what happened", "epochs", "val. first", "val. last", "val. best"]
    states = found.tables.trials.apply(state_words, axis=1).value_counts() if rows else {}
    finding = ", ".join(f"{count} {words}" for words, count in states.items())
    return ReportSection("runs", "Every run", f"{plural(len(rows), 'run')}{': ' if finding else ''}{finding}.", grids=[
        Grid([*head, "clean gap last", "why"], rows, frozenset({0, 2, 3, 5, 6, 7, 8, 9}), tall=True)
    ])  # fmt: skip


def _data(found: Comparison) -> ReportSection:
    data = found.tables.data
    finding = f"{data.get('name', 'unnamed')}. A comparison never opens a test part."
    facts = {key.replace("_", " "): value for key, value in data.items()}
    return ReportSection("data", "Data and split", finding, grids=[fact_grid(facts)])


def _making(found: Comparison) -> ReportSection:
    tables = found.tables
    epochs, seconds = int(tables.trials["epochs"].sum()), float(tables.trials["seconds"].sum())
    spent = f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"
    facts: dict[str, Any] = {
        "command": tables.command,
        "study": tables.name,
        "arms": list(found.plan.arms),
        "study seed": tables.seed,
        "margin": f"{100 * found.margin:g} points",
        **tables.versions,
    }
    finding = f"Cost: {plural(epochs, 'epoch')}, {spent} of training."
    return ReportSection("making", "How it was made", finding, grids=[fact_grid(facts)])


def summary(found: Comparison, text: Verdict) -> str:
    """The result in a page of Markdown."""
    lines = [f"## {markdown(found.tables.name)}", ""]
    lines += [f"**{markdown(text.headline)}**", ""]
    for sentence in text.sentences:
        lines += [markdown(sentence), ""]
    lines += _table(["", *(arm.name for arm in found.arms)], arm_rows(found))
    grids = [grid for section in (_differences(found), _settings(found)) if section for grid in section.grids]
    for grid in grids:
        lines += _table(grid.head, grid.rows)
    lines += [f"- {markdown(caution)}" for caution in [*text.cautions, timing_note(found)] if caution]
    if found.tables.command:
        lines += ["", "Made by:", "", *("    " + line for line in found.tables.command.splitlines())]
    return "\n".join(lines) + "\n"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    cells = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(markdown(cell) if i != 1 else cell for cell in row)} |" for i, row in enumerate(cells)] + [
        ""
    ]
