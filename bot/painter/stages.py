"""What the stages learn: the VAE from drawn pictures; text encoder and denoiser from the VAE's latents of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from tilestep.bot.painter.captions import caption
from tilestep.bot.painter.drawing import draw
from tilestep.bot.painter.parts import LATENT_CHANNELS, LATENT_PX, make_scheduler
from tilestep.bot.painter.scenes import Scene, random_scene

CROP_PX = 128
EDGE_WEIGHT = 0.5
KL_WEIGHT = 1e-4
NO_CAPTION_SHARE = 0.1

Latents = NDArray[np.float16]


def scene_of(number: int) -> Scene:
    """The scene that a sample's number stands for; never one that is held out."""
    return random_scene(random.Random(number))


def as_tensor(picture: Any) -> Tensor:
    """An RGB picture as (3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) / 127.5 - 1


class Drawings(Dataset[Tensor]):
    """Pictures by number, whole or a crop of `crop_px`."""

    def __init__(self, crop_px: int | None = None) -> None:
        self._crop_px = crop_px

    def __getitem__(self, number: int) -> Tensor:
        picture = as_tensor(draw(scene_of(number), number))
        if self._crop_px is None:
            return picture
        chance = random.Random(-number - 1)
        top, left = (chance.randint(0, side - self._crop_px) for side in picture.shape[1:])
        return picture[:, top : top + self._crop_px, left : left + self._crop_px]


def drawing_batches(start_step: int, batch_size: int, crop_px: int | None, workers: int = 1) -> Iterator[Tensor]:
    """Batches (N, 3, S, S) from the sample that `start_step` stands at, drawn in worker processes."""
    numbers = range(start_step * batch_size, 2**31)
    return iter(
        DataLoader(
            Drawings(crop_px),
            batch_size=batch_size,
            sampler=numbers,
            num_workers=workers,
        )
    )


def vae_loss(vae: Any, pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Of the decoder, and a little divergence so that latents stay near N(0, 1)."""
    posterior = vae.encode(pictures).latent_dist
    divergence = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
    loss: Tensor = _decoder_loss(vae, posterior, pictures, generator) + KL_WEIGHT * divergence
    return loss


def decoder_loss(vae: Any, pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Leaves the encoder alone, so that a denoiser of its latents stays right."""
    with torch.no_grad():
        posterior = vae.encode(pictures).latent_dist
    return _decoder_loss(vae, posterior, pictures, generator)


def _decoder_loss(vae: Any, posterior: Any, pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Absolute error of pixels and of their differences."""
    noise = torch.randn(posterior.mean.shape, generator=generator)
    rebuilt = vae.decode(posterior.mean + posterior.std * noise).sample
    edges = sum((rebuilt.diff(dim=axis) - pictures.diff(dim=axis)).abs().mean() for axis in (2, 3))
    loss: Tensor = (rebuilt - pictures).abs().mean() + EDGE_WEIGHT * edges
    return loss


def encode_drawings(vae: Any, count: int, path: Path) -> Latents:
    """Latents (count, 8, 16, 16) of the first drawings, kept in a file; goes on where a stopped run ended."""
    marker = path.with_suffix(".done")
    done = int(marker.read_text()) if marker.exists() and path.exists() else 0
    shape = (count, LATENT_CHANNELS, LATENT_PX, LATENT_PX)
    if done == 0 or path.stat().st_size != 2 * int(np.prod(shape)):
        np.memmap(path, np.float16, "w+", shape=shape).flush()
        done = 0
    latents: Latents = np.memmap(path, np.float16, "r+", shape=shape)
    batch_size = 16
    batches = drawing_batches(done // batch_size, batch_size, None)
    for start in range(done - done % batch_size, count, batch_size):
        with torch.inference_mode():
            mean = vae.encode(next(batches)).latent_dist.mean
        latents[start : start + batch_size] = mean[: count - start].numpy()
        marker.write_text(str(min(start + batch_size, count)))
    return latents


class TextAndUnet(nn.Module):
    """What is trained together in the last stage."""

    def __init__(self, text_encoder: Any, unet: Any) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.unet = unet


class CaptionedLatents:
    """Batches of (scaled latents, token ids) by step."""

    def __init__(self, latents: Latents, scaling_factor: float, tokenizer: Any, batch_size: int) -> None:
        self._latents, self._factor = latents, scaling_factor
        self._tokenizer, self._batch_size = tokenizer, batch_size

    def batches(self, start_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        step = start_step
        while True:
            chance = random.Random(step)
            numbers = [chance.randrange(len(self._latents)) for _ in range(self._batch_size)]
            texts = ["" if chance.random() < NO_CAPTION_SHARE else caption(scene_of(n), chance) for n in numbers]
            ids = self._tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
            yield torch.from_numpy(self._latents[numbers].astype(np.float32)) * self._factor, ids
            step += 1


class DenoisingLoss:
    """Squared error of v (Salimans and Ho 2022) at a random time, on the sampler's own noise levels."""

    def __init__(self) -> None:
        self._alphas_cumprod: Tensor = make_scheduler().alphas_cumprod

    def __call__(self, model: Any, batch: tuple[Tensor, Tensor], generator: torch.Generator) -> Tensor:
        latents, ids = batch
        times = torch.randint(len(self._alphas_cumprod), (len(latents),), generator=generator)
        noise = torch.randn(latents.shape, generator=generator)
        kept = self._alphas_cumprod[times][:, None, None, None]
        noisy = kept.sqrt() * latents + (1 - kept).sqrt() * noise
        target = kept.sqrt() * noise - (1 - kept).sqrt() * latents
        predicted = model.unet(noisy, times, model.text_encoder(ids)[0]).sample
        return F.mse_loss(predicted, target)
