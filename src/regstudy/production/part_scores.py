"""What a model says about the images of one part: probabilities, metrics with intervals, and counts per class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from regstudy.analysis.calibration import calibration
from regstudy.analysis.share_error import ShareError, part_error, share_error
from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import ImageSet
from regstudy.data.preprocessing import PixelTransform
from regstudy.records import GroupCounts, dump_reliability
from regstudy.report.calibration_phrasing import direction_words
from regstudy.training.evaluation import Measured, logits_in_batches, measure_logits
from regstudy.training.train_state import extra_metrics

Logits = tuple[Tensor, ...]  # of all images of a part, in batches, on the device


@dataclass(frozen=True)
class PartScores:
    """``probabilities`` N×C float64 on the CPU; ``measured`` are the metrics that follow from them."""

    part: str
    images: ImageSet
    probabilities: Tensor
    measured: Measured

    @property
    def accuracy(self) -> ShareError:
        """The accuracy with its 95 % limits: Wilson's, or by groups where images come in groups."""
        found = part_error(self._matrix(), self._groups())
        assert found is not None
        return found

    def recall(self, label: int) -> ShareError:
        """The recall of a class; NaN without images."""
        if not self.measured.confusion[label].sum():
            return share_error(0, 0)
        found = part_error(self._matrix(), self._groups(), label)
        assert found is not None
        return found

    def precision(self, label: int) -> ShareError:
        """The share of a class's answers that are right, with the design effect of the accuracy; NaN without any."""
        counts = self.measured.confusion
        return share_error(float(counts[label, label]), int(counts[:, label].sum()), self.accuracy.design_effect)

    def facts(self, config: RunConfig) -> dict[str, Any]:
        """Plain values for metrics.json."""
        found, exact = self.measured, self.accuracy
        return {
            "images": len(self.images),
            "loss": found.loss,
            "accuracy": found.accuracy,
            "accuracy_low": exact.low,
            "accuracy_high": exact.high,
            **found.extra,
            **({} if exact.groups is None else {"groups": exact.groups, "design_effect": exact.design_effect}),
            "calibration": calibration_facts(found, config),
        }

    def _matrix(self) -> Any:
        return self.measured.confusion.numpy()

    def _groups(self) -> GroupCounts | None:
        groups = self.measured.groups
        return None if groups is None else GroupCounts(*groups.T.tolist())


def calibration_facts(found: Measured, config: RunConfig) -> dict[str, Any]:
    """ECE with its noise floor, the Brier score, what they mean, and the counts behind them."""
    facts = calibration(found.reliability)
    return {**asdict(facts), "note": direction_words(facts, config), "bins": dump_reliability(found.reliability)}


@torch.inference_mode()
def logits_of(network: nn.Module, images: ImageSet, pixels: PixelTransform) -> Logits:
    """The network's outputs; further outputs than classes, which are never right, are left out."""
    classes = len(images.classes)
    return tuple(one[:, :classes] for one in logits_in_batches(network, images, pixels))


@torch.inference_mode()
def scores_of(
    part: str,
    members: Sequence[Logits],
    images: ImageSet,
    config: RunConfig,
    positive: int,
    temperature: float = 1.0,
) -> PartScores:
    """Scores of one network, or of an ensemble that averages the probabilities of its members."""
    batches = [combined(batch, temperature) for batch in zip(*members, strict=True)]
    measured = measure_logits(batches, images, extra_metrics(config), positive)
    probabilities = torch.cat([one.cpu().double().softmax(1) for one in batches])
    return PartScores(part, images, probabilities, measured)


def combined(members: Sequence[Tensor], temperature: float) -> Tensor:
    """The logits of a batch: those of the only member, or the logarithms of the averaged probabilities."""
    scaled = members if temperature == 1.0 else [one / temperature for one in members]
    if len(scaled) == 1:
        return scaled[0]
    exact = torch.float32 if scaled[0].device.type == "mps" else torch.float64
    chances = torch.stack([one.to(exact).log_softmax(1) for one in scaled])
    return torch.logsumexp(chances, 0) - math.log(len(scaled))


def whole(logits: Logits) -> Tensor:
    """All batches as one, N×C."""
    return torch.cat(logits)
