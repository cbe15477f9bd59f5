"""Number formats of training: where bf16 is used, and where not.

With bf16, convolutions and matrix products of training read and write 16-bit numbers (torch's autocast); weights,
gradients of weights, optimizer, normalisation statistics and losses stay in fp32, and so do all measurements: the
accuracies and losses of clean training and validation are those of the network as it is exported.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]


def resolve(asked: Literal["auto", "fp32", "bf16"], device: torch.device) -> Precision:
    """The format to train in on a device: the one asked for, or bf16 where the device multiplies it natively."""
    if asked != "auto":
        return asked
    return "bf16" if has_native_bf16(device) else "fp32"


def has_native_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for products of bf16 numbers, and so is faster at them than at fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Within it the forward pass of a network runs in that format."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
