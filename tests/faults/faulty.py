"""A network that misbehaves on request: `model.name: faulty:network` in a working folder that holds this file.

What it does wrong is either its option ``behaviour``, which belongs to a configuration and so to every attempt at a
slot, or a token: a file ``mischief/<behaviour>-<anything>`` in the working folder, which one network built in a
worker process uses up. Where FAULTY_STEP is set, every training step takes so many seconds more, or as many as the
file ``step`` says, so that kills find trials half done.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import torch
from torch import Tensor, nn


class Network(nn.Sequential):
    """One convolution, dropout and a dense layer, with a fault in the forward pass."""

    def __init__(self, behaviour: str, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.behaviour = behaviour

    def forward(self, images: Tensor) -> Tensor:
        """N×C×H×W to N×classes, or whatever the behaviour makes of it."""
        logits: Tensor = super().forward(images)
        if self.training and "FAULTY_STEP" in os.environ:
            file = Path("step")
            time.sleep(float(file.read_text(encoding="utf-8") if file.exists() else os.environ["FAULTY_STEP"]))
        match self.behaviour:
            case "raise":
                raise RuntimeError("this network is broken on purpose")
            case "hang":
                while True:
                    time.sleep(1)
            case "shape":
                return logits[:-1]
            case "nan":
                return logits * torch.nan
            case "memory":
                torch.empty(1 << 46)
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
        return logits


def network(channels: int, size: int, classes: int, dropout: float = 0.0, behaviour: str = "ok") -> nn.Module:  # noqa: ARG001
    """The network, with the behaviour of its option or else of a token."""
    return Network(
        behaviour if behaviour != "ok" else _token(),
        nn.Conv2d(channels, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(64, classes),
    )


def _token() -> str:
    """Take a token, so that nobody else gets it; only in worker processes: others measure costs or repeat a curve."""
    if multiprocessing.parent_process() is None:
        return "ok"
    for token in sorted(Path("mischief").glob("*")):
        try:
            token.unlink()
        except FileNotFoundError:
            continue
        return token.name.partition("-")[0]
    return "ok"
