"""`python -m tilestep.bot.painter --out DIR`: trains the demo's picture model; resumable.

python -m tilestep.bot.painter --out runs/painter --stages vae --minutes 40
python -m tilestep.bot.painter --out runs/painter --stages latents unet --minutes 120
python -m tilestep.bot.painter --out runs/painter --stages decoder --minutes 30
python -m tilestep.bot.painter --out runs/painter --stages save
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from tilestep.bot.painter import WEIGHTS, parts
from tilestep.bot.painter.loop import StageSettings, StageTrainer
from tilestep.bot.painter.stages import (
    CROP_PX,
    CaptionedLatents,
    DenoisingLoss,
    TextAndUnet,
    decoder_loss,
    drawing_batches,
    encode_drawings,
    vae_loss,
)
from tilestep.bot.painter.state import (
    LATENTS_FILE,
    latents,
    save_for_use,
    scaling_factor,
    trained_pipeline,
    trained_vae,
)
from tilestep.upscaler.errors import TilestepError

STAGES = ("vae", "latents", "decoder", "unet", "save")
VAE_BATCH, UNET_BATCH = 8, 32
LATENTS = 16_000
DECODER_FROM = 100_000  # drawings that the VAE has not seen


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
    try:
        for stage in STAGES:
            if stage in args.stages:
                RUN[stage](args)
    except TilestepError as error:
        raise SystemExit(str(error)) from error


def train_vae(args: argparse.Namespace) -> None:
    trainer = StageTrainer("vae", parts.make_vae(), _settings(args, rate=2e-3))
    trainer.run(vae_loss, lambda step: drawing_batches(step, VAE_BATCH, CROP_PX))


def make_latents(args: argparse.Namespace) -> None:
    """Those of an earlier state of the VAE are made anew."""
    path, vae = args.out / LATENTS_FILE, trained_vae(args.out)
    done = path.with_suffix(".done")
    if done.exists() and done.stat().st_mtime < (args.out / "vae.pt").stat().st_mtime:
        done.unlink()
    encode_drawings(vae, args.latents, path)


def train_decoder(args: argparse.Namespace) -> None:
    """Goes on with the decoder alone; what the denoiser has learnt stays right."""
    vae = trained_vae(args.out).train()
    vae.decoder.requires_grad_(True)
    trainer = StageTrainer("decoder", vae, _settings(args, rate=1.5e-3))
    trainer.run(decoder_loss, lambda step: drawing_batches(DECODER_FROM + step, VAE_BATCH, CROP_PX))


def train_unet(args: argparse.Namespace) -> None:
    found, tokenizer = latents(args.out), parts.make_tokenizer()
    model = TextAndUnet(parts.make_text_encoder(tokenizer), parts.make_unet())
    data = CaptionedLatents(found, scaling_factor(found), tokenizer, UNET_BATCH)
    StageTrainer("unet", model, _settings(args, rate=1.5e-3)).run(DenoisingLoss(), data.batches)


def save_pipeline(args: argparse.Namespace) -> None:
    size_bytes = save_for_use(trained_pipeline(args.out), args.save_to)
    print(f"saved {size_bytes / 2**20:.1f} MiB to {args.save_to}")


def _settings(args: argparse.Namespace, rate: float) -> StageSettings:
    return StageSettings(args.out, args.minutes, args.steps, rate, args.resume)


RUN = {
    "vae": train_vae,
    "latents": make_latents,
    "decoder": train_decoder,
    "unet": train_unet,
    "save": save_pipeline,
}

if __name__ == "__main__":
    main()
