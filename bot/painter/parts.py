"""The parts of the picture model: standard diffusers and transformers classes, built from small configurations.

| part | class | latents or features |
| --- | --- | --- |
| VAE | `AutoencoderKL`, 16x smaller each way | 256 x 256 x 3 -> 16 x 16 x 8 |
| text encoder | `CLIPTextModel` with a `CLIPTokenizer` over the captions' words | 32 tokens x 160 |
| denoiser | `UNet2DConditionModel`, v-prediction on a cosine schedule | 16 x 16 x 8 |
"""

from __future__ import annotations

import json
from typing import Any

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tilestep.bot.painter.captions import vocabulary

TOKENS = 32
TEXT_WIDTH = 160
LATENT_CHANNELS = 8
LATENT_PX = 16
START, END = "<|startoftext|>", "<|endoftext|>"
VOCABULARY_SIZE = 1200


def make_tokenizer() -> Any:
    """One token a word of the captions; other words fall into pieces, at worst into bytes, so that any text will do."""
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    learner.train_from_iterator([" ".join(vocabulary())] * 2, trainer)
    learned = json.loads(learner.to_str())["model"]
    vocab: dict[str, int] = learned["vocab"]
    for letter in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocab.setdefault(f"{letter}</w>", len(vocab))
    merges = [tuple(pair) for pair in learned["merges"]]
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=TOKENS)


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
    """Two levels, text at both."""
    return UNet2DConditionModel(
        sample_size=LATENT_PX,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(80, 160),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
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
