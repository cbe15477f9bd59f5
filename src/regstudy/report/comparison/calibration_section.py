"""The section of a comparison's page about calibration: ECE and Brier score per arm, and a reliability diagram each."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from regstudy.analysis.arm_calibration import ArmCalibration, CalibrationComparison, compare_calibration
from regstudy.analysis.arm_statistics import ACCURACY, Comparison, Difference, Spread
from regstudy.analysis.calibration import NOISE_QUANTILE, reliability_curve
from regstudy.config.run_config import RunConfig
from regstudy.report import palette
from regstudy.report.calibration_phrasing import SOFTENERS
from regstudy.report.comparison.comparison_phrasing import (
    interval_words,
    mean_words,
    number,
    p_words,
    signed_number,
    verdict_words,
)
from regstudy.report.figures import Drawing, finish
from regstudy.report.grids import Grid
from regstudy.report.phrasing import listing, minus
from regstudy.report.report_section import ReportSection
from regstudy.study.load_tables import settings_of
from regstudy.text import counted

MEASURE_NAMES = {"ece_best": "ECE", "brier_best": "Brier score"}
SMALLEST_DOT, LARGEST_DOT = 5, 22  # diameter in pixels: the area of a dot follows its share of the images


def calibration_section(found: Comparison) -> ReportSection | None:
    """Folded if no difference is significant; None if the runs have not stored how sure they were."""
    compared = compare_calibration(found)
    if compared is None:
        return None
    first = found.arms[0].name
    rows = [
        [
            arm.name,
            _with_floor(arm),
            _spread(arm.spreads["brier_best"]),
            signed_number(arm.overconfidence, ACCURACY),
            f"{arm.off} of {arm.runs}",
        ]
        for arm in compared.arms
    ]
    head = ["arm", "ECE (%; noise floor)", "Brier score (× 100)", "confidence − accuracy (points)", "runs beyond noise"]
    grids = [Grid(head, rows)]
    if compared.differences:
        rows = [
            [d.arm, MEASURE_NAMES[d.measure], str(d.paired.n), signed_number(d.paired.mean, ACCURACY),
             interval_words(d), p_words(d.paired.adjusted), verdict_words(d)]
            for d in compared.differences
        ]  # fmt: skip
        strong = frozenset(i for i, d in enumerate(compared.differences) if d in compared.moved)
        head = ["arm", "measure", "pairs", f"difference from {first} (points)", "95 % CI", "p (adjusted)", "verdict"]
        grids.append(Grid(head, rows, frozenset({2, 3, 5}), strong))
    notes = [
        "A calibrated model that is sure of 80 % of its answers is right in 80 % of them: its dots lie on the dashed "
        "line. The noise floor is the ECE that such a model would show on this many images. Lower is better in all "
        "columns but the confidence, where 0 is best.",
    ]
    tests = counted(len(compared.differences), "difference")
    method = [
        "ECE: the mean distance between confidence (the probability of the predicted class) and accuracy over 15 "
        "intervals of equal width (Guo et al., 2017), on the validation images at the best epoch. Its noise floor is "
        f"simulated; a run is “beyond noise” if its ECE exceeds {NOISE_QUANTILE:.0%} of the simulated values. Brier "
        "score: the squared error of the probabilities, summed over the classes (with two: of the positive class). "
        f"Paired differences as for accuracy, with p-values adjusted for these {tests} (Holm) and the same margin."
    ]
    figures = [_diagram(arm) for arm in compared.arms]
    folded = not compared.moved
    return ReportSection(
        "calibration", "Calibration", calibration_finding(found, compared), notes, grids, figures, method=method,
        folded=folded,
    )  # fmt: skip


def calibration_finding(found: Comparison, compared: CalibrationComparison) -> str:
    """What moved against the first arm, with the settings that soften confidence where they differ."""
    if not compared.differences:
        arm = compared.arms[0]
        return f"{_ece_words(arm)}, Brier score {arm.spreads['brier_best'].mean:.3f} at the best epoch."
    if not compared.moved:
        return f"No significant difference from {found.arms[0].name} in ECE or Brier score."
    sentences = []
    for name in dict.fromkeys(d.arm for d in compared.moved):
        moved = [d for d in compared.moved if d.arm == name]
        sentence = f"{name} vs. {found.arms[0].name} at the best epoch: {listing([_change(d) for d in moved])}"
        soft, others = softening(found, name)
        if soft:
            also = f", but also in {counted(others, 'other setting')}" if others else ""
            sentence += f"; it differs in {listing(soft)}{also}"
        sentences.append(f"{sentence}.")
    return " ".join(sentences)


def softening(found: Comparison, arm: str) -> tuple[list[str], int]:
    """The settings that soften confidence in which an arm differs from the first, and the number of its other ones."""
    first, mine = (_settings(found.plan.arms[name]) for name in (found.arms[0].name, arm))
    differing = [path for path in {**first, **mine} if repr(first.get(path)) != repr(mine.get(path))]
    known = {f"regularization.{name}": words for name, words in SOFTENERS.items()}
    soft = [f"{known[p]} ({first[p]:g} → {mine[p]:g})" for p in differing if p in known]
    return soft, sum(path not in known for path in differing)


def _settings(config: RunConfig) -> dict[str, Any]:
    return settings_of(config.model_dump(mode="json"))


def _change(difference: Difference) -> str:
    size = f"{100 * abs(difference.paired.mean):.1f} points"
    return f"{MEASURE_NAMES[difference.measure]} {difference.verdict} by {size}"


def _with_floor(arm: ArmCalibration) -> str:
    return f"{_spread(arm.spreads['ece_best'])} ({number(arm.spreads['noise_floor_best'].mean, ACCURACY)})"


def _ece_words(arm: ArmCalibration) -> str:
    floor = number(arm.spreads["noise_floor_best"].mean, ACCURACY)
    return f"ECE {_spread(arm.spreads['ece_best'])} % (noise floor {floor} %)"


def _spread(found: Spread) -> str:
    return mean_words(found, ACCURACY).replace(" ", "\N{NO-BREAK SPACE}")


def _diagram(arm: ArmCalibration) -> Drawing:
    """Accuracy against confidence in each interval, all seeds together."""
    curve = reliability_curve(arm.together)
    total = sum(images for *_, images in curve)
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 100], y=[0, 100], mode="lines", name="calibrated", hoverinfo="skip",
        line={"color": palette.TEXT, "dash": "dash", "width": 1},
    )  # fmt: skip
    figure.add_scatter(
        x=[100 * confidence for confidence, *_ in curve], y=[100 * accuracy for _, accuracy, _ in curve],
        text=[f"{images / arm.runs:,.0f} images per run" for *_, images in curve], mode="lines+markers",
        name="validation", hovertemplate="%{text}: confidence %{x:.1f} %, accuracy %{y:.1f} %<extra></extra>",
        line={"color": palette.VALIDATION, "width": 2},
        marker={"size": [max(SMALLEST_DOT, LARGEST_DOT * (images / total) ** 0.5) for *_, images in curve]},
    )  # fmt: skip
    finish(figure, "confidence (%)", "accuracy (%)")
    figure.update_xaxes(range=[-2, 102])
    figure.update_yaxes(range=[-2, 102])
    over = minus(f"{100 * arm.overconfidence:+.1f}")
    title = f"{arm.name}, {counted(arm.runs, 'seed')}: {_ece_words(arm)}, confidence {over} points"
    return Drawing(title, figure)
