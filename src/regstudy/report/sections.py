"""The report's sections: each a finding in words with its numbers, then the tables and figures that support it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from regstudy.analysis.attempts import attempts
from regstudy.analysis.audit import audit
from regstudy.analysis.gap import CLEAN_TRAIN_TOLERANCE, MIN_TRIALS, BaselineComparison, Qualification, Relation
from regstudy.analysis.importance import Counts
from regstudy.analysis.isolation import isolation, settings
from regstudy.analysis.winners_curse import winners_curse
from regstudy.report import figures
from regstudy.report.curve_figures import all_curves, gap_curves
from regstudy.report.figures import Drawing
from regstudy.report.finding_phrasing import (
    attempts_sentence,
    audit_sentence,
    relation_sentence,
    winners_curse_sentence,
)
from regstudy.report.grids import PART_HEAD, Grid, fact_grid, part_row, state_words, trial_grid
from regstudy.report.media import Album, Remark
from regstudy.report.phrasing import differences, gap_finding, listing, metric_name, percent, plural, points, signed
from regstudy.report.setting_figures import metric_against
from regstudy.report.stored_diagnosis import diagnosed
from regstudy.report.study_checks import checks
from regstudy.study.tables import Tables, best


@dataclass(frozen=True)
class ReportSection:
    """One section of the page."""

    id: str
    title: str
    finding: str
    notes: list[str] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    figures: list[Drawing] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    albums: list[Album] = field(default_factory=list)


@dataclass(frozen=True)
class Findings:
    """Everything the analysis computed for one report."""

    tables: Tables
    comparison: BaselineComparison
    qualification: Qualification
    relations: list[Relation]
    importances: pd.DataFrame
    counts: Counts


def sections(found: Findings) -> list[ReportSection]:
    """All sections in reading order; those without anything to show say so in their finding."""
    makers = (_checks, _comparison, _curves, _gaps, _importances, _settings, _history, _trials, _data, _making)
    return [make(found) for make in makers]


SEVERITIES = {"act": "▲\N{NO-BREAK SPACE}act", "note": "●\N{NO-BREAK SPACE}note", "fine": "✓\N{NO-BREAK SPACE}fine"}


def _checks(found: Findings) -> ReportSection:
    """What to do about the study itself, most urgent first."""
    title, listed = "Checks", checks(found.tables)
    act, note = (sum(check.severity == severity for check in listed) for severity in ("act", "note"))
    finding = "Nothing could be checked yet."
    if listed:
        parts = [f"{act} to act on", f"{note} to know", f"{len(listed) - act - note} in order"]
        finding = f"{plural(len(listed), 'check')}: {', '.join(parts)}."
    rows = [[SEVERITIES[check.severity], check.finding, check.advice] for check in listed]
    head, grids = ["", "what was seen", "what to do"], []
    if found.tables.doctor:
        told = diagnosed(found.tables.doctor)
        finding = f"{told.words} {finding}"
        stressed = frozenset(i for i, check in enumerate(told.checks) if check.severity == "act")
        told_rows = [[SEVERITIES[check.severity], check.finding, check.advice] for check in told.checks]
        grids.append(Grid(["", "what the doctor said before the search", "what to do"], told_rows, strong=stressed))
    if act + note:
        grids.append(Grid(head, rows[: act + note], strong=frozenset(range(act))))
    if rows[act + note :]:
        grids.append(
            Grid(["", ""], [row[:2] for row in rows[act + note :]], folded="What was looked at and is in order")
        )
    return ReportSection("checks", title, finding, grids=grids)


def _comparison(found: Findings) -> ReportSection:
    title, comparison, tables = "Baseline against best", found.comparison, found.tables
    shown = (("baseline", comparison.baseline), ("search", comparison.challenger))
    rows = [
        [f"best {label}, trial {s.number}", *map(percent, (s.train, s.clean_train, s.val, s.gap))]
        for label, s in shown
        if s is not None
    ]
    head = ["", "training, running", "training, clean", "validation", "gap"]
    numeric, last = (
        frozenset(range(1, 5)),
        frozenset(i for i, (_, scores) in enumerate(item for item in shown if item[1]) if scores is comparison.best),
    )
    notes = [
        "Gap = clean training − validation. Clean training accuracy is measured without dropout and augmentation; "
        "the running one, measured while they are on, may not be compared with validation."
    ]
    grids = [Grid(head, rows, numeric, last)] if rows else []
    if curse := winners_curse(tables):
        notes.append(winners_curse_sentence(curse))
    a, b = comparison.baseline, comparison.challenger
    if a is None or b is None:
        missing = "no trial" if a is b else f"no {'baseline' if a is None else 'search'} trial"
        return ReportSection("comparison", title, f"Nothing to compare: {missing} ran to a usable end.", notes, grids)
    finding = (
        f"Best of the search: validation {points(comparison.val_gain)}, gap {points(comparison.gap_change)}, "
        f"against the best of {plural(comparison.baseline_trials, 'baseline trial')}."
    )
    if comparison.underfit:
        finding += " The gap shrank only because training got worse: it is not closed."
    changes = (b.train - a.train, comparison.clean_train_change, comparison.val_gain, comparison.gap_change)
    rows.append(["change in points", *(points(change).removesuffix(" points") for change in changes)])
    changed = [list(row) for row in differences(tables, a.number, b.number)]
    stressed = frozenset(i for i, row in enumerate(changed) if row[0] in tables.regularizers)
    if changed:
        head = ["setting that differs", "best baseline", "best search"]
        grids.append(Grid(head, changed, frozenset({1, 2}), stressed))
        notes.append(
            "The list of settings holds only what differs between the two. Regularizers are in bold; the others are "
            "nuisances, tuned in both arms."
        )
    else:
        notes.append("The two trials have the same settings.")
    return ReportSection("comparison", title, finding, notes, grids)


def _curves(found: Findings) -> ReportSection:
    title, tables, comparison = "Learning curves", found.tables, found.comparison
    shown = (("Best baseline", comparison.baseline), ("Best of the search", comparison.challenger))
    recorded = set(tables.epochs["number"])
    drawn = [(label, s.number) for label, s in shown if s is not None and s.number in recorded]
    others = [drawing] if (drawing := all_curves(tables)) else []
    if not drawn:
        return ReportSection("curves", title, "No recorded epochs of a trial that ran to a usable end.", figures=others)
    assert comparison.best is not None
    row = tables.trials.set_index("number").loc[comparison.best.number]
    planned = tables.epochs_planned or int(row["epochs"])
    finding = (
        f"The best trial ({comparison.best.number}) peaked in epoch {row['best_epoch']} of {row['epochs']} run "
        f"({planned} planned)."
    )
    if pd.notna(row["best_epoch"]) and row["best_epoch"] >= 0.75 * planned:
        finding += " That is in the last quarter: longer training may still help."
    elif pd.notna(row["best_epoch"]) and row["best_epoch"] <= 0.1 * planned:
        finding += " That is in the first tenth: fewer epochs or a smaller learning rate would do."
    own = [figures.learning_curves(tables, number, label) for label, number in drawn]
    gaps = gap_curves(tables, [(label.lower(), number) for label, number in drawn])
    return ReportSection("curves", title, finding, figures=[*own, gaps, *others])


def _gaps(found: Findings) -> ReportSection:
    title, tables, qualification = "Gap against each regularizer", found.tables, found.qualification
    if not found.relations:
        missing = "No regularizer was varied." if tables.regularizers else "The study names no regularizers."
        return ReportSection("gap", title, missing)
    trial = "baseline trial" if qualification.from_baseline else "trial, as there is no baseline"
    notes = [
        f"Judged: search trials that ran to the end with clean training accuracy no more than "
        f"{100 * CLEAN_TRAIN_TOLERANCE:.0f} points below that of the best {trial} "
        f"({percent(qualification.reference)}); {qualification.excluded} of either arm excluded (hollow grey): an "
        "untrained network has no gap. Baseline trials (diamonds) are shown but not counted: all regularizers are off "
        "in them together.",
        "Rank correlation (Spearman), first plain, then with the others held equal: the other regularizers, the "
        f"numeric nuisances and the order of the trials; that needs {MIN_TRIALS} more trials than there are things "
        "held equal. The plain one is biased wherever the search learns, because it raises good settings together: in "
        "simulated searches of 50 trials a regularizer without any effect had a plain relation, at the 1 % "
        "level, in about one study of five. Hence “as it stands” is a hint, not a finding. Significance is "
        "corrected for the number of regularizers. All of this is correlation among trials with one seed each; only "
        "leaving one regularizer out at a time would prove it.",
        "Beside each gap stands the metric with all else left free: the green bars are the mean of the best quarter "
        "within a part of the range. The best alone grows with the number of trials, and a search draws more of them "
        "where it has found good ones, so compare counts as well. Pruned trials (crosses) that were worse than every "
        "trial seen to its end are drawn at its height; hovering tells what they had.",
    ]
    rows = [[r.path, f"{signed(r.plain)} / {signed(r.rho)}", relation_sentence(r)] for r in found.relations]
    strong = frozenset(i for i, r in enumerate(found.relations) if r.significant)
    grids = [Grid(["regularizer", "rank correlation, plain / others held equal", "finding"], rows, strong=strong)]
    drawn, parts = [], []
    for r in found.relations:
        if r.used or r.excluded:
            drawn.append(figures.gap_against(tables, r, qualification))
        if found_parts := isolation(tables, r.path):
            drawn.append(metric_against(tables, r.path, found_parts))
            parts += [part_row(tables, r.path, part) for part in found_parts]
    if parts:
        folded = "Each part of each regularizer's range in numbers"
        grids.append(Grid(["regularizer", *PART_HEAD], parts, frozenset(range(2, 7)), folded=folded))
    return ReportSection("gap", title, gap_finding(found.relations), notes if drawn else [], grids, drawn)


def _settings(found: Findings) -> ReportSection:
    """The objective against everything that was searched besides the regularizers."""
    tables = found.tables
    parts = {path: isolation(tables, path) for path in settings(tables)}
    drawn = [metric_against(tables, path, found_parts) for path, found_parts in parts.items() if found_parts]
    if not drawn:
        return ReportSection("settings", "Other settings", "Nothing but regularizers was searched.")
    finding = f"{listing(list(parts))}: tuned, but not under study. The best of a search needs them near their best."
    rows = [part_row(tables, path, part) for path, found_parts in parts.items() for part in found_parts]
    folded = "Each part of each setting's range in numbers"
    grid = Grid(["setting", *PART_HEAD], rows, frozenset(range(2, 7)), folded=folded)
    return ReportSection("settings", "Other settings", finding, grids=[grid], figures=drawn)


def _importances(found: Findings) -> ReportSection:
    title, frame, counts, tables = "Importances", found.importances, found.counts, found.tables
    sentences, drawn = [], []
    for target, label in (("val_accuracy", metric_name(tables.metric).capitalize()), ("gap", "Gap")):
        rows = frame[frame["target"] == target]
        named = rows.loc[rows["above_chance"], "parameter"].tolist()
        if rows["importance"].notna().any():
            n = int(rows["trials_used"].iloc[0])
            words = f"{listing(named)} above chance" if named else f"nothing can be told from chance with {n} trials"
            sentences.append(f"{label}: {words}.")
            drawn.append(figures.importance_bars(frame, target, label))
        elif len(rows):
            sentences.append(f"{label}: {rows['note'].iloc[0]}.")
    notes = [
        f"Search arm: {counts.complete} complete, {counts.pruned} pruned, {counts.diverged} diverged, "
        f"{counts.failed} failed; {counts.excluded} complete but excluded for the gap (clean training too low)."
    ]
    if counts.baseline:
        notes[0] += f" Not counted: {plural(counts.baseline, 'baseline trial')}, with all regularizers off together."
    if drawn:
        notes.append(
            "PED-ANOVA of the top fifth; a regularizer's switch and strength are added up. The red mark is what values "
            "shuffled among neighbouring trials reach: if nothing mattered, any bar at all would pass its mark in "
            "about 5 % of studies. The test is weak below some hundred trials: “not above chance” does not mean “no "
            "effect”. The thin lines are stability, not confidence: 80 % of random subsamples of four fifths of the "
            "trials stay within them. Hovering tells whether a random forest, against shuffled values too, agrees."
        )
    return ReportSection("importance", title, " ".join(sentences) or "No parameter was searched.", notes, figures=drawn)


def _history(found: Findings) -> ReportSection:
    tables = found.tables
    observed = tables.trials[tables.observed()]
    if observed.empty:
        return ReportSection("history", "Search history", "No trial ran to a usable end.")
    row, last = best(tables), int(tables.trials["number"].max())
    assert row is not None
    finding = f"The best so far was last improved by trial {row['number']} (the newest is {last})."
    if last >= 20 and row["number"] >= 0.8 * last:
        finding += " That is late: more trials may find better."
    pruning = audit_sentence(audit(tables))
    notes = [pruning] if pruning else []
    return ReportSection("history", "Search history", finding, notes, figures=[figures.history(tables)])


def _trials(found: Findings) -> ReportSection:
    trials = found.tables.trials
    if trials.empty:
        return ReportSection("trials", "All trials", "The study has no trials yet.")
    happened = trials.apply(state_words, axis=1).value_counts()
    finding = f"{plural(len(trials), 'trial')}: " + ", ".join(f"{n} {words}" for words, n in happened.items()) + "."
    finding = f"{finding} {attempts_sentence(attempts(found.tables))}".strip()
    grid = trial_grid(found.tables)
    left_out = len(trials) - len(grid.rows)
    notes = [f"{plural(left_out, 'trial')} between the best and the newest are in trials.csv only."] if left_out else []
    return ReportSection("trials", "All trials", finding, notes, [grid])


def _data(found: Findings) -> ReportSection:
    data = found.tables.data
    if not data:
        return ReportSection("data", "Data and split", "The study does not say which data it used.")
    sizes = [
        f"{data[key]:,} {key.replace('_', ' ')}" for key in ("train", "validation") if isinstance(data.get(key), int)
    ]
    finding = (
        f"{data.get('name', 'unnamed')}: {' and '.join(sizes) or 'sizes unknown'}. The search never opens a test part."
    )
    facts = {key.replace("_", " "): value for key, value in data.items()}
    return ReportSection("data", "Data and split", finding, grids=[fact_grid(facts)])


def _making(found: Findings) -> ReportSection:
    tables = found.tables
    epochs, seconds = int(tables.trials["epochs"].sum()), float(tables.trials["seconds"].sum())
    spent = f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"
    finding = f"Cost: {plural(epochs, 'epoch')}, {spent} of training."
    if seconds == 0:
        finding = "What the trials cost was not recorded."
    ended = tables.trials[tables.trials["state"].isin(["COMPLETE", "PRUNED"])]
    planned = (tables.epochs_planned or 0) * len(ended)
    if planned > (ran := int(ended["epochs"].sum())) > 0:
        saved = 100 * (1 - ran / planned)
        finding += f" Stopping and pruning saved {saved:.0f}\N{NO-BREAK SPACE}% of the {planned:,} epochs planned."
    facts = {
        "command": tables.command,
        "study": tables.name,
        "space": tables.space_name,
        "objective": f"{tables.direction} {metric_name(tables.metric)}",
        "study seed": tables.seed,
        "regularizers": ", ".join(tables.searched()) or None,
        "nuisances": ", ".join(tables.nuisances) or None,
        **tables.versions,
    }
    return ReportSection("making", "How it was made", finding, grids=[fact_grid(facts)])
