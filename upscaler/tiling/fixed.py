"""Finished pixels in two bytes a sample: 16-bit fixed point with room for values a little outside [0, 1].

170 steps to 1/255, so that every 8-bit level is exact; values outside [-0.25, 1.25] are cut.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FixedPixels = NDArray[np.int16]

STEPS_PER_UNIT = 170 * 255
MIDDLE = 0.5
REACH = 0.75


def encode(picture: Tensor) -> Tensor:
    """Float tensor of nominal range [0, 1] -> int16 tensor of the same shape."""
    return ((picture.float() - MIDDLE).clamp(-REACH, REACH) * STEPS_PER_UNIT).round().to(torch.int16)


def decode(pixels: FixedPixels) -> NDArray[np.float32]:
    """The values of `encode`, float32."""
    return pixels * np.float32(1 / STEPS_PER_UNIT) + np.float32(MIDDLE)
