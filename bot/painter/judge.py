"""Counts how often the picture model draws what it was asked for: a program looks, not a person.

python -m tilestep.bot.painter.judge --model DIR                     a finished model
python -m tilestep.bot.painter.judge --state runs/painter --limit 23 --seeds 1 --sheet sheet.png      one in training

The prompts are captions of combinations of thing, colour and place that were held out of training, in all weathers and
times of day. A small classifier, made on first use (minutes on one core) and kept in --cache, says what it sees.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from tilestep.bot.painter.captions import caption
from tilestep.bot.painter.classifier import Examples, SceneClassifier, any_scene, classifier_loss, round_trip, see
from tilestep.bot.painter.counting import count, table, weakest
from tilestep.bot.painter.drawing import draw
from tilestep.bot.painter.loop import StageSettings, StageTrainer
from tilestep.bot.painter.scenes import TIMES, WEATHERS, Scene, combinations
from tilestep.bot.painter.sheet import sheet
from tilestep.bot.painter.state import save_for_use, trained_pipeline
from tilestep.bot.tasks.arguments import ImageWish, image_arguments
from tilestep.bot.tasks.loaded import LoadedPipeline
from tilestep.bot.tasks.loading import load_text_to_image
from tilestep.upscaler.errors import TilestepError

CACHE = Path.home() / ".cache" / "tilestep-judge"
DRAWINGS, ROUND_TRIPS, BATCH, STEPS, RATE = 5000, 128, 32, 1200, 4e-3
ROUND_TRIPS_TO_CHECK = 96
MEMORY_BYTES = 4 << 30
ON_SHEET = 48


@dataclass(frozen=True)
class Order:
    """One picture to be made: what it is to show, in which words, from which seed."""

    scene: Scene
    prompt: str
    seed: int


def main() -> None:
    """Prints the judge's own accuracy, then the table."""
    try:
        judge_model(_arguments())
    except TilestepError as error:
        raise SystemExit(str(error)) from error


def judge_model(args: argparse.Namespace) -> None:
    """Makes the pictures that the options ask for, and counts. Raises TilestepError."""
    torch.manual_seed(0)
    with _model_folder(args) as folder:
        loaded = load_text_to_image(folder, "cpu", MEMORY_BYTES)
    judge = make_judge(args.cache, loaded.pipe.vae)
    print(f"the judge itself: {own_accuracy(judge, loaded.pipe.vae)}", flush=True)
    wanted = orders(args.seeds, args.limit, held_out=not args.seen)
    began = time.monotonic()
    pictures = make_pictures(loaded, wanted, args.steps, args.guidance, args.batch)
    print(f"{len(pictures)} pictures in {(time.monotonic() - began) / 60:.1f} min", flush=True)
    asked, found = [order.scene for order in wanted], see(judge, pictures)
    print(table(count(asked, found)))
    print(f"weakest words: {weakest(asked, found)}")
    if args.sheet:
        captions = [f"{o.prompt} [{_mark(o.scene, seen)}]" for o, seen in zip(wanted, found, strict=True)]
        sheet(pictures[:ON_SHEET], captions[:ON_SHEET]).save(args.sheet)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tilestep.bot.painter.judge", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", type=Path, help="a folder that diffusers loads")
    source.add_argument("--state", type=Path, help="the --out folder of a training run, which may be under way")
    parser.add_argument("--seeds", type=int, default=3, help="pictures of each combination (default 3)")
    parser.add_argument("--limit", type=int, help="combinations, evenly spread (default: all)")
    parser.add_argument("--seen", action="store_true", help="combinations that were trained on instead")
    parser.add_argument("--steps", type=int, help="denoising steps (default: the model's own)")
    parser.add_argument("--guidance", type=float, help="default: the model's own")
    parser.add_argument("--batch", type=int, default=8, help="pictures made at once (default 8)")
    parser.add_argument("--sheet", type=Path, help=f"save the first {ON_SHEET} pictures with their captions here")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"where the classifier is kept (default {CACHE})")
    return parser.parse_args()


@contextmanager
def _model_folder(args: argparse.Namespace) -> Iterator[Path]:
    if args.model:
        yield args.model
        return
    with tempfile.TemporaryDirectory() as name:
        save_for_use(trained_pipeline(args.state), Path(name))
        yield Path(name)


def make_judge(cache: Path, vae: Any) -> nn.Module:
    """The classifier from the cache, or made now with the help of the model's VAE."""
    settings = StageSettings(cache, steps=STEPS, rate=RATE, resume=True)
    trainer = StageTrainer("judge", SceneClassifier(), settings)
    if trainer.step >= STEPS:
        return trainer.average
    print("the judge is made: drawings first", flush=True)
    return trainer.run(classifier_loss, Examples(vae, DRAWINGS, ROUND_TRIPS, BATCH).batches)


def own_accuracy(judge: nn.Module, vae: Any) -> str:
    """How often it is right on drawings that it has not seen, as drawn and through the VAE."""
    chance = random.Random("drawings to check the judge")
    scenes = [replace(any_scene(chance), thing=c.thing, colour=c.colour, place=c.place) for c in combinations()]
    drawn = [draw(scene, chance.getrandbits(32)) for scene in scenes]
    step = len(scenes) // ROUND_TRIPS_TO_CHECK
    through = round_trip(vae, drawn[::step], torch.Generator().manual_seed(1))
    fresh = count(scenes, see(judge, drawn))[0]
    soft = count(scenes[::step], see(judge, through))[0]
    return (
        f"all three right on {100 * fresh.share:.1f} % of {fresh.total} fresh drawings and on "
        f"{100 * soft.share:.1f} % of {soft.total} that went through the VAE"
    )


def orders(seeds: int, limit: int | None = None, held_out: bool = True) -> list[Order]:
    """`seeds` pictures of each combination, of `limit` combinations evenly spread over all."""
    found = [scene for scene in combinations() if scene.held_out == held_out]
    chosen = [found[i * len(found) // limit] for i in range(limit)] if limit and limit < len(found) else found
    made = []
    for seed in range(seeds):
        for scene in chosen:
            chance = random.Random(f"{scene} {seed}")
            scene = replace(scene, weather=chance.choice(WEATHERS), time=chance.choice(TIMES))
            made.append(Order(scene, caption(scene, chance), seed))
    return made


def make_pictures(
    loaded: LoadedPipeline, wanted: list[Order], steps: int | None, guidance: float | None, batch: int
) -> list[Image.Image]:
    """By the pipeline itself, with the arguments that /imagine would give it."""
    assert loaded.sizes is not None
    wish = ImageWish("", steps=steps, guidance=guidance)
    plan = image_arguments(loaded.pipe, loaded.model, wish, loaded.sizes.width_px, loaded.sizes.height_px, loaded.usual)
    print(f"{plan.width_px} x {plan.height_px}, {plan.steps} steps, guidance {plan.guidance}", flush=True)
    pictures: list[Image.Image] = []
    for first in range(0, len(wanted), batch):
        some = wanted[first : first + batch]
        generators = [torch.Generator().manual_seed(order.seed) for order in some]
        prompts = [order.prompt for order in some]
        pictures += loaded.pipe(**{**plan.call, "prompt": prompts, "generator": generators}).images
    return pictures


def _mark(asked: Scene, seen: Scene) -> str:
    if count([asked], [seen])[0].right:
        return "right"
    return f"seen: {seen.colour} {seen.thing}, {seen.place}"


if __name__ == "__main__":
    main()
