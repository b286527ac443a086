"""What a training run has come to: the averages of its weights, and the finished pipeline made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tilestep.bot.painter import parts
from tilestep.bot.painter.stages import Latents, TextAndUnet
from tilestep.upscaler.errors import TilestepError

LATENTS_FILE = "latents.f16"
USUAL_STEPS, USUAL_GUIDANCE = 20, 5.0
USUAL_FILE = "generation_config.json"


class NotTrained(TilestepError):  # noqa: N818
    """A stage of training has not begun yet."""


def trained_vae(out: Path) -> Any:
    """The VAE of the run in `out`, float32, ready to use. Raises NotTrained."""
    vae = parts.make_vae().eval().requires_grad_(False)
    path, finer = out / "vae.pt", out / "decoder.pt"
    if finer.exists() and finer.stat().st_mtime > _existing(path).stat().st_mtime:
        path = finer
    vae.load_state_dict(_average(path))
    return vae


def latents(out: Path) -> Latents:
    """(count, 8, 16, 16), of the drawings that the run learns from. Raises NotTrained."""
    path = _existing(out / LATENTS_FILE)
    shape = (-1, parts.LATENT_CHANNELS, parts.LATENT_PX, parts.LATENT_PX)
    found: Latents = np.memmap(path, np.float16, "r")
    return found.reshape(shape)


def scaling_factor(found: Latents) -> float:
    """Makes the latents' standard deviation 1."""
    return round(1 / float(found[:2000].astype(np.float32).std()), 4)


def trained_pipeline(out: Path) -> Any:
    """A `StableDiffusionPipeline` of the run as it stands, also in the middle of it. Raises NotTrained."""
    tokenizer, vae = parts.make_tokenizer(), trained_vae(out)
    model = TextAndUnet(parts.make_text_encoder(tokenizer), parts.make_unet())
    model.load_state_dict(_average(out / "unet.pt"))
    vae.register_to_config(scaling_factor=scaling_factor(latents(out)))
    return parts.make_pipeline(vae, model.text_encoder.eval(), tokenizer, model.unet.eval())


def save_for_use(pipeline: Any, folder: Path, steps: int = USUAL_STEPS, guidance: float = USUAL_GUIDANCE) -> int:
    """Saves it in half precision with the steps and guidance that suit it; gives the bytes of its weights."""
    pipeline.to(torch.float16).save_pretrained(folder)
    usual = {"num_inference_steps": steps, "guidance_scale": guidance}
    (folder / USUAL_FILE).write_text(json.dumps(usual, indent=2) + "\n", encoding="utf-8")
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


def _average(path: Path) -> dict[str, Any]:
    average: dict[str, Any] = torch.load(_existing(path), map_location="cpu", weights_only=True)["average"]
    return average


def _existing(path: Path) -> Path:
    if not path.exists():
        raise NotTrained(f"{path} is not there: that stage of training has not begun.")
    return path
