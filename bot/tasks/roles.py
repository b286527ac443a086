"""What a component of a pipeline is for, told from its name and where its class comes from."""

from __future__ import annotations

from typing import Literal

Role = Literal["text encoder", "denoiser", "vae", "other"]

VAE_NAMES = frozenset({"vae", "movq", "vqgan"})
OTHER_NAMES = frozenset({"safety_checker", "image_encoder"})
NOT_WEIGHTS = ("tokenizer", "scheduler", "feature_extractor", "processor")


def component_role(name: str, library: str) -> Role:
    """`library`: the package its class comes from, as in `model_index.json`.

    Models that come from transformers read text (or see pictures, for the safety checker and image prompts); diffusers'
    own models denoise, except for the VAE, which goes by a few names.
    """
    name = name.removeprefix("prior_").removeprefix("decoder_")
    if name in VAE_NAMES:
        return "vae"
    if name in OTHER_NAMES or name.startswith(NOT_WEIGHTS):
        return "other"
    if name.startswith("text_encoder") or library == "transformers":
        return "text encoder"
    return "denoiser"
