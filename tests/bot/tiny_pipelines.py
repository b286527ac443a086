"""Text-to-image pipelines of several families, small enough for a test: random weights, tokenizers made here.

Each has the structure of its family (encoders, denoiser, VAE, sampler); a picture of 32 x 32 pixels and four steps
takes some tens of milliseconds. Nothing is downloaded. `FAMILIES` maps names to functions that build one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtAlphaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TEXT_WIDTH = 16
SIDE_PX = 32


def clip_tokenizer() -> Any:
    """One token for each letter."""
    words = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    return CLIPTokenizer(vocab={word: index for index, word in enumerate(words)}, merges=[], model_max_length=16)


def t5_tokenizer() -> Any:
    """One token for each letter and for the space."""
    pieces = ["<pad>", "</s>", "<unk>", "\u2581", *LETTERS]
    return T5Tokenizer(vocab=[(piece, -float(index)) for index, piece in enumerate(pieces)], extra_ids=0)


def clip_encoder(projection: bool = False) -> Any:
    config = CLIPTextConfig(
        vocab_size=54,
        hidden_size=TEXT_WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        projection_dim=TEXT_WIDTH,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def t5_encoder() -> Any:
    config = T5Config(
        vocab_size=30, d_model=TEXT_WIDTH, d_kv=8, d_ff=32, num_layers=2, num_heads=2, tie_word_embeddings=False
    )
    return T5EncoderModel(config).eval()


def vae(latent_channels: int = 4, **other: Any) -> AutoencoderKL:
    """One latent for 2 x 2 pixels; tiles of 16 pixels once tiling is on."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=16,
        **other,
    ).eval()


def unet(**other: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=SIDE_PX // 2,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4,
        norm_num_groups=4,
        **other,
    ).eval()


def stable_diffusion() -> StableDiffusionPipeline:
    torch.manual_seed(0)
    return _quiet(
        StableDiffusionPipeline(
            vae=vae(),
            text_encoder=clip_encoder(),
            tokenizer=clip_tokenizer(),
            unet=unet(cross_attention_dim=TEXT_WIDTH),
            scheduler=EulerAncestralDiscreteScheduler(steps_offset=1),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    )


def stable_diffusion_xl() -> StableDiffusionXLPipeline:
    torch.manual_seed(1)
    return _quiet(
        StableDiffusionXLPipeline(
            vae=vae(),
            text_encoder=clip_encoder(),
            text_encoder_2=clip_encoder(projection=True),
            tokenizer=clip_tokenizer(),
            tokenizer_2=clip_tokenizer(),
            unet=unet(
                cross_attention_dim=2 * TEXT_WIDTH,
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=6 * 8 + TEXT_WIDTH,
            ),
            scheduler=EulerDiscreteScheduler(),
            add_watermarker=False,
        )
    )


def stable_diffusion_3() -> StableDiffusion3Pipeline:
    torch.manual_seed(2)
    transformer = SD3Transformer2DModel(
        sample_size=SIDE_PX // 2,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=2 * TEXT_WIDTH,
        caption_projection_dim=TEXT_WIDTH,
        pooled_projection_dim=2 * TEXT_WIDTH,
        pos_embed_max_size=16,
    )
    return _quiet(
        StableDiffusion3Pipeline(
            transformer=transformer.eval(),
            scheduler=FlowMatchEulerDiscreteScheduler(),
            vae=vae(shift_factor=0.1),
            text_encoder=clip_encoder(projection=True),
            text_encoder_2=clip_encoder(projection=True),
            text_encoder_3=_widened(t5_encoder()),
            tokenizer=clip_tokenizer(),
            tokenizer_2=clip_tokenizer(),
            tokenizer_3=t5_tokenizer(),
        )
    )


def flux() -> FluxPipeline:
    torch.manual_seed(3)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=TEXT_WIDTH,
        pooled_projection_dim=TEXT_WIDTH,
        axes_dims_rope=(2, 2, 4),
    )
    return _quiet(
        FluxPipeline(
            transformer=transformer.eval(),
            scheduler=FlowMatchEulerDiscreteScheduler(),
            vae=vae(shift_factor=0.0),
            text_encoder=clip_encoder(),
            text_encoder_2=t5_encoder(),
            tokenizer=clip_tokenizer(),
            tokenizer_2=t5_tokenizer(),
        )
    )


def pixart() -> PixArtAlphaPipeline:
    """Knows only the old `callback`."""
    torch.manual_seed(4)
    transformer = PixArtTransformer2DModel(
        sample_size=SIDE_PX // 2,
        num_layers=1,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=2,
        in_channels=4,
        out_channels=8,
        cross_attention_dim=TEXT_WIDTH,
        caption_channels=TEXT_WIDTH,
        use_additional_conditions=False,
    )
    return _quiet(
        PixArtAlphaPipeline(
            transformer=transformer.eval(),
            scheduler=DPMSolverMultistepScheduler(),
            vae=vae(),
            text_encoder=t5_encoder(),
            tokenizer=t5_tokenizer(),
        )
    )


FAMILIES: dict[str, Callable[[], Any]] = {
    "stable diffusion": stable_diffusion,
    "stable diffusion xl": stable_diffusion_xl,
    "stable diffusion 3": stable_diffusion_3,
    "flux": flux,
    "pixart": pixart,
}


def call_arguments(family: str, steps: int = 4, **other: Any) -> dict[str, Any]:
    """What a tiny pipeline of the family wants to be called with."""
    special: dict[str, dict[str, Any]] = {
        "stable diffusion 3": {"max_sequence_length": 12},
        "flux": {"max_sequence_length": 12, "guidance_scale": 1.0},
        "pixart": {"max_sequence_length": 12, "use_resolution_binning": False, "clean_caption": False},
    }
    size = {"width": SIDE_PX, "height": SIDE_PX}
    return {"prompt": "a red fox", "num_inference_steps": steps, **size, **special.get(family, {}), **other}


def _widened(encoder: Any) -> Any:
    """SD 3 pads the CLIP embeddings to T5's width, which is the sum of both here."""
    config = encoder.config
    config.d_model = 2 * TEXT_WIDTH
    return T5EncoderModel(config).eval()


def _quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe
