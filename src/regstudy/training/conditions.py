"""What holds while a configuration is trained on a device, whoever trains it: a study, a command or a measurement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from regstudy.config.run_config import RunConfig
from regstudy.training.determinism import repeatable
from regstudy.training.memory import enough_memory


@contextmanager
def training_on(config: RunConfig, device: torch.device) -> Iterator[None]:
    """Within the block, this is the current GPU and torch is as deterministic as the configuration asks for.

    Raises ConfigError where an operation has no deterministic version, and NotEnoughMemory.
    """
    second = device.type == "cuda" and device.index is not None
    with (
        torch.cuda.device(device) if second else nullcontext(),
        repeatable(config, device),
        enough_memory(config, device),
    ):
        yield
