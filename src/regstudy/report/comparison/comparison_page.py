"""The result of a comparison: a self-contained HTML page, a Markdown summary, and CSV tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from regstudy.analysis.arm_calibration import compare_calibration
from regstudy.analysis.arm_statistics import (
    ACCURACY,
    MOMENTS,
    RUNNING_GAP,
    Comparison,
    curves_of,
    load_comparison,
)
from regstudy.files import write_atomically
from regstudy.metrics import Metric
from regstudy.report.comparison.arm_classes import arm_classes, arm_groups
from regstudy.report.comparison.arm_rows import all_arm_rows, arm_rows, timing_note, unbroken
from regstudy.report.comparison.calibration_section import calibration_section
from regstudy.report.comparison.comparison_figures import mean_curves, seed_points
from regstudy.report.comparison.comparison_phrasing import (
    best_arm,
    comparison_verdict,
    gap_words,
    interval_words,
    margin_words,
    mean_words,
    measure_name,
    number,
    p_words,
    signed_number,
    verdict_words,
    with_sign,
)
from regstudy.report.grids import Grid, data_facts, fact_grid, state_words
from regstudy.report.headline import keep_headline
from regstudy.report.metric_phrasing import gap_definition, unit, validation_name
from regstudy.report.page import banners, page_html
from regstudy.report.phrasing import NONE, markdown, setting
from regstudy.report.sections import ReportSection
from regstudy.report.verdict_phrasing import Verdict
from regstudy.report.written_files import MARK_LINE, check_report_files
from regstudy.study.load_tables import settings_of
from regstudy.study.tables import Study
from regstudy.text import counted

QUESTION = "Comparison: the same images and seeds for every arm, no pruning"


def write_comparison(study: Study, folder: Path, overwrite: bool = False) -> Path:
    """Write comparison.html, .md and .csv, trials.csv and epochs.csv; returns the path of the page.

    Raises StudyError for a study without a plan, and FileError for files in the way that are not a report's, unless
    ``overwrite`` is true.
    """
    check_report_files(folder, "comparison", overwrite)
    found = load_comparison(study)
    text = comparison_verdict(found)
    write_atomically(folder / "comparison.csv", comparison_table(found).to_csv(index=False))
    write_atomically(folder / "trials.csv", found.tables.trials.to_csv(index=False))
    write_atomically(folder / "epochs.csv", found.tables.epochs.to_csv(index=False))
    write_atomically(folder / "comparison.md", MARK_LINE + summary(found, text))
    page = folder / "comparison.html"
    warnings = banners(found.tables)
    write_atomically(page, page_html(found.tables.name, QUESTION, warnings, text, comparison_sections(found)))
    keep_headline(study, text.headline)
    return page


def comparison_table(found: Comparison) -> pd.DataFrame:
    """A row per arm and measure, then per difference and measure (these have ``against``); shares are fractions."""
    compared = compare_calibration(found)
    calibrations = compared.arms if compared else []
    spreads = [
        {"arm": arm.name, "against": None, "measure": measure, **vars(spread)}
        for arm in found.arms
        for measure, spread in arm.spreads.items()
    ]
    spreads += [
        {"arm": arm.name, "against": None, "measure": measure, **vars(spread)}
        for arm in calibrations
        for measure, spread in arm.spreads.items()
    ]
    differences = [
        {"arm": d.arm, "against": d.against, "measure": d.measure, "n": d.paired.n, "mean": d.paired.mean,
         "sd": d.paired.sd, "interval_low": d.paired.low, "interval_high": d.paired.high, "p": d.paired.p,
         "p_adjusted": d.paired.adjusted, "verdict": d.verdict}
        for d in [*found.differences, *(compared.differences if compared else [])]
    ]  # fmt: skip
    columns = ["arm", "against", "measure", "n", "mean", "sd", "low", "high"]
    columns += ["interval_low", "interval_high", "p", "p_adjusted", "verdict"]
    return pd.DataFrame([*spreads, *differences], columns=columns)


def comparison_sections(found: Comparison) -> list[ReportSection]:
    """All sections in reading order."""
    makers = (
        _arms, _differences, arm_classes, _seeds, _curves, calibration_section, _settings, _runs, _data, _making
    )  # fmt: skip
    return [section for make in makers if (section := make(found)) is not None]


def _arms(found: Comparison) -> ReportSection:
    of = found.metric
    head = ["", *(arm.name for arm in found.arms)]
    rows, all_rows = (
        [[unbroken(cell) for cell in row] for row in table] for table in (arm_rows(found), all_arm_rows(found))
    )
    strong = frozenset(i for i, row in enumerate(rows) if row[0].startswith(f"{validation_name(of)}, "))
    grids = [Grid(head, rows, strong=strong), Grid(head, all_rows, folded="All measures")]
    defined = "Gap = train accuracy (eval mode) − validation" if of is ACCURACY else gap_definition(of)
    notes = [
        f"Mean ± standard deviation over the seeds (lowest to highest). {defined}.",
        timing_note(found),
        arm_groups(found),
    ]
    method = [
        f"Train {of.label} in eval mode (“clean”) is measured after each epoch without dropout and augmentation. "
        + ("In train mode it is" if of.train in curves_of(found.tables) else "In train mode, accuracy is")
        + " measured during the epoch while they are active. Only the gap in eval mode measures overfitting."
    ]
    used, asked = (sum(getattr(arm, count) for arm in found.arms) for count in ("used", "asked"))
    finding = f"{used} of {counted(asked, 'run')} finished with a usable result."
    if used:
        top = best_arm(found)
        best = f"{top.name}, {with_sign(mean_words(top.spreads[found.key('val', 'last')], of), of)}"
        word = "Highest" if of.maximize else "Lowest"
        finding = f"{word} mean {validation_name(of)} at the last epoch: {best}. {finding}"
    return ReportSection("arms", "Arms", finding, [note for note in notes if note], grids, method=method)


def _differences(found: Comparison) -> ReportSection | None:
    if not found.differences:
        return None
    rows = [
        [d.arm, measure_name(found, d.measure), str(d.paired.n), signed_number(d.paired.mean, d.metric),
         unbroken(interval_words(d)),
         p_words(d.paired.adjusted), verdict_words(d)]
        for d in found.differences
    ]  # fmt: skip
    shown = unit(found.metric)
    head = ["arm", "measure", "pairs", f"difference ({shown})", f"95 % CI ({shown})", "p (adjusted)", "verdict"]
    strong = frozenset(i for i, d in enumerate(found.differences) if d.verdict in ("higher", "lower"))
    margin, first = margin_words(found.margin, found.metric), found.arms[0].name
    decided = sum(d.verdict in ("higher", "lower", "no difference") for d in found.differences)
    tests = counted(len(found.differences), "difference")
    method = [
        "Differences are computed within repeats, which use the same seed in every arm. Confidence intervals (CI) and "
        f"p-values come from a paired t-test; p-values are adjusted for all {tests} (Holm). “No difference” means that "
        f"the whole interval lies within ±{margin}, “higher” or “lower” that the adjusted p is below 0.05. The "
        "rest is undecided. The number of further repeats is an estimate for 80 % power at the current mean and spread."
    ]
    finding = f"{decided} of {tests} from {first} {'is' if decided == 1 else 'are'} decided."
    grids = [Grid(head, rows, frozenset({2, 3, 5}), strong)]
    return ReportSection("differences", f"Differences from {first}", finding, grids=grids, method=method)


def _seeds(found: Comparison) -> ReportSection | None:
    if found.runs.empty:
        return None
    first, last = (
        [arm.spreads[found.key("val", moment)].sd for arm in found.arms if arm.used > 1] for moment in ("first", "last")
    )
    of = found.metric
    finding = "There is no spread with a single seed per arm."
    if last:
        finding = (
            f"The standard deviation of validation {of.label} over seeds is at most {number(max(first), of)} "
            f"{unit(of)} at the first epoch and {number(max(last), of)} at the last."
        )
    return ReportSection("seeds", "Seeds", finding, figures=[seed_points(found)])


def _curves(found: Comparison) -> ReportSection | None:
    drawn = mean_curves(found)
    if not drawn:
        return None
    notes = ["Lines are means over the seeds of an arm; bands range from the lowest to the highest seed."]
    for arm in found.arms:
        if arm.longer:
            notes.append(
                f"{counted(arm.longer, 'run')} of {arm.name} continued after the last epoch shown. The curves end "
                "where early stopping ended the first run, since a mean over a changing set of runs would be "
                "misleading."
            )
    running, clean = (
        [arm.spreads[measure].mean for arm in found.arms if arm.used and measure in arm.spreads]
        for measure in (f"{RUNNING_GAP}_last", found.key("gap", "last"))
    )
    of = found.metric
    in_train_mode = f", {_range(running, of)} in train mode" if running else ""
    finding = f"Gap at the last epoch: {_range(clean, of)} {unit(of)} in eval mode{in_train_mode}."
    return ReportSection("curves", "Mean learning curves", finding, notes, figures=drawn)


def _range(values: list[float], of: Metric) -> str:
    low, high = (gap_words(value, of) for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _settings(found: Comparison) -> ReportSection | None:
    """The settings in which the arms differ; the stored plan has the others."""
    settings = {name: settings_of(config.model_dump(mode="json")) for name, config in found.plan.arms.items()}
    paths = list(dict.fromkeys(path for each in settings.values() for path in each))
    differing = [path for path in paths if len({repr(each.get(path)) for each in settings.values()}) > 1]
    if len(settings) < 2:
        return None
    if not differing:
        return ReportSection("settings", "Settings", "All arms have the same configuration.")
    nulls = found.tables.regularizers
    rows = [
        [path, *(setting(each.get(path), nulls.get(path), regularizer=path in nulls) for each in settings.values())]
        for path in differing
    ]
    strong = frozenset(i for i, path in enumerate(differing) if path in nulls)
    notes = ["Regularizers are in bold. Where a file gives a range, its default is used."]
    finding = f"The arms differ in {counted(len(differing), 'setting')}; everything else is the same."
    return ReportSection("settings", "Settings", finding, notes, [Grid(["setting", *settings], rows, strong=strong)])


def _runs(found: Comparison) -> ReportSection:
    """Every trial, failed attempts included."""
    usable = found.runs.set_index("number")
    rows = []
    for _, trial in found.tables.trials.iterrows():
        slot = trial["slot"]
        task = None if pd.isna(slot) else found.plan.task(int(slot))
        values = [NONE] * 4
        if trial["number"] in usable.index:
            run = usable.loc[trial["number"]]
            measures = [*(found.key("val", moment) for moment in MOMENTS), found.key("gap", "last")]
            values = [number(run[measure], found.metric) for measure in measures]
        what = [task.arm, str(task.repeat), str(task.seed)] if task else [NONE] * 3
        reason = NONE if pd.isna(trial["reason"]) else str(trial["reason"])
        rows.append([str(trial["number"]), *what, state_words(trial), str(trial["epochs"]), *values, reason])
    head = ["trial", "arm", "repeat", "seed", "status", "epochs", "val. first", "val. last", "val. best"]
    states = found.tables.trials.apply(state_words, axis=1).value_counts() if rows else {}
    finding = ", ".join(f"{count} {words}" for words, count in states.items())
    return ReportSection("runs", "Runs", f"{counted(len(rows), 'run')}{': ' if finding else ''}{finding}.", grids=[
        Grid([*head, "gap last", "reason"], rows, frozenset({0, 2, 3, 5, 6, 7, 8, 9}), tall=True)
    ])  # fmt: skip


def _data(found: Comparison) -> ReportSection:
    data = found.tables.data
    finding = f"{data.get('name', 'unnamed')}. A comparison never uses a test set."
    return ReportSection("data", "Data and split", finding, grids=[fact_grid(data_facts(data))], folded=True)


def _making(found: Comparison) -> ReportSection:
    tables = found.tables
    epochs, seconds = int(tables.epochs_run().sum()), float(tables.trials["seconds"].sum())
    spent = f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"
    facts: dict[str, Any] = {
        "command": tables.command,
        "study": tables.name,
        "arms": list(found.plan.arms),
        "study seed": tables.seed,
        "margin": margin_words(found.margin, found.metric),
        **tables.versions,
    }
    finding = f"Cost: {counted(epochs, 'epoch')}, {spent} of training."
    return ReportSection("making", "Reproduce", finding, grids=[fact_grid(facts)], folded=True)


def summary(found: Comparison, text: Verdict) -> str:
    """The result in a page of Markdown."""
    lines = [f"## {markdown(found.tables.name)}", ""]
    lines += [f"**{markdown(text.headline)}**", ""]
    for sentence in text.sentences:
        lines += [markdown(sentence), ""]
    lines += _table(["", *(arm.name for arm in found.arms)], all_arm_rows(found))
    calibration = calibration_section(found)
    sections = (_differences(found), None if calibration and calibration.folded else calibration, _settings(found))
    grids = [grid for section in sections if section for grid in section.grids]
    for grid in grids:
        lines += _table(grid.head, grid.rows)
    lines += [f"- {markdown(caution)}" for caution in [*text.cautions, timing_note(found)] if caution]
    if found.tables.command:
        lines += ["", "Command:", "", *("    " + line for line in found.tables.command.splitlines())]
    return "\n".join(lines) + "\n"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    cells = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(markdown(cell) if i != 1 else cell for cell in row)} |" for i, row in enumerate(cells)] + [
        ""
    ]
