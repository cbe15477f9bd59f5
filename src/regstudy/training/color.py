"""Random brightness, contrast and saturation of a batch, as one affine map of each image's colors.

With factors b, c and s: pixel → b · (c · (s · pixel + (1 − s) · gray) + (1 − c) · mean gray), as in the color jitter
of Howard, "Some improvements on deep convolutional neural network based image classification", 2013. Only the final
result is clamped to 0..255, so the order of the three does not matter.
"""

from __future__ import annotations

import torch
from torch import Tensor

COLOR_NUMBERS = 3  # random numbers that decide an image's colors: brightness, contrast, saturation
LUMA = (0.299, 0.587, 0.114)  # share of red, green and blue in gray, ITU-R BT.601


def change_colors(images: Tensor, changes: Tensor) -> Tensor:
    """Float images N×C×H×W with values 0..255, changed by the factors 1 + ``changes`` (N×3), as a new tensor.

    Saturation is for three channels; the gray of any other number of channels is their mean.
    """
    brightness, contrast, saturation = (1 + changes).view(-1, 3, 1, 1, 1).unbind(1)
    channels = images.shape[1]
    shares = LUMA if channels == 3 else (1 / channels,) * channels
    means = images.mean((2, 3), keepdim=True)
    offset = sum(share * means[:, index : index + 1] for index, share in enumerate(shares)) * (
        brightness * (1 - contrast)
    )
    if channels != 3:
        return torch.addcmul(offset, images, brightness * contrast).clamp_(0, 255)
    gray = images[:, :1] * LUMA[0] + images[:, 1:2] * LUMA[1] + images[:, 2:] * LUMA[2]
    gray = gray.mul_(brightness * contrast * (1 - saturation)).add_(offset)
    return torch.addcmul(gray, images, brightness * contrast * saturation).clamp_(0, 255)
