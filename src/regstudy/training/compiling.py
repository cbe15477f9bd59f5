"""Compilation of the network by torch.compile, for training only (`training.compile`).

Evaluation, checkpoints and exports use the network itself, so a measurement is that of the exported network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn

from regstudy.errors import ConfigError

COMPILERS = ("torch._dynamo", "torch._inductor")  # modules of the errors that compiling raises


def compiled(model: nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
    """The same network, which is compiled with the first batch of every size; ConfigError if torch cannot do it."""
    check_compiler(device.type)
    found: Callable[[Tensor], Tensor] = torch.compile(model, dynamic=False)
    return found


@cache
def check_compiler(device: str) -> None:
    """ConfigError if torch cannot compile on a kind of device, which it finds out by compiling one line."""
    try:
        torch.compile(lambda numbers: (2 * numbers + 1).relu(), dynamic=False)(torch.ones(16, device=device))
    except Exception as error:  # of many types, which depend on what is missing
        needs = "the package triton and a C compiler (gcc)" if device == "cuda" else "a C++ compiler (g++ or clang++)"
        raise ConfigError(
            f"training.compile is true, but torch.compile does not work on this machine: {_first_line(error)} For the"
            f" device {device} it needs {needs}. Install what is missing (Debian, Ubuntu: apt install g++), or set"
            " training.compile to false."
        ) from error


@contextmanager
def compile_errors() -> Iterator[None]:
    """Within this block an error of the compiler is a ConfigError."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(COMPILERS):
            raise
        raise ConfigError(
            f"training.compile is true, but torch cannot compile this network: {_first_line(error)} Set"
            " training.compile to false."
        ) from error


def _first_line(error: Exception) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return text if text.endswith(".") else f"{text}."
