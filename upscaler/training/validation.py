"""Validation while training: fixed crops, the averaged weights, every way of use that the stage touches."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from tilestep.upscaler.diffusion.process import ResidualDiffusion, timesteps
from tilestep.upscaler.model.network import TileNetwork, upsample_bicubic
from tilestep.upscaler.training.stages import Batch, ExtraLoss

CHUNK = 8
SAMPLED_STEPS = (1, 4)


@dataclass(frozen=True)
class Validation:
    """Named figures: PSNR over RGB in dB (mean over crops), and the extra loss where there is one."""

    figures: dict[str, float]
    pictures: dict[str, Tensor]


@torch.inference_mode()
def validate(
    network: TileNetwork, diffusion: ResidualDiffusion, batch: Batch, stage: str, extra: ExtraLoss | None
) -> Validation:
    """Upscales the validation crops in every way and compares them with the truth."""
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(batch.low), CHUNK):
        rows = slice(start, start + CHUNK)
        chunk = Batch(batch.high[rows], batch.low[rows], batch.corruption[rows])
        for name, picture in estimates(network, diffusion, chunk, stage).items():
            parts.setdefault(name, []).append(picture.float().clamp(0, 1))
    pictures = {name: torch.cat(chunks) for name, chunks in parts.items()}
    figures = {f"{name} PSNR": psnr(picture, batch.high) for name, picture in pictures.items()}
    if extra is not None and stage == "denoiser":
        for name, picture in pictures.items():
            figures[f"{name} extra"] = float(extra.function(picture * 2 - 1, batch.high * 2 - 1).mean())
    return Validation(figures, pictures)


def estimates(network: TileNetwork, diffusion: ResidualDiffusion, batch: Batch, stage: str) -> dict[str, Tensor]:
    """Pictures (N, 3, 2S, 2S) by name: bicubic, shallow, deep and, once it is trained, some numbers of steps."""
    enlarged = upsample_bicubic(batch.low)
    shallow, deep = network.regressor.both(batch.low, batch.corruption)
    found = {"bicubic": enlarged, "shallow": shallow.g}
    if stage != "shallow":
        found["deep"] = deep.g
    if stage == "denoiser":
        g = deep.g.float()
        w = diffusion.noise_scale(g, enlarged)
        condition = network.denoiser.condition(batch.low, batch.corruption, deep)
        for steps in SAMPLED_STEPS:
            r0 = sample(network, diffusion, condition, w, steps)
            found[f"{steps} step{'s' * (steps > 1)}"] = diffusion.to_picture(r0, g)
    return found


def sample(
    network: TileNetwork, diffusion: ResidualDiffusion, condition: Tensor, w: Tensor, steps: int, seed: int = 0
) -> Tensor:
    """r0 after `steps` denoising steps, (N, 3, 2S, 2S): the plain loop that the engine runs for many tiles at once."""
    count, channels, (height, width) = len(w), 3, w.shape[-2:]
    generator = torch.Generator().manual_seed(seed)
    eps = torch.randn((count, channels, height, width), generator=generator).to(w.device)
    z = diffusion.start(eps, w)
    times = [*timesteps(steps), 0.0]
    x0 = z
    for now, after in pairwise(times):
        t = torch.full((count,), now, device=w.device)
        x0 = network.denoiser(z, t, condition).float()
        if after > 0:
            z = diffusion.step(z, x0, w, t, torch.full_like(t, after))
    return x0


def psnr(picture: Tensor, truth: Tensor) -> float:
    """Mean over the crops of PSNR over RGB in dB, border of 4 left out."""
    error = F.mse_loss(picture[..., 4:-4, 4:-4], truth[..., 4:-4, 4:-4], reduction="none").mean((1, 2, 3))
    return float((-10 * error.clamp(min=1e-10).log10()).mean())
