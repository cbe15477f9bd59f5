"""The sections about hyperparameters: the gap, importances, and the objective against each setting."""

from __future__ import annotations

from regstudy.analysis.gap import MIN_TRIALS
from regstudy.analysis.importance import objective_target
from regstudy.analysis.isolation import isolation, settings
from regstudy.report import figures
from regstudy.report.finding_phrasing import (
    relation_sentence,
)
from regstudy.report.grids import PART_HEAD, Grid, part_row
from regstudy.report.metric_phrasing import amount, score
from regstudy.report.phrasing import capital, gap_finding, listing, metric_name, signed
from regstudy.report.report_section import Findings, ReportSection
from regstudy.report.setting_figures import metric_against
from regstudy.text import counted

GAP_TITLE, SETTINGS_TITLE = "Gap vs. each regularizer", "Other hyperparameters"
IMPORTANCE_TITLE = "Hyperparameter importance"


def gap_section(found: Findings) -> ReportSection:
    """The gap against each regularizer's strength, and the objective beside it."""
    title, tables, qualification = GAP_TITLE, found.tables, found.qualification
    if not found.relations:
        missing = "No regularizer was varied." if tables.regularizers else "The study declares no regularizers."
        return ReportSection("gap", title, missing)
    of, allowed = qualification.metric, f"{100 * qualification.tolerance:.0f} points below"
    if not of.percent:
        allowed = f"{amount(qualification.tolerance, of)} above"
    reference = "baseline trial" if qualification.from_baseline else "trial (there is no baseline)"
    notes = [
        "Two plots per regularizer: the gap, and the metric. Other settings vary between trials. Gold bars show "
        "the mean of the best quarter of trials in a part of the range. Correlations are adjusted for the other "
        "settings; “unadjusted” ones are hints, not findings."
    ]
    method = [
        f"Included: finished search trials with a train {of.label} (eval mode) at most {allowed} that "
        f"of the best {reference} ({score(qualification.reference, of)}). Excluded (hollow gray "
        f"circles): {counted(qualification.excluded, 'trial')}, including baseline trials, because an underfit network "
        "has no meaningful gap. "
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


def importance_section(found: Findings) -> ReportSection:
    """Which hyperparameters matter for the objective and for the gap."""
    title, frame, counts, tables = IMPORTANCE_TITLE, found.importances, found.counts, found.tables
    sentences, drawn, method, some = [], [], [], False
    for target, label in ((objective_target(tables), capital(metric_name(tables.metric))), ("gap", "Gap")):
        rows = frame[frame["target"] == target]
        named = rows.loc[rows["above_chance"], "parameter"].tolist()
        if rows["importance"].notna().any():
            n = int(rows["trials_used"].iloc[0])
            some = some or bool(named)
            who = listing(named) if named else "no parameter"
            sentences.append(f"{label}: {who} above chance ({counted(n, 'trial')}).")
            drawn.append(figures.importance_bars(frame, target, label))
        elif len(rows):
            sentences.append(f"{label}: {rows['note'].iloc[0]}.")
    of = tables.measured
    too_poor = f"train {of.label} too {'low' if of.maximize else 'high'}"
    notes = [
        f"Search trials: {counts.complete} finished, {counts.pruned} pruned, {counts.diverged} diverged, "
        f"{counts.failed} not finished; {counts.excluded} finished but excluded for the gap ({too_poor})."
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


def settings_section(found: Findings) -> ReportSection:
    """The objective against every searched hyperparameter that is not a regularizer."""
    tables = found.tables
    parts = {path: isolation(tables, path) for path in settings(tables)}
    drawn = [metric_against(tables, path, found_parts) for path, found_parts in parts.items() if found_parts]
    if not drawn:
        return ReportSection("settings", SETTINGS_TITLE, "Only regularizers were searched.")
    finding = (
        f"Tuned but not under study: {listing(list(parts))}. If one is badly tuned, the results above are unreliable."
    )
    rows = [part_row(tables, path, part) for path, found_parts in parts.items() for part in found_parts]
    folded = "Table: results by part of each range"
    grid = Grid(["hyperparameter", *PART_HEAD], rows, frozenset(range(2, 7)), folded=folded)
    return ReportSection("settings", SETTINGS_TITLE, finding, grids=[grid], figures=drawn)
