"""Text-to-image pipelines of true size with random weights: they need the memory and the time of trained ones.

Built on the device at once, in the number format asked for, so that not even building needs more than they do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tiny_pipelines import LETTERS
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

SCALE = 0.02


def materialise(build: Callable[[], Any], device: str, dtype: torch.dtype) -> Any:
    """A module with random weights on the device; `build` makes it without any memory."""
    with torch.device("meta"):
        module: nn.Module = build()
    module = module.to(dtype).to_empty(device=device)
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.normal_(0, SCALE)
        for name, buffer in module.named_buffers():
            buffer.copy_(torch.arange(buffer.numel()).view_as(buffer) if "position_ids" in name else buffer.zero_())
    return module.eval().requires_grad_(False)


def tokenizer() -> Any:
    """One token for each letter, 77 in all."""
    words = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    return CLIPTokenizer(vocab={word: index for index, word in enumerate(words)}, merges=[], model_max_length=77)


def clip(width: int, layers: int, heads: int, projection: bool = False, **other: Any) -> Any:
    config = CLIPTextConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        projection_dim=width,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        **other,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config)


def vae(**other: Any) -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
        **other,
    )


def stable_diffusion_15(device: str, dtype: torch.dtype) -> StableDiffusionPipeline:
    """860 million values in the U-Net; pictures of 512 x 512."""
    return StableDiffusionPipeline(
        vae=materialise(lambda: vae(sample_size=512), device, dtype),
        text_encoder=materialise(lambda: clip(768, 12, 12), device, dtype),
        tokenizer=tokenizer(),
        unet=materialise(lambda: UNet2DConditionModel(sample_size=64, cross_attention_dim=768), device, dtype),
        scheduler=EulerDiscreteScheduler(steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def unet_xl() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
        use_linear_projection=True,
    )


def stable_diffusion_xl(device: str, dtype: torch.dtype) -> StableDiffusionXLPipeline:
    """2.6 billion values in the U-Net, a VAE that decodes in float32; pictures of 1024 x 1024."""
    return StableDiffusionXLPipeline(
        vae=materialise(lambda: vae(sample_size=1024, force_upcast=True), device, dtype),
        text_encoder=materialise(lambda: clip(768, 12, 12), device, dtype),
        text_encoder_2=materialise(lambda: clip(1280, 32, 20, projection=True, hidden_act="gelu"), device, dtype),
        tokenizer=tokenizer(),
        tokenizer_2=tokenizer(),
        unet=materialise(unet_xl, device, dtype),
        scheduler=EulerDiscreteScheduler(),
        add_watermarker=False,
    )


LARGE: dict[str, Callable[[str, torch.dtype], Any]] = {
    "SD 1.5, 512 px": stable_diffusion_15,
    "SDXL, 1024 px": stable_diffusion_xl,
}
