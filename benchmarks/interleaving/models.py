"""What the benchmark runs: Stable Diffusion pipelines with random weights, tiny or of SD 1.5's size, and tile networks.

Time and memory depend on shapes alone, so random weights serve. Nothing is downloaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tilestep.bot.gpu.clock import CudaClock, HostTiming, StepClock
from tilestep.bot.tasks.upscale import UpscaleOrder
from tilestep.upscaler.diffusion.process import ProcessConfig, ResidualDiffusion
from tilestep.upscaler.model.checkpoint import LoadedModel, load_model
from tilestep.upscaler.model.descriptor import ModelDescriptor
from tilestep.upscaler.model.network import NetworkConfig, TileNetwork
from tilestep.upscaler.quality import Quality
from tilestep.upscaler.tiling.rows import ArraySink, ArraySource

GIB = 1 << 30
CARD_BYTES = 9 * GIB
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class ProcessorClock:
    """Processor time of the thread that runs the step: with one thread for torch, all that the step takes of a CPU.

    What other programs do on the machine is not charged, as a card's events do not charge it.
    """

    lag = 0

    def start(self) -> HostTiming:
        return HostTiming(time.thread_time)


@dataclass(frozen=True)
class ImageSize:
    """A request for an image."""

    side_px: int
    steps: int
    guidance: float = 1.0

    @property
    def arguments(self) -> dict[str, Any]:
        return {
            "prompt": "a red fox",
            "width": self.side_px,
            "height": self.side_px,
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
        }


@dataclass(frozen=True)
class Bench:
    """The models, the sizes of the work, and how much of it makes a row.

    `cheap` and `dear`: images whose steps cost about one to ten. `shares_ms`, `guilds_ms`: device time over which
    shares are measured. `rounds`, `clicks`: repetitions.
    """

    device: str
    pipe: Any
    tile_model: LoadedModel
    quality: str | Quality
    image: ImageSize
    cheap: ImageSize
    dear: ImageSize
    click_px: int
    picture_px: int
    large_px: int
    shares_ms: float
    guilds_ms: float
    rounds: int
    clicks: int
    budget_bytes: int | None = None
    _pixels: dict[int, Any] = field(default_factory=dict)

    def clock(self) -> StepClock:
        return CudaClock(torch.cuda, self.device) if self.device.startswith("cuda") else ProcessorClock()

    def order(self, side_px: int) -> UpscaleOrder:
        """A square picture of noise to enlarge by 2, so that every tile takes all its steps."""
        if side_px not in self._pixels:
            noise = np.random.default_rng(side_px).integers(0, 256, (side_px, side_px, 3), np.uint8)
            self._pixels[side_px] = noise
        sink = ArraySink(2 * side_px, 2 * side_px, 3)
        return UpscaleOrder(ArraySource(self._pixels[side_px]), sink, self.quality)


def tiny(device: str) -> Bench:
    """Steps of some milliseconds on a CPU."""
    text = CLIPTextConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, projection_dim=32, **_text(16)
    )
    unet = {
        "sample_size": 32,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
    vae = {"block_out_channels": (4, 8), "norm_num_groups": 4, "sample_size": 64, **_vae_blocks(2)}
    pipe = build_pipeline(text, unet, vae, device, torch.float32)
    return Bench(
        device, pipe, tiny_tiles(device), Quality("steps", max_steps=2),
        image=ImageSize(96, 10), cheap=ImageSize(32, 30), dear=ImageSize(144, 10),
        click_px=24, picture_px=48, large_px=128, shares_ms=15_000, guilds_ms=7_000, rounds=25, clicks=20,
    )  # fmt: skip


def sd15(device: str) -> Bench:
    """The U-Net, text encoder and VAE of Stable Diffusion 1.5 by size, and the tile model that is shipped."""
    cuda = device.startswith("cuda")
    text = CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, **_text(77)
    )
    unet = {"sample_size": 64, "cross_attention_dim": 768}
    vae = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "sample_size": 512, **_vae_blocks(4)}
    pipe = build_pipeline(text, unet, vae, device, torch.float16 if cuda else torch.float32)
    pipe.vae.enable_tiling()
    models = device, pipe, load_model(None, device), "balanced"
    if cuda:
        return Bench(
            *models, image=ImageSize(512, 20, 7.5), cheap=ImageSize(256, 50), dear=ImageSize(1024, 20),
            click_px=64, picture_px=256, large_px=1024, shares_ms=100_000, guilds_ms=25_000, rounds=5, clicks=20,
            budget_bytes=CARD_BYTES,
        )  # fmt: skip
    return Bench(
        *models, image=ImageSize(128, 4), cheap=ImageSize(64, 6), dear=ImageSize(256, 4),
        click_px=32, picture_px=64, large_px=256, shares_ms=1_000_000, guilds_ms=60_000, rounds=3, clicks=4,
    )  # fmt: skip


SIZES: dict[str, Callable[[str], Bench]] = {"tiny": tiny, "sd15": sd15}


def build_pipeline(text: CLIPTextConfig, unet: dict[str, Any], vae: dict[str, Any], device: str, dtype: Any) -> Any:
    """A Stable Diffusion pipeline of these shapes, with small random weights."""
    pipe = StableDiffusionPipeline(
        vae=_filled(lambda: AutoencoderKL(latent_channels=4, **vae), device, dtype),
        text_encoder=_filled(lambda: CLIPTextModel(text), device, dtype),
        tokenizer=_tokenizer(text.max_position_embeddings),
        unet=_filled(lambda: UNet2DConditionModel(**unet), device, dtype),
        scheduler=EulerDiscreteScheduler(steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_tiles(device: str) -> LoadedModel:
    """An untrained tile network of the smallest kind."""
    torch.manual_seed(7)
    config = NetworkConfig(width=8, shallow_blocks=1, deep_blocks=1, denoiser_width=8, outer_blocks=1, inner_blocks=1)
    network = TileNetwork(config).eval().requires_grad_(False).to(device)
    descriptor = ModelDescriptor(config, ProcessConfig(), read_px=32, shallow_read_px=32, halo_px=4, overlap_px=4)
    return LoadedModel(network, ResidualDiffusion(ProcessConfig()), descriptor, torch.device(device), torch.float32)


def _filled(build: Callable[[], Any], device: str, dtype: Any) -> Any:
    """A module that is made without the slow initialisation of its weights."""
    torch.manual_seed(0)
    with torch.device("meta"):
        module = build()
    module = module.to(dtype).to_empty(device=device).eval().requires_grad_(False)
    for name, value in module.named_parameters():
        value.uniform_(-0.02, 0.02) if value.ndim > 1 else value.fill_(0.0 if name.endswith("bias") else 1.0)
    for positions in module.buffers():
        positions.copy_(torch.arange(positions.numel()).reshape(positions.shape))
    return module


def _text(length: int) -> dict[str, int]:
    return {
        "vocab_size": 54,
        "max_position_embeddings": length,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
    }


def _vae_blocks(count: int) -> dict[str, Any]:
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * count, "up_block_types": ("UpDecoderBlock2D",) * count}
    return {"in_channels": 3, "out_channels": 3, **blocks}


def _tokenizer(length: int) -> Any:
    """One token for each letter."""
    words = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    return CLIPTokenizer(vocab={word: index for index, word in enumerate(words)}, merges=[], model_max_length=length)
