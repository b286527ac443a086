"""The plain sampling loop over a batch of tiles: what the engine does for many requests at once, at its simplest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from tilestep.upscaler.diffusion.process import ResidualDiffusion, timesteps
from tilestep.upscaler.model.network import TileNetwork
from tilestep.upscaler.model.projection import upsample_bicubic

Denoise = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Prepared:
    """All that sampling needs of a batch of tiles: pictures (N, 3, 2H, 2W), noise scale w (N, 1, 2H, 2W)."""

    g: Tensor
    enlarged: Tensor
    w: Tensor
    condition: Tensor


def prepare(network: TileNetwork, diffusion: ResidualDiffusion, lr: Tensor, corruption: Tensor) -> Prepared:
    """Runs the whole regressor on (N, 3, H, W) in [0, 1] and folds what the denoiser will be told."""
    regression, enlarged = network.regressor(lr, corruption), upsample_bicubic(lr)
    g = regression.g.float()
    w = diffusion.noise_scale(g, enlarged)
    return Prepared(g, enlarged, w, network.denoiser.condition(lr, corruption, regression))


def estimates(
    denoise: Denoise, diffusion: ResidualDiffusion, prepared: Prepared, eps: Tensor, steps: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields after each step the clean picture and the noisy one that goes on, both (N, 3, 2H, 2W), not clamped."""
    z = diffusion.start(eps, prepared.w)
    for now, after in pairwise([*timesteps(steps), 0.0]):
        t = torch.full((len(z),), now, device=z.device)
        x0 = denoise(z, t, prepared.condition).float()
        z = x0 if after == 0 else diffusion.step(z, x0, prepared.w, t, torch.full_like(t, after))
        yield diffusion.to_picture(x0, prepared.g, prepared.w), diffusion.to_picture(z, prepared.g, prepared.w)


def sample(denoise: Denoise, diffusion: ResidualDiffusion, prepared: Prepared, eps: Tensor, steps: int) -> Tensor:
    """The picture after `steps` steps; 0 steps give the regressor's."""
    pictures = [clean for clean, _ in estimates(denoise, diffusion, prepared, eps, steps)]
    return pictures[-1] if pictures else prepared.g
