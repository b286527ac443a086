"""The stages of training: early exit, whole regressor, denoiser. Each knows its parameters and its loss.

| stage | trains | loss |
| --- | --- | --- |
| `shallow` | stem, first blocks and their head (quality `fast`) | logarithm of each crop's squared error |
| `deep` | the whole regressor and both heads (`faithful`) | the same, the early head at a smaller weight |
| `denoiser` | the denoiser; the regressor is frozen | squared error of x0, and optional losses on the picture |
| `calibrate` | nothing: measures the step budgets of the presets | |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tilestep.upscaler.diffusion.process import ResidualDiffusion
from tilestep.upscaler.model.network import TileNetwork
from tilestep.upscaler.model.projection import upsample_bicubic

PictureLoss = Callable[[Tensor, Tensor], Tensor]
EARLY_HEAD_WEIGHT = 0.1
LUMA_WEIGHT = 0.75
LUMA = (0.299, 0.587, 0.114)
LEAST_ERROR = 2e-6
PURE_NOISE_SHARE = 0.25
OWN_ESTIMATE_SHARE = 0.5
CALIBRATE = "calibrate"
STAGES = ("shallow", "deep", "denoiser", CALIBRATE)


@dataclass(frozen=True)
class Batch:
    """high (N, 3, 2S, 2S) and low (N, 3, S, S) in [0, 1]; corruption (N, 2) in [0, 1]."""

    high: Tensor
    low: Tensor
    corruption: Tensor


@dataclass(frozen=True)
class ExtraLoss:
    """A loss on pictures in [-1, 1] that is added to the denoiser's, and its weight."""

    function: PictureLoss
    weight: float


def parameters_of(stage: str, network: TileNetwork) -> list[nn.Parameter]:
    """What the stage trains."""
    regressor = network.regressor
    if stage == "shallow":
        parts: list[nn.Module] = [regressor.stem, regressor.shallow_blocks, regressor.shallow_head]
        return [p for part in parts for p in part.parameters()]
    return list(regressor.parameters() if stage == "deep" else network.denoiser.parameters())


def stage_loss(
    stage: str,
    network: TileNetwork,
    diffusion: ResidualDiffusion,
    batch: Batch,
    generator: torch.Generator,
    extra: ExtraLoss | None,
) -> dict[str, Tensor]:
    """The named parts of the loss; their sum is what is minimised."""
    if stage == "shallow":
        return {"early": log_error(network.regressor.shallow(batch.low, batch.corruption).g, batch.high)}
    if stage == "deep":
        shallow, deep = network.regressor.both(batch.low, batch.corruption)
        early = log_error(shallow.g, batch.high) * EARLY_HEAD_WEIGHT
        return {"early": early, "deep": log_error(deep.g, batch.high)}
    return denoiser_loss(network, diffusion, batch, generator, extra)


def log_error(picture: Tensor, truth: Tensor) -> Tensor:
    """Mean over the crops of log(squared error), luma above colour; both (N, 3, H, W) in [0, 1].

    It is PSNR turned round (Chen et al., HINet, arXiv 2105.06086): easy crops count as much as hard ones, where an
    absolute error is spent on texture that cannot be known.
    """
    error = picture.float() - truth
    luma = torch.einsum("nchw,c->nhw", error, error.new_tensor(LUMA)).square().mean((1, 2))
    colour = error.square().mean((1, 2, 3))
    return (LUMA_WEIGHT * luma + (1 - LUMA_WEIGHT) * colour + LEAST_ERROR).log().mean()


def denoiser_loss(
    network: TileNetwork,
    diffusion: ResidualDiffusion,
    batch: Batch,
    generator: torch.Generator,
    extra: ExtraLoss | None,
) -> dict[str, Tensor]:
    """Squared error of the predicted x0 at a random time, plus the extra loss on the picture it means.

    Half of the batch sees what sampling will show it: its own first estimate with noise, in place of the truth. Without
    that, later steps take what earlier ones invented for signal and add to it.
    """
    with torch.no_grad():
        regression = network.regressor(batch.low, batch.corruption)
        g = regression.g.float()
        w = diffusion.noise_scale(g, upsample_bicubic(batch.low))
    r0 = diffusion.to_residual(batch.high, g)
    t = random_times(len(r0), generator).to(r0.device)
    eps = torch.randn(r0.shape, generator=generator).to(r0.device)
    condition = network.denoiser.condition(batch.low, batch.corruption, regression)
    known = r0.clone()
    own = int(len(r0) * OWN_ESTIMATE_SHARE)
    with torch.no_grad():
        known[:own] = network.denoiser(diffusion.start(eps, w)[:own], torch.ones_like(t[:own]), condition[:own]).float()
    predicted = network.denoiser(diffusion.diffuse(known, eps, w, t), t, condition).float()
    losses = {"x0": (predicted - r0).square().mean()}
    if extra is not None:
        picture = diffusion.to_picture(predicted, g, w)
        losses["extra"] = extra.weight * extra.function(picture * 2 - 1, batch.high * 2 - 1).mean()
    return losses


def random_times(count: int, generator: torch.Generator) -> Tensor:
    """Times in (0, 1]: uniform, with a share at exactly 1, where every sampling starts."""
    t = 1 - torch.rand(count, generator=generator)
    start = torch.rand(count, generator=generator) < PURE_NOISE_SHARE
    return torch.where(start, torch.ones(()), t)
