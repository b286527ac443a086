"""Writes a tiny Stable Diffusion pipeline as one file, the way models are traded: with the original code's names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

Rules = Iterable[tuple[str, str]]

LAYERS = 1
LEVELS = 2
RESNET: Rules = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("time_emb_proj", "emb_layers.1"),
    ("conv_shortcut", "skip_connection"),
)
UNET: Rules = (
    (r"^time_embedding\.linear_1", "time_embed.0"),
    (r"^time_embedding\.linear_2", "time_embed.2"),
    (r"^conv_in", "input_blocks.0.0"),
    (r"^conv_norm_out", "out.0"),
    (r"^conv_out", "out.2"),
    (r"^mid_block\.resnets\.0", "middle_block.0"),
    (r"^mid_block\.resnets\.1", "middle_block.2"),
    (r"^mid_block\.attentions\.0", "middle_block.1"),
)
VAE: Rules = (
    (r"conv_norm_out", "norm_out"),
    (r"mid_block\.resnets\.0", "mid.block_1"),
    (r"mid_block\.resnets\.1", "mid.block_2"),
    (r"mid_block\.attentions\.0", "mid.attn_1"),
    (r"group_norm", "norm"),
    (r"to_out\.0", "proj_out"),
    (r"to_([qkv])\.", r"\1."),
    (r"down_blocks\.(\d)\.resnets", r"down.\1.block"),
    (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
    (r"conv_shortcut", "nin_shortcut"),
)


def write_single_file(pipe: Any, path: Path) -> None:
    """All weights of a pipeline of `tiny_pipelines.stable_diffusion` in one file."""
    tensors = {
        **{f"model.diffusion_model.{unet_name(name)}": value for name, value in pipe.unet.state_dict().items()},
        **{f"first_stage_model.{vae_name(name)}": value for name, value in pipe.vae.state_dict().items()},
        **{f"cond_stage_model.transformer.{text_name(name)}": v for name, v in pipe.text_encoder.state_dict().items()},
    }
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)


def unet_name(name: str) -> str:
    name = _renamed(name, UNET)
    down = re.match(r"down_blocks\.(\d)\.(resnets|attentions|downsamplers)\.(\d)\.(.*)", name)
    if down:
        block, kind, layer, rest = int(down[1]), down[2], int(down[3]), down[4]
        index = block * (LAYERS + 1) + (LAYERS if kind == "downsamplers" else layer) + 1
        part = {"resnets": "0", "attentions": "1", "downsamplers": "0"}[kind]
        name = f"input_blocks.{index}.{part}.{rest.replace('conv.', 'op.') if kind == 'downsamplers' else rest}"
    up = re.match(r"up_blocks\.(\d)\.(resnets|attentions|upsamplers)\.(\d)\.(.*)", name)
    if up:
        block, kind, layer, rest = int(up[1]), up[2], int(up[3]), up[4]
        index = block * (LAYERS + 1) + (LAYERS if kind == "upsamplers" else layer)
        part = {"resnets": "0", "attentions": "1", "upsamplers": "2"}[kind]
        name = f"output_blocks.{index}.{part}.{rest}"
    is_resnet = re.match(r"(input|output)_blocks\.\d+\.0\.|middle_block\.[02]\.", name)
    return _renamed(name, RESNET) if is_resnet else name


def vae_name(name: str) -> str:
    name = _renamed(name, VAE)
    up = re.match(r"decoder\.up_blocks\.(\d)\.(resnets|upsamplers)\.(.*)", name)
    if not up:
        return name
    level = LEVELS - 1 - int(up[1])
    rest = up[3] if up[2] == "resnets" else up[3].partition(".")[2]
    return f"decoder.up.{level}.{'block' if up[2] == 'resnets' else 'upsample'}.{rest}"


def text_name(name: str) -> str:
    return name if name.startswith("text_model.") else f"text_model.{name}"


def _renamed(name: str, rules: Rules) -> str:
    for old, new in rules:
        name = re.sub(old, new, name)
    return name
