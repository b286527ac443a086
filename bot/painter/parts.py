"""The parts of the picture model: standard diffusers and transformers classes, built from small configurations.

| part | class | latents or features |
| --- | --- | --- |
| VAE | `AutoencoderKL`, 16x smaller each way | 256 x 256 x 3 -> 16 x 16 x 8 |
| text encoder | `CLIPTextModel` with a `CLIPTokenizer` over the captions' words | 32 tokens x 160 |
| denoiser | `UNet2DConditionModel`, v-prediction on a cosine schedule | 16 x 16 x 8 |
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tilestep.bot.painter.captions import vocabulary

TOKENS = 32
TEXT_WIDTH = 160
LATENT_CHANNELS = 8
LATENT_PX = 16
START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"


def make_tokenizer() -> Any:
    """One token a word of the captions; other words fall into pieces, at worst into bytes, so that any text will do.

    The same numbers each time that it is made: the text encoder's embeddings stand for them.
    """
    letters, merges = sorted(pre_tokenizers.ByteLevel.alphabet()), _learn_merges(vocabulary())
    tokens = [START, END, *letters, *(f"{letter}{WORD_END}" for letter in letters), *map("".join, merges)]
    vocab = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=TOKENS)


def _learn_merges(words: Sequence[str]) -> list[tuple[str, str]]:
    """Byte pair encoding (Sennrich et al. 2016) until each word is whole; the first in the alphabet of equals wins."""
    split = [[*word[:-1], word[-1] + WORD_END] for word in words]
    merges = []
    while counts := Counter(pair for pieces in split for pair in itertools.pairwise(pieces)):
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        split = [_merged(pieces, best) for pieces in split]
    return merges


def _merged(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def make_text_encoder(tokenizer: Any) -> Any:
    """A three-layer CLIP text model."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
        projection_dim=TEXT_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def make_vae() -> Any:
    """Narrow, without attention: what it sees is flat."""
    return AutoencoderKL(
        block_out_channels=(16, 32, 48, 64, 96),
        down_block_types=("DownEncoderBlock2D",) * 5,
        up_block_types=("UpDecoderBlock2D",) * 5,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=LATENT_PX * 16,
        mid_block_add_attention=False,
    )


def make_unet() -> Any:
    """Two levels; attention and text at the lower, where it costs a quarter."""
    return UNet2DConditionModel(
        sample_size=LATENT_PX,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(80, 160),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def make_scheduler() -> Any:
    """Twenty steps of it give what hundreds would."""
    return DPMSolverMultistepScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", timestep_spacing="trailing", steps_offset=1
    )


def make_pipeline(vae: Any, text_encoder: Any, tokenizer: Any, unet: Any) -> Any:
    """A plain `StableDiffusionPipeline`."""
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def parameter_count(module: torch.nn.Module) -> int:
    """Values in its weights."""
    return sum(parameter.numel() for parameter in module.parameters())
