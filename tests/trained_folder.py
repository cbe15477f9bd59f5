"""Output folders of `regstudy train` without a training: random weights with everything that inference reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tiny import make_config
from torch import Tensor, nn

from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import ImageSet, Splits
from regstudy.models import build
from regstudy.production.preprocessing_file import WEIGHTS_FILE, StoredPreprocessing, write_preprocessing
from regstudy.space.loader import config_text

CLASSES = ("ant", "bee", "cat")


def random_set(count: int, channels: int, size: int, classes: Sequence[str], seed: int = 0) -> ImageSet:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, channels, size, size), generator=generator).to(torch.uint8)
    return ImageSet(images, torch.arange(count) % len(classes), tuple(classes))


def random_network(config: RunConfig, channels: int, size: int, classes: int, seed: int = 0) -> nn.Module:
    """The configured network in eval mode, with statistics of batch normalization that are not the initial ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(config.model, channels, size, classes)
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                assert isinstance(module.running_mean, Tensor) and isinstance(module.running_var, Tensor)
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def make_trained(
    out: Path,
    changes: dict[str, Any] | None = None,
    *,
    channels: int = 3,
    size: int = 12,
    classes: Sequence[str] = CLASSES,
    members: Sequence[str] = (WEIGHTS_FILE,),
    temperature: float = 1.0,
) -> StoredPreprocessing:
    """Write config.yaml, preprocessing.json and a file of weights for each member, with the seeds 0, 1, …"""
    config = make_config(changes)
    part = random_set(12, channels, size, classes)
    for seed, member in enumerate(members):
        (out / member).parent.mkdir(parents=True, exist_ok=True)
        network = random_network(config, channels, config.preprocessing.crop or size, len(classes), seed)
        save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, out / member)
    (out / "config.yaml").write_text(
        f"# Written by regstudy train\n{config_text(config.model_dump(mode='json'))}", encoding="utf-8"
    )
    splits = Splits(part, part, part, "random", 0)
    return write_preprocessing(out, config, splits, temperature=temperature, members=members)
