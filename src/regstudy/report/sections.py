"""The report's sections: each a finding with its numbers, then the tables and figures that support it."""

from __future__ import annotations

import math

import numpy as np

from regstudy.analysis.attempts import attempts
from regstudy.analysis.audit import audit
from regstudy.analysis.constant_answer import constant_answer
from regstudy.analysis.gap import Scores
from regstudy.analysis.share_error import validation_error
from regstudy.analysis.winners_curse import winners_curse
from regstudy.report import figures
from regstudy.report.ablation_section import ablation_section
from regstudy.report.class_section import class_section, groups_sentence
from regstudy.report.confirmation_section import confirmation_section
from regstudy.report.curve_figures import all_curves, gap_curves
from regstudy.report.finding_phrasing import (
    attempts_sentence,
    audit_sentence,
    winners_curse_sentence,
)
from regstudy.report.grids import Grid, data_facts, fact_grid, state_words, trial_grid
from regstudy.report.metric_phrasing import (
    bare_change,
    change,
    fit_got_worse,
    gap_definition,
    gap_score,
    score,
    unit,
    validation_name,
)
from regstudy.report.other_metric_phrasing import positive_class
from regstudy.report.phrasing import differences, metric_name
from regstudy.report.report_section import Findings as Findings
from regstudy.report.report_section import ReportSection as ReportSection
from regstudy.report.setting_sections import (
    GAP_TITLE,
    IMPORTANCE_TITLE,
    SETTINGS_TITLE,
    gap_section,
    importance_section,
    settings_section,
)
from regstudy.report.stored_diagnosis import diagnosed
from regstudy.report.study_checks import checks
from regstudy.report.verdict_phrasing import ASSUMED_CLASSES, constant_words, fair_gain_words, nothing_learned_words
from regstudy.study.tables import best
from regstudy.text import counted, listing


@np.errstate(over="ignore", invalid="ignore")  # anybody's values may be huge or infinite
def sections(found: Findings) -> list[ReportSection]:
    """All sections in reading order; those without content say so in their finding."""
    makers = (
        _checks,
        ablation_section,
        confirmation_section,
        _comparison,
        class_section,
        _curves,
        gap_section,
        importance_section,
        settings_section,
        _history,
        _trials,
        _data,
        _making,
    )
    if not found.comparison.nothing_learned:
        return [section for make in makers if (section := make(found)) is not None]
    unlearned = nothing_learned_words(found.comparison.constant, balanced=found.comparison.balanced)
    silent = {
        gap_section: ("gap", GAP_TITLE),
        importance_section: ("importance", IMPORTANCE_TITLE),
        settings_section: ("settings", SETTINGS_TITLE),
    }
    made = [ReportSection(*silent[make], unlearned) if make in silent else make(found) for make in makers]
    return [section for section in made if section is not None]


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
        before = diagnosed(found.tables.doctor, learned=not found.comparison.nothing_learned)
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
    title, comparison, tables, of = "Baseline vs. best", found.comparison, found.tables, found.tables.measured
    trials = tables.trials.set_index("number")
    shown = (("baseline", comparison.baseline), ("search", comparison.challenger))
    rows = [
        [
            f"best {label}, trial {s.number}",
            *(score(value, of) for value in _measured(s)),
            gap_score(s.gap, of),
            *(score(trials.at[s.number, other.val], other) for other in tables.others),
        ]
        for label, s in shown
        if s is not None
    ]
    train = ["train (train mode)"] if of.train in trials else []
    named = validation_name(of)
    head = ["", *train, "train (eval mode)", named, "gap", *(f"validation {other.label}" for other in tables.others)]
    numeric, last = (
        frozenset(range(1, len(head))),
        frozenset(i for i, (_, scores) in enumerate(item for item in shown if item[1]) if scores is comparison.best),
    )
    notes = [
        f"{gap_definition(of)}. Eval mode (“clean”) means without dropout and augmentation."
        + (
            f" The {of.label} in train mode is measured while they are active: do not compare it with validation."
            if train
            else ""
        )
    ]
    grids = [Grid(head, rows, numeric, last)] if rows else []
    if found.confirmation is not None:
        notes.append("These are the values of the search, some of them luck: the answer rests on fresh seeds alone.")
    elif (curse := winners_curse(tables)) and not comparison.nothing_learned:
        notes.append(winners_curse_sentence(curse))
    if comparison.best and (grouped := groups_sentence(validation_error(tables, comparison.best.number))):
        notes.append(grouped)
    a, b = comparison.baseline, comparison.challenger
    if a is None or b is None:
        missing = "no trial" if a is b else f"no {'baseline' if a is None else 'search'} trial"
        finding = f"Nothing to compare: {missing} finished with a usable result."
        return ReportSection("comparison", title, finding, notes if grids else [], grids)
    finding = (
        f"Best of the search, as selected: {named} {change(comparison.val_change, of)}, gap "
        f"{change(comparison.gap_change, of)}, compared with the best of "
        f"{counted(comparison.baseline_trials, 'baseline trial')}."
    )
    judged = not (comparison.few or comparison.untrained or comparison.nothing_learned or found.confirmation)
    if judged and fair_gain_words(comparison):
        finding += f" With equal attempts: {metric_name(tables.metric)} {fair_gain_words(comparison)}."
    if comparison.underfit and not (comparison.few or comparison.nothing_learned or found.confirmation):
        finding += f" The gap was not closed: it shrank only because {fit_got_worse(of)}."
    changes = [later - earlier for earlier, later in zip(_measured(a), _measured(b), strict=True)]
    moved = [bare_change(value, of) for value in (*changes, comparison.gap_change)]
    moved += [
        bare_change(trials.at[b.number, other.val] - trials.at[a.number, other.val], other) for other in tables.others
    ]
    mixed = not of.percent and tables.others  # a loss, and shares beside it
    rows.append(["difference" if mixed else f"difference ({unit(of)})", *moved])
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


