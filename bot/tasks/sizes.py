"""The sizes of a model from what its components count and from their configurations: arithmetic, no torch.

The numbers of intermediate values are estimates, on the large side: a U-Net's largest moment is about 96 maps of its
first width at full latent size, a transformer's 24 of its width, a VAE decoder's 8 of its second width at full size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tilestep.bot.tasks.files import WeightCount
from tilestep.bot.tasks.memory import ModelSizes
from tilestep.bot.tasks.roles import Role

Config = Mapping[str, Any]

UNET_MAPS, TRANSFORMER_MAPS, VAE_MAPS, TEXT_MAPS = 96, 24, 8, 24
GUIDED_BATCH = 2
TEXT_TOKENS = 512
DEFAULT_LATENT_SIDE = 128


def model_sizes(
    counts: Mapping[str, WeightCount],
    roles: Mapping[str, Role],
    configs: Mapping[str, Config],
    vae_upcast: bool = False,
) -> ModelSizes:
    """All by component name; a component without a configuration (a tokenizer) may be missing from `configs`."""

    def of(role: Role) -> list[str]:
        return [name for name in counts if roles.get(name) == role]

    def total(role: Role) -> int:
        return sum(counts[name].values for name in of(role))

    vae = next((configs[name] for name in of("vae") if name in configs), {})
    denoisers = [configs[name] for name in of("denoiser") if name in configs]
    text_width = max((_text_width(configs.get(name, {})) for name in of("text encoder")), default=0)
    side = max((_side(config) for config in denoisers), default=DEFAULT_LATENT_SIDE)
    scale = 2 ** (len(vae.get("block_out_channels") or [0] * 4) - 1)
    return ModelSizes(
        denoiser=total("denoiser"),
        text_encoders=total("text encoder"),
        vae=total("vae"),
        other=total("other"),
        largest_layer=max((counts[name].largest for name in of("text encoder")), default=0),
        transformer=any("block_out_channels" not in config for config in denoisers),
        vae_upcast=vae_upcast and bool(vae.get("force_upcast", False)),
        encode_values=TEXT_MAPS * TEXT_TOKENS * text_width,
        denoise_values=max((_denoise_values(config, side) for config in denoisers), default=0),
        decode_values_per_px=VAE_MAPS * _second_width(vae),
        held_values=GUIDED_BATCH * TEXT_TOKENS * text_width + 64 * side * side,
        width_px=side * scale,
        height_px=side * scale,
    )


def _denoise_values(config: Config, side: int) -> int:
    widths = config.get("block_out_channels")
    if widths:
        return GUIDED_BATCH * UNET_MAPS * side * side * int(widths[0])
    width = config.get("hidden_size") or config.get("dim") or config.get("inner_dim")
    if not width:
        width = int(config.get("num_attention_heads") or 24) * int(config.get("attention_head_dim") or 128)
    tokens = (side // 2) ** 2 + TEXT_TOKENS
    return GUIDED_BATCH * TRANSFORMER_MAPS * tokens * int(width)


def _side(config: Config) -> int:
    """Latents along a side of the pictures that the model was made for."""
    size = config.get("sample_size")
    size = size[0] if isinstance(size, (list, tuple)) else size
    return int(size or DEFAULT_LATENT_SIDE)


def _second_width(config: Config) -> int:
    widths = config.get("block_out_channels") or config.get("decoder_block_out_channels") or [256]
    return int(widths[min(1, len(widths) - 1)])


def _text_width(config: Config) -> int:
    nested = config.get("text_config")
    config = nested if isinstance(nested, Mapping) else config
    return int(config.get("hidden_size") or config.get("d_model") or 0)
