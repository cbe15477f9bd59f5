"""A model on one part of the images: the scores of each seed, and those of what the folder holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from regstudy.analysis.calibration import calibration
from regstudy.analysis.claim import interval
from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import ImageSet
from regstudy.data.preprocessing import PixelTransform
from regstudy.metrics import METRICS
from regstudy.production.part_scores import Logits, PartScores, logits_of, scores_of, whole
from regstudy.production.temperature import fit_temperature
from regstudy.production.test_set_log import identity_of


@dataclass(frozen=True)
class ModelShape:
    """How the networks of the seeds make one model: ``members`` are the positions of those that count."""

    members: tuple[int, ...]
    positive: int
    temperature: float = 1.0


@dataclass(frozen=True)
class MeasuredModel:
    """The outputs of every seed's network for the images of a part, and their scores."""

    part: str
    images: ImageSet
    logits: tuple[Logits, ...]
    seeds: tuple[PartScores, ...]
    config: RunConfig

    def scores(self, shape: ModelShape) -> PartScores:
        """The scores of the model."""
        members = [self.logits[position] for position in shape.members]
        return scores_of(self.part, members, self.images, self.config, shape.positive, shape.temperature)

    def fitted_temperature(self, shape: ModelShape) -> float:
        """The temperature that suits these images best."""
        return fit_temperature([whole(self.logits[position]) for position in shape.members], self.images.labels)


def measured_model(
    part: str,
    networks: Iterable[nn.Module],
    images: ImageSet,
    pixels: PixelTransform,
    config: RunConfig,
    positive: int,
) -> MeasuredModel:
    """One pass of every network over the images."""
    logits = tuple(logits_of(network, images, pixels) for network in networks)
    seeds = tuple(scores_of(part, [one], images, config, positive) for one in logits)
    return MeasuredModel(part, images, logits, seeds, config)


def seed_facts(scores: PartScores) -> dict[str, Any]:
    """The metrics of one of several seeds."""
    found = scores.measured
    return {"loss": found.loss, "accuracy": found.accuracy, **found.extra}


def over_seeds(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean of each metric over the seeds with its 95 % t-interval."""
    summary = {}
    for name in METRICS:
        values = [one[name] for one in found if name in one]
        if len(values) > 1:
            estimate = interval(values)
            summary[name] = {"mean": estimate.mean, "low": estimate.low, "high": estimate.high, "n": estimate.n}
    return summary


def before_and_after(measured: MeasuredModel, shape: ModelShape) -> dict[str, Any]:
    """What the temperature changes on a part."""
    plain = measured.scores(ModelShape(shape.members, shape.positive))
    return {"before": _sureness(plain), "after": _sureness(measured.scores(shape))}


def _sureness(scores: PartScores) -> dict[str, float]:
    found = scores.measured
    return {
        "loss": found.loss,
        "ece": calibration(found.reliability).ece,
        "brier": found.reliability.brier,
        "accuracy": found.accuracy,
    }


@dataclass(frozen=True)
class ModelUnderTest:
    """The networks of a training, which are made one after another, and how they make one model.

    ``numbers`` are those of the seeds (from 1) whose networks they are.
    """

    config: RunConfig
    pixels: PixelTransform
    networks: Callable[[], Iterator[nn.Module]]
    numbers: tuple[int, ...]
    shape: ModelShape
    device: torch.device

    def on(self, part: str, images: ImageSet) -> MeasuredModel:
        """One pass over the images of a part."""
        networks = (network.to(self.device) for network in self.networks())
        pixels = self.pixels.to(self.device)
        return measured_model(part, networks, images.to(self.device), pixels, self.config, self.shape.positive)

    def identity(self, marker: Path | None) -> str:
        """Of its evaluation on a test set: see `identity_of`."""
        return identity_of((network.state_dict() for network in self.networks()), self.shape, marker)
