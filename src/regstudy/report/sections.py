"""The report's sections: each a finding with its numbers, then the tables and figures that support it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
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
from regstudy.report.media import Album, FindingCard
from regstudy.report.phrasing import differences, gap_finding, listing, metric_name, percent, points, signed
from regstudy.report.setting_figures import metric_against
from regstudy.report.stored_diagnosis import diagnosed
from regstudy.report.study_checks import checks
from regstudy.study.tables import Tables, best
from regstudy.text import counted


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
    """Everything that the analysis computed for one report."""

    tables: Tables
    comparison: BaselineComparison
    qualification: Qualification
    relations: list[Relation]
    importances: pd.DataFrame
    counts: Counts


@np.errstate(over="ignore", invalid="ignore")  # anybody's values may be huge or infinite
def sections(found: Findings) -> list[ReportSection]:
    """All sections in reading order; those without content say so in their finding."""
    makers = (_checks, _comparison, _curves, _gaps, _importances, _settings, _history, _trials, _data, _making)
    return [make(found) for make in makers]


SEVERITY_LABELS = {
    "act": "▲\N{NO-BREAK SPACE}action",
    "note": "●\N{NO-BREAK SPACE}note",
    "fine": "✓\N{NO-BREAK SPACE}passed",
}


def _checks(found: Findings) -> ReportSection:
    """What to change about the study itself, most urgent first."""
    title, listed = "Checks", checks(found.tables)
    act, note = (sum(check.severity == severity for check in listed) for severity in ("act", "note"))
    finding = "No checks are possible yet."
    if listed:
        parts = [f"{act} need action" if act != 1 else "1 needs action", counted(note, "note")]
        parts.append(f"{len(listed) - act - note} passed")
        finding = f"{counted(len(listed), 'check')}: {', '.join(parts)}."
    rows = [[SEVERITY_LABELS[check.severity], check.finding, check.advice] for check in listed]
    head, grids = ["", "finding", "what to do"], []
    if found.tables.doctor:
        before = diagnosed(found.tables.doctor)
        finding = f"{before.words} {finding}"
        urgent = frozenset(i for i, check in enumerate(before.checks) if check.severity == "act")
        before_rows = [[SEVERITY_LABELS[check.severity], check.finding, check.advice] for check in before.checks]
        grids.append(
            Grid(["", "doctor's finding before the search", "what to do"], before_rows, strong=urgent, stacked=True)
        )
    if act + note:
        grids.append(Grid(head, rows[: act + note], strong=frozenset(range(act)), stacked=True))
    if rows[act + note :]:
        grids.append(Grid(["", ""], [row[:2] for row in rows[act + note :]], folded="Passed checks", stacked=True))
    return ReportSection("checks", title, finding, grids=grids, folded=not act + note and not found.tables.doctor)


def _comparison(found: Findings) -> ReportSection:
    title, comparison, tables = "Baseline vs. best", found.comparison, found.tables
    shown = (("baseline", comparison.baseline), ("search", comparison.challenger))
    rows = [
        [f"best {label}, trial {s.number}", *map(percent, (s.train, s.clean_train, s.val, s.gap))]
        for label, s in shown
        if s is not None
    ]
    head = ["", "train (train mode)", "train (eval mode)", "validation", "gap"]
    numeric, last = (
        frozenset(range(1, 5)),
        frozenset(i for i, (_, scores) in enumerate(item for item in shown if item[1]) if scores is comparison.best),
    )
    notes = [
        "Gap = train accuracy (eval mode) − validation accuracy. Eval mode (“clean”) means without dropout and "
        "augmentation. The accuracy in train mode is measured while they are active: do not compare it with validation."
    ]
    grids = [Grid(head, rows, numeric, last)] if rows else []
    if curse := winners_curse(tables):
        notes.append(winners_curse_sentence(curse))
    a, b = comparison.baseline, comparison.challenger
    if a is None or b is None:
        missing = "no trial" if a is b else f"no {'baseline' if a is None else 'search'} trial"
        finding = f"Nothing to compare: {missing} finished with a usable result."
        return ReportSection("comparison", title, finding, notes if grids else [], grids)
    finding = (
        f"Best of the search: validation {points(comparison.val_gain)}, gap {points(comparison.gap_change)}, "
        f"compared with the best of {counted(comparison.baseline_trials, 'baseline trial')}."
    )
    if comparison.underfit:
        finding += " The gap was not closed: it shrank only because train accuracy fell."
    changes = (b.train - a.train, comparison.clean_train_change, comparison.val_gain, comparison.gap_change)
    rows.append(["difference (points)", *(points(change).removesuffix(" points") for change in changes)])
    changed = [list(row) for row in differences(tables, a.number, b.number)]
    stressed = frozenset(i for i, row in enumerate(changed) if row[0] in tables.regularizers)
    if changed:
        head = ["setting", "best baseline", "best search"]
        grids.append(Grid(head, changed, frozenset({1, 2}), stressed))
        notes.append(
            "The second table lists only the settings that differ. Regularizers are in bold; the others are nuisance "
            "hyperparameters, tuned in baseline and search trials alike."
        )
    else:
        notes.append("Both trials have the same settings.")
    return ReportSection("comparison", title, finding, notes, grids)


def _curves(found: Findings) -> ReportSection:
    title, tables, comparison = "Learning curves", found.tables, found.comparison
    shown = (("Best baseline", comparison.baseline), ("Best of the search", comparison.challenger))
    recorded = set(tables.epochs["number"])
    drawn = [(label, s.number) for label, s in shown if s is not None and s.number in recorded]
    others = [drawing] if (drawing := all_curves(tables)) else []
    if not drawn:
        return ReportSection("curves", title, "No epochs are recorded for a usable trial.", figures=others)
    assert comparison.best is not None
    row = tables.trials.set_index("number").loc[comparison.best.number]
    planned = tables.epochs_planned or int(row["epochs"])
    finding = (
        f"The best trial ({comparison.best.number}) peaked at epoch {row['best_epoch']} of {row['epochs']} "
        f"({planned} planned)."
    )
    if pd.notna(row["best_epoch"]) and row["best_epoch"] >= 0.75 * planned:
        finding += " The peak is in the last quarter: longer training may help."
    elif pd.notna(row["best_epoch"]) and row["best_epoch"] <= 0.1 * planned:
        finding += " The peak is in the first tenth: use fewer epochs or a lower learning rate."
    own = [figures.learning_curves(tables, number, label) for label, number in drawn]
    gaps = gap_curves(tables, [(label.lower(), number) for label, number in drawn])
    return ReportSection("curves", title, finding, figures=[*own, gaps, *others])


def _gaps(found: Findings) -> ReportSection:
    title, tables, qualification = "Gap vs. each regularizer", found.tables, found.qualification
    if not found.relations:
        missing = "No regularizer was varied." if tables.regularizers else "The study declares no regularizers."
        return ReportSection("gap", title, missing)
    reference = "baseline trial" if qualification.from_baseline else "trial (there is no baseline)"
    notes = [
        "Two plots per regularizer: the gap, and the metric. Other settings vary between trials. Green bars show "
        "the mean of the best quarter of trials in a part of the range. Correlations are adjusted for the other "
        "settings; “unadjusted” ones are hints, not findings."
    ]
    method = [
        f"Included: finished search trials with a train accuracy (eval mode) at most {100 * CLEAN_TRAIN_TOLERANCE:.0f} "
        f"points below that of the best {reference} ({percent(qualification.reference)}). {qualification.excluded} "
        "trials (including baseline) are excluded (hollow gray circles): an underfit network has no meaningful gap. "
        "Baseline trials (diamonds) are shown but not counted because all their regularizers are off at once.",
        "Spearman rank correlation, first unadjusted, then as a partial correlation adjusted for the other "
        "regularizers, the numeric nuisance hyperparameters and the order of the trials. The partial correlation "
        f"needs {MIN_TRIALS} more trials than it has covariates. The unadjusted correlation is biased "
        "with an adaptive sampler, because it improves several settings together: in simulated searches of "
        "50 trials, a regularizer without any effect had a significant unadjusted correlation (1 % level) in about "
        "one of five studies. p-values are corrected for the number of regularizers (Holm). All correlations are "
        "among trials with a single seed each; only an ablation (one regularizer off at a time) would prove an effect.",
        "The best value in a part of the range improves with its number of "
        "trials, and a search runs more trials where it has found good ones, so compare the counts as well. Pruned "
        "trials (crosses) that are worse than every finished trial are drawn at the height of the worst one; hover to "
        "see their value.",
    ]
    rows = [[r.path, f"{signed(r.plain)} / {signed(r.rho)}", relation_sentence(r)] for r in found.relations]
    strong = frozenset(i for i, r in enumerate(found.relations) if r.significant)
    grids = [
        Grid(["regularizer", "rank correlation, unadjusted / adjusted", "finding"], rows, strong=strong, stacked=True)
    ]
    few = all(r.kind == "too few" for r in found.relations)
    drawn, parts = [], []
    for r in found.relations:
        if r.used or r.excluded:
            drawn.append(figures.gap_against(tables, r, qualification))
        if found_parts := isolation(tables, r.path):
            drawn.append(metric_against(tables, r.path, found_parts))
            parts += [part_row(tables, r.path, part) for part in found_parts]
    if parts:
        folded = "Table: results by part of each regularizer's range"
        grids.append(Grid(["regularizer", *PART_HEAD], parts, frozenset(range(2, 7)), folded=folded))
    if not drawn:
        notes, method = [], []
    return ReportSection("gap", title, gap_finding(found.relations), notes, grids, drawn, method=method, folded=few)


def _settings(found: Findings) -> ReportSection:
    """The objective against every searched hyperparameter that is not a regularizer."""
    tables = found.tables
    parts = {path: isolation(tables, path) for path in settings(tables)}
    drawn = [metric_against(tables, path, found_parts) for path, found_parts in parts.items() if found_parts]
    if not drawn:
        return ReportSection("settings", "Other hyperparameters", "Only regularizers were searched.")
    finding = (
        f"Tuned but not under study: {listing(list(parts))}. If one is badly tuned, the results above are unreliable."
    )
    rows = [part_row(tables, path, part) for path, found_parts in parts.items() for part in found_parts]
    folded = "Table: results by part of each range"
    grid = Grid(["hyperparameter", *PART_HEAD], rows, frozenset(range(2, 7)), folded=folded)
    return ReportSection("settings", "Other hyperparameters", finding, grids=[grid], figures=drawn)


def _importances(found: Findings) -> ReportSection:
    title, frame, counts, tables = "Hyperparameter importance", found.importances, found.counts, found.tables
    sentences, drawn, method, some = [], [], [], False
    for target, label in (("val_accuracy", metric_name(tables.metric).capitalize()), ("gap", "Gap")):
        rows = frame[frame["target"] == target]
        named = rows.loc[rows["above_chance"], "parameter"].tolist()
        if rows["importance"].notna().any():
            n = int(rows["trials_used"].iloc[0])
            some = some or bool(named)
            sentences.append(f"{label}: {listing(named) if named else 'no parameter'} above chance ({n} trials).")
            drawn.append(figures.importance_bars(frame, target, label))
        elif len(rows):
            sentences.append(f"{label}: {rows['note'].iloc[0]}.")
    notes = [
        f"Search trials: {counts.complete} finished, {counts.pruned} pruned, {counts.diverged} diverged, "
        f"{counts.failed} failed; {counts.excluded} finished but excluded for the gap (train accuracy too low)."
    ]
    if counts.baseline:
        notes[0] += f" Not counted: {counted(counts.baseline, 'baseline trial')} (all regularizers off at once)."
    if drawn:
        notes.append("A bar that stays below its red mark (chance threshold) may be chance, which is not “no effect”.")
        method.append(
            "PED-ANOVA of the best fifth of the trials; a regularizer's switch and strength are summed. The "
            "chance threshold comes from a permutation test with values shuffled among neighboring trials: if no "
            "parameter mattered, any bar would pass its threshold in about 5 % of studies. The test is weak below "
            "about 100 trials. The thin lines show stability, not confidence: 80 % of random subsamples with four "
            "fifths of the trials stay within them."
        )
    finding = " ".join(sentences) or "No hyperparameter was searched."
    return ReportSection(
        "importance", title, finding, notes if sentences else [], figures=drawn, method=method, folded=not some
    )


def _history(found: Findings) -> ReportSection:
    tables = found.tables
    observed = tables.trials[tables.observed()]
    if observed.empty:
        return ReportSection("history", "Search history", "No trial finished with a usable result.")
    row, last = best(tables), int(tables.trials["number"].max())
    assert row is not None
    finding = f"The best result came from trial {row['number']} (latest trial: {last})."
    if last >= 20 and row["number"] >= 0.8 * last:
        finding += " That is late in the search: more trials may find a better one."
    pruning = audit_sentence(audit(tables))
    notes = [pruning] if pruning else []
    return ReportSection("history", "Search history", finding, notes, figures=[figures.history(tables)])


def _trials(found: Findings) -> ReportSection:
    trials = found.tables.trials
    if trials.empty:
        return ReportSection("trials", "All trials", "The study has no trials yet.")
    happened = trials.apply(state_words, axis=1).value_counts()
    finding = f"{counted(len(trials), 'trial')}: " + ", ".join(f"{n} {words}" for words, n in happened.items()) + "."
    finding = f"{finding} {attempts_sentence(attempts(found.tables))}".strip()
    grid = trial_grid(found.tables)
    left_out = len(trials) - len(grid.rows)
    notes = (
        [f"{counted(left_out, 'trial')} (neither among the best nor the newest) are only in trials.csv."]
        if left_out
        else []
    )
    return ReportSection("trials", "All trials", finding, notes, [grid])


def _data(found: Findings) -> ReportSection:
    data = found.tables.data
    if not data:
        return ReportSection("data", "Data and split", "The study did not record its data.")
    sizes = [
        f"{data[key]:,} {key.replace('_', ' ')}" for key in ("train", "validation") if isinstance(data.get(key), int)
    ]
    finding = (
        f"{data.get('name', 'unnamed')}: {' and '.join(sizes) or 'sizes unknown'}. The search never uses a test set."
    )
    facts = {key.replace("_", " "): value for key, value in data.items()}
    return ReportSection("data", "Data and split", finding, grids=[fact_grid(facts)], folded=True)


def _making(found: Findings) -> ReportSection:
    tables = found.tables
    epochs, seconds = int(tables.trials["epochs"].sum()), float(tables.trials["seconds"].sum())
    spent = f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"
    finding = f"Cost: {counted(epochs, 'epoch')}, {spent} of training."
    if seconds == 0:
        finding = "The cost of the trials was not recorded."
    ended = tables.trials[tables.trials["state"].isin(["COMPLETE", "PRUNED"])]
    planned = (tables.epochs_planned or 0) * len(ended)
    if planned > (ran := int(ended["epochs"].sum())) > 0:
        saved = 100 * (1 - ran / planned)
        finding += (
            f" Early stopping and pruning saved {saved:.0f}\N{NO-BREAK SPACE}% of the {planned:,} planned epochs."
        )
    facts = {
        "command": tables.command,
        "study": tables.name,
        "space": tables.space_name,
        "objective": f"{tables.direction} {metric_name(tables.metric)}",
        "study seed": tables.seed,
        "regularizers": ", ".join(tables.searched()) or None,
        "nuisance hyperparameters": ", ".join(tables.nuisances) or None,
        **tables.versions,
    }
    return ReportSection("making", "Reproduce", finding, grids=[fact_grid(facts)], folded=True)
