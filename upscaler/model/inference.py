"""The regressor as the engine runs it where no denoising step follows: the core of a tile and nothing else.

Each convolution leaves out the ring of pixels that the core does not depend on, so that the last one ends at the core.
The values are those of `Regressor` itself, cut; nothing is kept for a backward pass.
"""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from tilestep.upscaler.diffusion.uncertainty import core
from tilestep.upscaler.model.network import REGRESSOR_UNIT, Regressor, ResidualBlock, with_planes
from tilestep.upscaler.model.projection import PROJECTION_REACH_PX, SCALE, TRUST_REACH_PX, trust, upsample_bicubic


def regress_core(regressor: Regressor, lr: Tensor, corruption: Tensor, depth: str, halo_px: int) -> Tensor:
    """`g` of the core, (N, 3, 2(H - 2 halo), 2(W - 2 halo)), of tiles (N, 3, H, W); `depth` is "shallow" or "deep"."""
    ring = min(halo_px, PROJECTION_REACH_PX)
    wider = min(halo_px, PROJECTION_REACH_PX + TRUST_REACH_PX)
    correction = _correction(regressor, lr, corruption, depth, halo_px - wider)
    correction = core(correction * trust(correction), SCALE * (wider - ring))
    nearer = core(lr, halo_px - ring)
    first = core(upsample_bicubic(lr), SCALE * (halo_px - ring)) + correction
    g: Tensor = regressor.back_projection(first, nearer, corruption)
    return core(g, SCALE * ring)


def _correction(regressor: Regressor, lr: Tensor, corruption: Tensor, depth: str, halo_px: int) -> Tensor:
    blocks = cast(list[ResidualBlock], [*regressor.shallow_blocks, *(regressor.deep_blocks if depth == "deep" else ())])
    head = regressor.deep_head if depth == "deep" else regressor.shallow_head
    convolutions = 2 + 2 * len(blocks)
    padded = max(convolutions - halo_px, 0)
    paddings = iter([1] * padded + [0] * (convolutions - padded))
    x = core(with_planes(lr, corruption), max(halo_px - convolutions, 0))
    x = _conv(regressor.stem, x, next(paddings))
    for block in blocks:
        x = _block(block, x, next(paddings), next(paddings))
    return F.pixel_shuffle(_conv(head, x, next(paddings)), SCALE) * REGRESSOR_UNIT


def _block(block: ResidualBlock, x: Tensor, first_padding: int, second_padding: int) -> Tensor:
    hidden = F.silu(_conv(block.conv1, x, first_padding), inplace=True)
    changed = _conv(block.conv2, hidden, second_padding)
    changed += core(x, 2 - first_padding - second_padding)
    return changed


def _conv(layer: nn.Conv2d, x: Tensor, padding: int) -> Tensor:
    return F.conv2d(x, layer.weight, layer.bias, padding=padding)
