"""Number formats of training: where bf16 is used, and where not.

With bf16, convolutions and matrix products of training use 16-bit numbers (torch.autocast). Weights, their gradients,
optimizer, normalization statistics and losses stay in fp32, and so does all evaluation: clean training and validation
are measured with the network as it is exported.

On a GPU, torch by default computes convolutions of 32-bit numbers in TF32, which keeps 10 of their 23 bits (matrix
products it does not). Here fp32 means all bits, so that a measurement does not depend on the device by more than the
order of its sums; the fast choice for training is bf16.
"""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]


def resolve(asked: Literal["auto", "fp32", "bf16"], device: torch.device) -> Precision:
    """The number format for training on a device: the requested one, or bf16 if the device supports it natively."""
    if asked != "auto":
        return asked
    return "bf16" if has_native_bf16(device) else "fp32"


def has_native_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bf16 numbers natively, and therefore faster than fp32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def computing_in(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Within this context the forward pass of a network uses this format."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def round_products_of_fp32_exactly() -> None:
    """No TF32 in convolutions of this process from here on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has a newer setting, which must not be mixed with this one
        torch.backends.cudnn.allow_tf32 = False


def exact_type(device: torch.device) -> torch.dtype:
    """The type for sums over an epoch: double precision, which Apple's GPUs lack."""
    return torch.float32 if device.type == "mps" else torch.float64
