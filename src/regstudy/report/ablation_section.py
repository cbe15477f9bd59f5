"""The section with an ablation: every effect with its intervals, the runs, and how it is computed."""

from __future__ import annotations

from regstudy.analysis.chances import GOOD, NOTHING, SCALE
from regstudy.report.ablation_figures import arm_curves, waterfall
from regstudy.report.ablation_phrasing import ONLY_SEEDS, heading, open_sentences, rate_sentences
from regstudy.report.ablation_table import head, how_to_read, row
from regstudy.report.grids import Grid
from regstudy.report.interaction_phrasing import interaction_sentence
from regstudy.report.metric_phrasing import score, unit
from regstudy.report.phrasing import NONE
from regstudy.report.range_phrasing import number
from regstudy.report.report_section import Findings, ReportSection
from regstudy.space.round_plan import ROUND
from regstudy.study.tables import PARAM
from regstudy.text import counted


def ablation_section(found: Findings) -> ReportSection | None:
    """The effects of the winner's regularizers; None without ablation runs."""
    apart = found.apart
    if apart is None:
        return None
    of, result = apart.metric, apart.result
    columns = head(of)
    effects = Grid(columns, [row(one, of) for one in result.effects], frozenset(range(2, len(columns))))
    notes = [how_to_read(apart), *open_sentences(apart), *(interaction_sentence(one, of) for one in apart.standing)]
    notes += rate_sentences(apart)
    notes += [ONLY_SEEDS] if apart.own_validation else []
    drawn = waterfall(apart)
    return ReportSection(
        "ablation",
        "Ablation",
        f"{heading(apart)}: {counted(result.runs, 'run')} that take trial {apart.winner} apart.",
        notes=notes,
        grids=[effects, _runs(found)],
        figures=[*([drawn] if drawn else []), *arm_curves(apart)],
        method=_method(
            f"{number(result.margin, of)} {unit(of)}", own=apart.own_validation, retuned=bool(apart.factors)
        ),
    )


def _runs(found: Findings) -> Grid:
    """Every run: arms by repeats."""
    assert found.apart is not None
    of, runs = found.apart.metric, found.apart.runs
    ended = runs.trials[(runs.trials["state"] == "COMPLETE") & runs.trials[PARAM + ROUND].notna()]
    repeats = sorted({int(value) for value in ended[PARAM + ROUND]})
    values = {
        (row.arm, int(row.round)): row.value for row in ended.rename(columns={PARAM + ROUND: "round"}).itertuples()
    }
    rows = [
        [str(arm), *(score(values[arm, repeat], of) if (arm, repeat) in values else NONE for repeat in repeats)]
        for arm in found.apart.arms
    ]
    columns = ["", *(f"repeat {repeat}" for repeat in repeats)]
    title = f"All {counted(len(ended), 'run')} by arm and repeat"
    return Grid(columns, rows, frozenset(range(1, len(columns))), folded=title)


def _method(margin: str, *, own: bool, retuned: bool) -> list[str]:
    fresh = "with the same fresh seed" if own else "with the same fresh seed and on the same fresh split"
    rates = (
        "Before, each arm was tried at three learning rates with seeds of their own, and takes the one with the best "
        "mean. These runs are in no effect, no range and no figure. So an effect is what a regularizer changes when "
        "the learning rate may change along."
    )
    return [
        *([rates] if retuned else []),
        f"Each repeat trains all arms once, {fresh}; no run is pruned. An effect is the mean difference between the "
        "winner and the winner without a regularizer, over the repeats that both have. What is learned about a "
        "regularizer therefore holds in the presence of the others.",
        "There are two stages. After the first, arms that are decided, and arms that the remaining runs could not "
        "decide, leave. The verdicts rest on paired t-tests after each stage, with Holm’s correction over all "
        "regularizers in both outcomes, metric and gap; the two looks share an error of 5 %. A change counts only if "
        f"it is larger than the margin of {margin}, too. “No effect” takes evidence as well: the change must clearly "
        "lie within the margin.",
        "The ranges are 95 % intervals of single effects. On these images: repeats with fresh seed and split are "
        "independent, given the images. For new images of the same kind: repeats share images, so this range is wider "
        "(corrected resampled t-interval, Nadeau and Bengio, 2003), and more repeats do not make it much shorter.",
        "The chances are those that a regularizer changes validation by more than the margin, or less. Before any run, "
        f"they say {100 * NOTHING:.0f} % for no effect at all. Of the other effects, {100 * GOOD:.0f} % are expected "
        "to be good ones, because the search has chosen them; their sizes, in standard deviations of a paired "
        f"difference, have a Cauchy distribution with scale {SCALE:g} (Bayesian t-test, Rouder et al., 2009). If all "
        "regularizers have small effects, these chances are too low.",
        "Importances, further down, answer another question: which settings mattered to the search.",
    ]
