"""What the plan of an answer is made from, and how it is told: noise, regularizers, and the resolution in words."""

from __future__ import annotations

from dataclasses import dataclass

from regstudy.analysis.answer_plan import AnswerPlan, Noise, expected_noise
from regstudy.analysis.told_resolution import ToldResolution, resolution_of
from regstudy.answering.plan_words import noise_words, table_lines
from regstudy.config.active_regularizers import active_regularizers
from regstudy.data.image_set import Splits
from regstudy.metrics import Metric, metric_or_accuracy
from regstudy.report.resolution_phrasing import resolution_words
from regstudy.search.pilot import PilotResult
from regstudy.space.search_space import Space

SHARES_OF_RIGHT = ("accuracy", "balanced_accuracy", "macro_f1")  # whose standard error is about that of a share


@dataclass(frozen=True)
class PlanInputs:
    """Of a space and its images; ``margin`` as stored, ``budget`` in seconds."""

    space: Space
    splits: Splits
    margin: float
    budget: float

    @property
    def metric(self) -> Metric:
        """The metric of the study."""
        return metric_or_accuracy(self.space.study.metric)

    @property
    def regularizers(self) -> tuple[str, ...]:
        """Those that may be on in the winner."""
        return tuple(dict.fromkeys(one.name for config in self.space.extremes() for one in active_regularizers(config)))

    def noise(self, measured: PilotResult) -> Noise:
        """The noise that a pilot and the number of validation images let expect."""
        splits, share = self.splits, self.metric.name in SHARES_OF_RIGHT
        images = len(splits.validation) + (len(splits.train) if splits.folds else 0)
        guess = (1 + 1 / max(len(splits.train.classes), 1)) / 2
        tested = round(images / measured.design_effect)
        return expected_noise(measured.values, images, share=share, guess=guess, tested=tested)

    def resolution(self, plan: AnswerPlan, noise: Noise) -> ToldResolution:
        """What the ablation of a plan can tell."""
        return resolution_of(plan, noise, self.margin, self.budget)

    def lines(self, plan: AnswerPlan, noise: Noise, training: float) -> list[str]:
        """A plan in words."""
        words = resolution_words(self.resolution(plan, noise), self.metric)
        return [*table_lines(plan), noise_words(noise, self.metric, training), words]