def _measured(scores: Scores) -> list[float]:
    """What was measured of a trial: train (train mode) only for accuracy and loss, train (eval mode), validation."""
    train = [] if math.isnan(scores.train) else [scores.train]
    return [*train, scores.clean_train, scores.val]


def _curves(found: Findings) -> ReportSection:
    title, tables, comparison = "Learning curves", found.tables, found.comparison
    shown = (("Best baseline", comparison.baseline), ("Best of the search", comparison.challenger))
    recorded = set(tables.epochs["number"])
    drawn = [(label, s.number) for label, s in shown if s is not None and s.number in recorded]
    others = [drawing] if (drawing := all_curves(tables)) else []
    if not drawn:
        return ReportSection("curves", title, "No epochs are recorded for a usable trial.", figures=others)
    best_scores = comparison.best or comparison.challenger or comparison.baseline
    assert best_scores is not None
    row = tables.trials.set_index("number").loc[best_scores.number]
    planned = tables.epochs_planned or int(row["epochs"])
    kind = "baseline trial" if comparison.best is None else "trial"
    finding = (
        f"The best {kind} ({best_scores.number}) peaked at epoch {row['best_epoch']} of {row['epochs']} "
        f"({planned} planned)."
    )
    own = [figures.learning_curves(tables, number, label) for label, number in drawn]
    gaps = gap_curves(tables, [(label.lower(), number) for label, number in drawn])
    return ReportSection("curves", title, finding, figures=[*own, gaps, *others])


def _history(found: Findings) -> ReportSection:
    tables = found.tables
    if not tables.observed().any():
        return ReportSection("history", "Search history", "No trial finished with a usable result.")
    row, last = best(tables), int(tables.trials["number"].max())
    if row is None:
        finding = "No trial keeps the limit on the gap."
        return ReportSection("history", "Search history", finding, figures=[figures.history(tables)])
    finding = f"The best result came from trial {row['number']} (latest trial: {last})."
    if last >= 20 and row["number"] >= 0.8 * last and not found.comparison.nothing_learned:
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
    constant = constant_answer(data, found.tables.metric, found.tables.doctor)
    notes = [f"Best answer that ignores the images: {constant_words(constant)}."] if constant else []
    notes += [said] if (said := positive_class(found.tables)) else []
    notes += [ASSUMED_CLASSES] if constant and constant.source == "assumed" else []
    grids = [fact_grid(data_facts(data))]
    return ReportSection("data", "Data and split", finding, notes, grids, folded=True)


def cost_words(found: Findings) -> str:
    """What all runs of a study took, those of its confirmation and its ablation included."""
    ablated = None if found.apart is None else found.apart.runs
    runs = {"search": found.tables, "confirmation": found.fresh, "ablation": ablated}
    known = {name: one for name, one in runs.items() if one is not None}
    spent = {name: int(one.epochs_run().sum()) for name, one in known.items()}
    seconds = sum(float(one.trials["seconds"].sum()) for one in known.values())
    if seconds == 0:
        return "The cost of the trials was not recorded."
    shares = listing([f"{name} {counted(epochs, 'epoch')}" for name, epochs in spent.items()])
    total = counted(sum(spent.values()), "epoch")
    took = f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"
    return f"Cost: {total}, {took} of training{f' ({shares})' if len(spent) > 1 else ''}."


def _making(found: Findings) -> ReportSection:
    tables = found.tables
    finding = cost_words(found)
    ended = tables.trials[tables.trials["state"].isin(["COMPLETE", "PRUNED"])]
    planned = (tables.epochs_planned or 0) * len(ended) * max(tables.folds, 1)
    if planned > (ran := int(tables.epochs_run()[ended.index].sum())) > 0:
        saved = 100 * (1 - ran / planned)
        finding += (
            f" Early stopping and pruning saved {saved:.0f}\N{NO-BREAK SPACE}% of the search's {planned:,} epochs."
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
