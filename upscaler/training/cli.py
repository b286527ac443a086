"""`tilestep train`: options and the run."""

from __future__ import annotations

import argparse
from pathlib import Path

STAGE_NAMES = ("shallow", "deep", "denoiser", "calibrate")
RATE_HELP = (
    "peak learning rate of every stage (default: shallow 0.005, deep 0.001, denoiser 0.0015; a fifth of that for what "
    "was trained before)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `tilestep train`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of pictures to train on, sub-folders included")
    parser.add_argument("--out", type=Path, required=True, help="folder for the state, checkpoint, curves and samples")
    parser.add_argument("--val", type=Path, help="pictures to validate on; default: every 24th of --data, held out")
    parser.add_argument("--resume", action="store_true", help="go on from the state in --out")
    parser.add_argument("--start-from", type=Path, metavar="FILE", help="begin with the weights of this checkpoint")
    parser.add_argument("--minutes", type=float, default=60, help="time for all stages of this run (default 60)")
    parser.add_argument("--steps", type=int, help="length of each stage in steps, instead of --minutes")
    parser.add_argument("--stages", nargs="+", choices=STAGE_NAMES, default=list(STAGE_NAMES), help="what to train")
    parser.add_argument("--batch-size", type=int, default=16, help="crops a step (default 16)")
    parser.add_argument("--crop", type=int, default=32, help="side of a crop in low-resolution pixels (default 32)")
    parser.add_argument("--learning-rate", type=float, help=RATE_HELP)
    parser.add_argument("--extra-loss", metavar="MODULE:FUNCTION", help="loss on pictures in [-1, 1] for the denoiser")
    parser.add_argument("--extra-weight", type=float, default=1.0, help="weight of the extra loss (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, crops and noise (default 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda[:n]")
    parser.add_argument("--workers", type=int, default=1, help="processes that cut and corrupt crops (default 1)")
    parser.add_argument("--validate-minutes", type=float, default=5, help="time between validations (default 5)")


def run(args: argparse.Namespace) -> int:
    """Trains; prints where the checkpoint lies. Raises TilestepError for what a person can mend."""
    from tilestep.upscaler.training.loop import Trainer
    from tilestep.upscaler.training.settings import TrainSettings
    from tilestep.upscaler.training.state import STATE_NAME

    settings = TrainSettings(
        data=args.data,
        out=args.out,
        val=args.val,
        resume=args.resume,
        start_from=args.start_from,
        minutes=args.minutes,
        steps=args.steps,
        stages=tuple(args.stages),
        batch_size=args.batch_size,
        low_px=args.crop,
        learning_rate=args.learning_rate,
        seed=args.seed,
        device=args.device,
        workers=args.workers,
        extra_loss=args.extra_loss,
        extra_weight=args.extra_weight,
        validate_minutes=args.validate_minutes,
    )
    try:
        print(f"checkpoint: {Trainer(settings).run()}")
    except KeyboardInterrupt:
        saved = (settings.out / STATE_NAME).exists()
        print(f"stopped; the state is in {settings.out}: go on with --resume" if saved else "stopped; nothing is saved")
        return 130
    return 0
