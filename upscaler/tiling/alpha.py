"""Pictures with transparency: the colour under what is not seen, and bounds for what is half seen."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tilestep.upscaler.tiling.fixed import FixedPixels, encode

REACHES_PX = (2, 4, 8)
BOUND_REACH_PX = 2
NOTHING_NEAR = 0.5


def fill_transparent(patch: NDArray[np.float32]) -> NDArray[np.float32]:
    """RGB of an RGBA patch, (H, W, 4) in [0, 1] -> (H, W, 3), with the colour of alpha = 0 taken from what is near.

    A file may have anything there, and the network would smear it into what is seen. Each such pixel gets the mean of
    its neighbourhood weighted by alpha, of the smallest reach that meets anything opaque, or grey where none does: a
    function of the surroundings alone, so that overlapping tiles agree.
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


def bound_opacity(enlarged: FixedPixels, patch: NDArray[np.float32], halo_px: int) -> FixedPixels:
    """Keeps an enlarged opacity within what its source has near each pixel: no overshoot, and flat stays exactly flat.

    `enlarged` (core, core, 1) encoded, of the core of `patch` (read, read, channels), whose first channel counts.
    """
    alpha = encode(torch.from_numpy(patch[..., 0].copy()))[None, None].float()
    scale = len(enlarged) // (len(patch) - 2 * halo_px)
    low, high = (
        _core_enlarged(sign * F.max_pool2d(sign * alpha, 2 * BOUND_REACH_PX + 1, 1, BOUND_REACH_PX), halo_px, scale)
        for sign in (-1, 1)
    )
    return np.clip(enlarged, low, high)


def _core_enlarged(x: Tensor, halo_px: int, scale: int) -> FixedPixels:
    whole = x[0, 0].to(torch.int16).repeat_interleave(scale, 0).repeat_interleave(scale, 1)[..., None].numpy()
    rows, columns = (slice(scale * halo_px, side - scale * halo_px) for side in whole.shape[:2])
    return whole[rows, columns]


def _mean_around(x: Tensor, reach: int) -> Tensor:
    return F.avg_pool2d(x, 2 * reach + 1, stride=1, padding=reach)
