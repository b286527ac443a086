"""Immerkaer's noise estimate: the rule by which Diff2X ends the sampling of a tile, kept to compare with."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_KERNEL = ((1.0, -2.0, 1.0), (-2.0, 4.0, -2.0), (1.0, -2.0, 1.0))
_LUMA = (0.299, 0.587, 0.114)


def noise_estimate(pictures: Tensor) -> Tensor:
    """Standard deviation of the noise in each picture, (N, 1 or 3, H, W) float, H and W at least 3 -> (N,).

    sqrt(pi / 2) / (6 (W - 2) (H - 2)) * sum |I * N| over the interior. Colour is judged by its luma (BT.601). In the
    units of the input. J. Immerkaer, Fast Noise Variance Estimation, CVIU 64(2), 1996, 300-302.
    """
    height, width = pictures.shape[-2:]
    if min(height, width) < 3:
        raise ValueError("the noise estimate needs at least 3 x 3 pixels")
    grey = pictures if pictures.shape[1] == 1 else (pictures * pictures.new_tensor(_LUMA)[:, None, None]).sum(1, True)
    response = F.conv2d(grey, torch.tensor(_KERNEL, dtype=grey.dtype, device=grey.device)[None, None])
    return response.abs().sum((1, 2, 3)) * (math.sqrt(math.pi / 2) / (6 * (width - 2) * (height - 2)))
