"""Validation while training: fixed crops, the averaged weights, every way of use that the stage touches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tilestep.upscaler.diffusion.process import ResidualDiffusion
from tilestep.upscaler.diffusion.sampling import prepare, sample
from tilestep.upscaler.model.network import TileNetwork
from tilestep.upscaler.model.projection import upsample_bicubic
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
    found = {
        "bicubic": upsample_bicubic(batch.low),
        "shallow": network.regressor.shallow(batch.low, batch.corruption).g,
    }
    if stage == "shallow":
        return found
    prepared = prepare(network, diffusion, batch.low, batch.corruption)
    found["deep"] = prepared.g
    if stage == "denoiser":
        eps = torch.randn(prepared.g.shape, generator=torch.Generator().manual_seed(0)).to(prepared.g.device)
        for steps in SAMPLED_STEPS:
            name = f"{steps} step{'s' * (steps > 1)}"
            found[name] = sample(network.denoiser, diffusion, prepared, eps, steps)
    return found


def psnr(picture: Tensor, truth: Tensor) -> float:
    """Mean over the crops of PSNR over RGB in dB, border of 4 left out."""
    error = F.mse_loss(picture[..., 4:-4, 4:-4], truth[..., 4:-4, 4:-4], reduction="none").mean((1, 2, 3))
    return float((-10 * error.clamp(min=1e-10).log10()).mean())
