"""How unsure the regressor is of a tile: the number from which its step budget is made."""

from __future__ import annotations

from torch import Tensor


def tile_uncertainty(g: Tensor, enlarged: Tensor, halo_px: int) -> Tensor:
    """Mean |g - enlarged| over the core in units of 1/255; both (N, 3, H, W) in [0, 1] -> (N,).

    `enlarged` is the bicubic picture, `halo_px` what is cut on each side, in pixels of g. Where the regressor leaves
    the bicubic picture alone there is nothing to invent.
    """
    return core(g - enlarged, halo_px).abs().mean((1, 2, 3)) * 255


def core(x: Tensor, halo_px: int) -> Tensor:
    """(..., H, W) without `halo_px` on each side."""
    return x[..., halo_px : x.shape[-2] - halo_px, halo_px : x.shape[-1] - halo_px]
