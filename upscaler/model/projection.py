"""What holds the regressor's estimate to the tile that it was made from.

Where the tile is to be trusted (no corruption), `g` halved again is all but the tile: one step of iterative
back-projection (Irani and Peleg, "Improving Resolution by Image Registration", 1991) adds what is missing.

No true correction of the bicubic picture is as large as the range of pictures. Where the regressor's is, on patterns
unlike all that it has learned from, the bicubic picture is the better answer: `trust` takes the correction back there.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALE = 2
IMAGE_CHANNELS = 3
PROJECTION_REACH_PX = 4
TRUST_REACH_PX = 2
USUAL_CORRECTION = 0.75


def upsample_bicubic(lr: Tensor) -> Tensor:
    """Bicubic enlargement (a = -0.75) by two, (N, C, H, W) -> (N, C, 2H, 2W): what the regressor corrects."""
    return F.interpolate(lr, scale_factor=SCALE, mode="bicubic", align_corners=False)


class BackProjection(nn.Module):
    """g + enlarged(lr - halved(g)) for uncorrupted tiles; halving as MATLAB's antialiased bicubic (a = -0.5) does.

    Reaches `PROJECTION_REACH_PX` low-resolution pixels; at the border the last pixel is repeated.
    """

    def __init__(self) -> None:
        super().__init__()
        x = (torch.arange(8) - 3.5).abs() / 2
        near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        taps = torch.where(x <= 1, near, far)
        self.register_buffer("taps", (taps / taps.sum()).repeat(IMAGE_CHANNELS, 1, 1, 1), persistent=False)

    def halve(self, g: Tensor) -> Tensor:
        """(N, 3, 2H, 2W) -> (N, 3, H, W)."""
        taps = cast(Tensor, self.taps)
        padded = F.pad(g, (3, 3, 3, 3), mode="replicate")
        narrow = F.conv2d(padded, taps, stride=(1, SCALE), groups=IMAGE_CHANNELS)
        return F.conv2d(narrow, taps.mT, stride=(SCALE, 1), groups=IMAGE_CHANNELS)

    def forward(self, g: Tensor, lr: Tensor, corruption: Tensor) -> Tensor:
        trusted = (corruption == 0).all(1).to(g.dtype)[:, None, None, None]
        return g + upsample_bicubic(lr - self.halve(g)) * trusted


def trust(correction: Tensor) -> Tensor:
    """How far to trust a correction (N, 3, 2H, 2W): (N, 1, 2H, 2W), 1 where none near it is above `USUAL_CORRECTION`.

    It falls to 0 at twice that. Reaches `TRUST_REACH_PX` low-resolution pixels; beyond the border is nothing.
    """
    side, padding = 4 * TRUST_REACH_PX + 1, 2 * TRUST_REACH_PX
    across = F.max_pool2d(correction.abs().amax(1, keepdim=True), (1, side), 1, (0, padding))
    peak = F.max_pool2d(across, (side, 1), 1, (padding, 0))
    return (2 - peak / USUAL_CORRECTION).clamp(0, 1)
