"""`python -m tilestep.bot.painter --out DIR`: trains the demo's picture model; resumable.

python -m tilestep.bot.painter --out runs/painter --stages vae --minutes 40
python -m tilestep.bot.painter --out runs/painter --stages latents unet --minutes 120
python -m tilestep.bot.painter --out runs/painter --stages save
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tilestep.bot.painter import parts
from tilestep.bot.painter.loop import StageSettings, StageTrainer
from tilestep.bot.painter.stages import (
    CROP_PX,
    CaptionedLatents,
    DenoisingLoss,
    Latents,
    TextAndUnet,
    drawing_batches,
    encode_drawings,
    vae_loss,
)

STAGES = ("vae", "latents", "unet", "save")
VAE_BATCH, UNET_BATCH = 8, 32
LATENTS = 16_000
WEIGHTS = Path(__file__).parent / "weights"


def main() -> None:
    """Runs the stages that are named, in order."""
    parser = argparse.ArgumentParser(prog="python -m tilestep.bot.painter", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of states and latents")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--minutes", type=float, default=60, help="of each training stage (default 60)")
    parser.add_argument("--steps", type=int, help="total steps of each training stage, instead of --minutes")
    parser.add_argument("--latents", type=int, default=LATENTS, help=f"drawings to learn from (default {LATENTS})")
    parser.add_argument("--resume", action="store_true", help="go on with the states in --out")
    parser.add_argument("--save-to", type=Path, default=WEIGHTS, help="where the finished pipeline goes")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    for stage in STAGES:
        if stage in args.stages:
            RUN[stage](args)


def train_vae(args: argparse.Namespace) -> None:
    trainer = StageTrainer("vae", parts.make_vae(), _settings(args, rate=2e-3))
    trainer.run(vae_loss, lambda step: drawing_batches(step, VAE_BATCH, CROP_PX))


def make_latents(args: argparse.Namespace) -> None:
    encode_drawings(_vae(args.out), args.latents, args.out / "latents.f16")


def train_unet(args: argparse.Namespace) -> None:
    latents, tokenizer = _latents(args.out), parts.make_tokenizer()
    model = TextAndUnet(parts.make_text_encoder(tokenizer), parts.make_unet())
    data = CaptionedLatents(latents, _scaling_factor(latents), tokenizer, UNET_BATCH)
    StageTrainer("unet", model, _settings(args, rate=1.5e-3)).run(DenoisingLoss(), data.batches)


def save_pipeline(args: argparse.Namespace) -> None:
    tokenizer, vae = parts.make_tokenizer(), _vae(args.out)
    model = TextAndUnet(parts.make_text_encoder(tokenizer), parts.make_unet())
    model.load_state_dict(_average(args.out / "unet.pt"))
    vae.register_to_config(scaling_factor=_scaling_factor(_latents(args.out)))
    pipeline = parts.make_pipeline(vae, model.text_encoder.eval(), tokenizer, model.unet.eval())
    pipeline.to(torch.float16).save_pretrained(args.save_to)
    total = sum(path.stat().st_size for path in args.save_to.rglob("*.safetensors"))
    print(f"saved {total / 2**20:.1f} MiB to {args.save_to}")


def _settings(args: argparse.Namespace, rate: float) -> StageSettings:
    return StageSettings(args.out, args.minutes, args.steps, rate, args.resume)


def _average(path: Path) -> dict[str, Any]:
    average: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)["average"]
    return average


def _vae(out: Path) -> Any:
    vae = parts.make_vae().eval().requires_grad_(False)
    vae.load_state_dict(_average(out / "vae.pt"))
    return vae


def _latents(out: Path) -> Latents:
    shape = (-1, parts.LATENT_CHANNELS, parts.LATENT_PX, parts.LATENT_PX)
    found: Latents = np.memmap(out / "latents.f16", np.float16, "r")
    return found.reshape(shape)


def _scaling_factor(latents: Latents) -> float:
    """Makes the latents' standard deviation 1."""
    return round(1 / float(latents[:2000].astype(np.float32).std()), 4)


RUN = {"vae": train_vae, "latents": make_latents, "unet": train_unet, "save": save_pipeline}

if __name__ == "__main__":
    main()
