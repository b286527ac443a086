"""Colour under transparent pixels: whatever a file has there is never seen, but the network would smear it inwards."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

REACHES_PX = (2, 4)
NOTHING_NEAR = 0.5


def fill_transparent(patch: NDArray[np.float32]) -> NDArray[np.float32]:
    """RGB of an RGBA patch, (H, W, 4) in [0, 1] -> (H, W, 3), with the colour of alpha = 0 taken from what is near.

    Each such pixel gets the mean of its neighbourhood weighted by alpha, of the smallest reach that meets anything
    opaque, or grey where none does: a function of the surroundings alone, so that overlapping tiles agree.
    """
    rgb, alpha = patch[..., :3], patch[..., 3:]
    if alpha.all():
        return rgb
    colour, opacity = (torch.from_numpy(np.ascontiguousarray(x)).permute(2, 0, 1)[None] for x in (rgb, alpha))
    filled = torch.full_like(colour, NOTHING_NEAR)
    for reach in reversed(REACHES_PX):
        weight = _mean_around(opacity, reach)
        filled = torch.where(weight > 0, _mean_around(colour * opacity, reach) / weight.clamp(min=1e-6), filled)
    return torch.where(opacity > 0, colour, filled)[0].permute(1, 2, 0).numpy()


def _mean_around(x: Tensor, reach: int) -> Tensor:
    return F.avg_pool2d(x, 2 * reach + 1, stride=1, padding=reach)
