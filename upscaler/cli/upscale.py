"""`tilestep upscale`: options, and a run over all pictures that are meant."""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tilestep.upscaler.cli import values
from tilestep.upscaler.cli.words import brief, printable
from tilestep.upscaler.errors import OptionError, TilestepError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilestep.upscaler.model.checkpoint import LoadedModel
    from tilestep.upscaler.upscale import UpscaleOptions, UpscaleResult

QUALITIES = ("fast", "balanced", "best", "faithful")
SCALES = (2, 4, 8)
MOST_STEPS = 50
MIB = 2**20
DONE, FAILED = 0, 2


@dataclass(frozen=True)
class Job:
    """One picture of the run."""

    source: Path
    target: Path
    options: UpscaleOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `tilestep upscale`."""
    add = parser.add_argument
    add("pictures", nargs="+", metavar="IN", help="pictures, folders (their pictures, not folders within) or patterns")
    add(
        "-o",
        "--output",
        type=values.name,
        metavar="OUT",
        help="a file or a folder that exists (default: NAME_2x.png beside IN)",
    )
    add("--scale", type=int, choices=SCALES, default=2, help="how much larger (default: %(default)s)")
    add("--quality", choices=QUALITIES, default="balanced", help="faithful invents nothing (default: %(default)s)")
    steps = values.whole_number(0, MOST_STEPS)
    add("--steps", type=steps, metavar="N", help="exactly N steps in every tile, instead of as many as it needs")
    add(
        "--seed",
        type=values.whole_number(0, 2**63 - 1),
        default=0,
        metavar="N",
        help="of the noise (default: %(default)s)",
    )
    for name, trace in (("--dejpeg", "JPEG traces"), ("--deblur", "blur")):
        kind = values.auto_or_share
        add(name, type=kind, metavar="auto|0..1", help=f"how much {trace} to undo (default: auto, from the picture)")
    add("--device", default="auto", help="auto, cpu or cuda[:n] (default: %(default)s)")
    add("--precision", choices=values.PRECISIONS, default="auto", help="number format (default: %(default)s)")
    add("--max-memory", type=values.byte_count, metavar="SIZE", help="for weights and tiles in work, such as 2G")
    add("--map", type=values.path, metavar="MAP.png", help="paint the steps per tile; for several pictures a folder")
    add("--format", type=values.file_format, metavar="png|jpeg|webp|tiff", help="default: by OUT's name, else png")
    add("--checkpoint", type=values.path, metavar="FILE", help="other weights than those that come with the program")
    add("--max-pixels", type=values.count, default=10**9, metavar="N", help="refuse larger pictures (default: 1G)")
    add("--force", action="store_true", help="overwrite results that are there already")


def run(args: argparse.Namespace) -> int:
    """Upscales; prints a line for each picture and one in the end. Returns 0, or 2 if any picture failed.

    Raises TilestepError for what concerns all pictures, such as a checkpoint of the wrong kind.
    """
    from tilestep.upscaler.cli.files import find_pictures, name_results

    started = time.perf_counter()
    pictures, failures = find_pictures(args.pictures)
    for failure in failures:
        _complain(failure)
    if not pictures:
        return FAILED
    targets = name_results(pictures, args.output, args.scale, args.format)
    maps = _map_names(pictures, targets, args.map)
    model, options = _prepare(args)
    jobs = [
        Job(source, target, replace(options, map_path=map_path))
        for source, target, map_path in zip(pictures, targets, maps, strict=True)
    ]
    done = upscale_all(jobs, model)
    failed = len(failures) + len(jobs) - done
    if done + failed > 1:
        print(f"{done} upscaled, {failed} failed, {time.perf_counter() - started:.1f} s")
    return FAILED if failed else DONE


def upscale_all(jobs: Sequence[Job], model: LoadedModel) -> int:
    """One picture after another, whatever happens to any of them, each with its lines. Returns how many were done."""
    sources = {os.path.realpath(job.source) for job in jobs}
    return sum(_upscale(job, model, sources) for job in jobs)


def _prepare(args: argparse.Namespace) -> tuple[LoadedModel, UpscaleOptions]:
    """Loads the model: from here on PyTorch is there."""
    from tilestep.upscaler.cli.device import choose_device
    from tilestep.upscaler.cli.heap import keep_activations_at_hand
    from tilestep.upscaler.engine import EngineLimits
    from tilestep.upscaler.images.probe import ReadLimits
    from tilestep.upscaler.model.checkpoint import load_model
    from tilestep.upscaler.model.precision import choose_dtype
    from tilestep.upscaler.upscale import UpscaleOptions

    keep_activations_at_hand()
    device = choose_device(args.device)
    model = load_model(args.checkpoint, device, choose_dtype(args.precision, device))
    _check_memory(model, args.max_memory)
    return model, UpscaleOptions(
        quality=args.quality,
        steps=args.steps,
        scale=args.scale,
        seed=args.seed,
        dejpeg=args.dejpeg,
        deblur=args.deblur,
        file_format=args.format,
        overwrite=args.force,
        read_limits=ReadLimits(args.max_pixels),
        engine_limits=EngineLimits(max_memory_bytes=args.max_memory),
    )


def _check_memory(model: LoadedModel, max_bytes: int | None) -> None:
    """Refuses a limit that not even one tile can keep."""
    from tilestep.upscaler.runner import TileRunner

    need = TileRunner(model).memory_need()
    least = need.fixed_bytes + need.tile_bytes
    if max_bytes is not None and max_bytes < least:
        raise OptionError(f"--max-memory is too small: weights and one tile need about {-(-least // MIB)}M.")


def _upscale(job: Job, model: LoadedModel, sources: set[str]) -> bool:
    """One picture, with its lines for the person. Returns whether it was done."""
    from tilestep.upscaler.cli.progress import TileBar
    from tilestep.upscaler.upscale import upscale_file

    try:
        _spare_sources(job, sources)
        with TileBar(job.source.name) as bar:
            result = upscale_file(job.source, job.target, model, job.options, bar)
    except Exception as error:
        _complain(_in_words(job.source, error))
        return False
    print(printable(_summary(result)), flush=True)
    for note in result.notes:
        print(printable(f"  note: {note}"), flush=True)
    return True


def _spare_sources(job: Job, sources: set[str]) -> None:
    """Refuses to write over a picture of the same run."""
    for path, what in ((job.target, "results"), (job.options.map_path, "maps")):
        if path and os.path.realpath(path) in sources:
            raise OptionError(f"{path} is one of the pictures: choose another folder for the {what}.")


def _in_words(picture: Path, error: Exception) -> TilestepError:
    if isinstance(error, TilestepError):
        return error
    if isinstance(error, MemoryError):
        return TilestepError(f"{picture}: there is not enough memory for it. Close other programs and try again.")
    words = brief(" ".join(str(error).split()))
    return TilestepError(
        f"{picture}: something went wrong that should not, a fault of this program or of the file "
        f"({type(error).__name__}: {words}). Save it again with another program, or report the fault."
    )


def _summary(result: UpscaleResult) -> str:
    (width, height), (large_width, large_height) = result.source_size, result.target_size
    repairs = (("dejpeg", result.dejpeg), ("deblur", result.deblur))
    parts = [
        f"{result.source} -> {result.target}: {width}x{height} -> {large_width}x{large_height}",
        f"{result.tiles} tile{'s' * (result.tiles != 1)}",
        f"{result.steps / max(result.tiles, 1):.2f} steps a tile",
        *(f"{name} {value:.2f}" for name, value in repairs if value),
        f"{result.seconds:.1f} s",
    ]
    megapixels = large_width * large_height / 1e6
    return ", ".join(parts) + (
        f" ({result.seconds / megapixels:.2f} s per output megapixel)" if megapixels >= 1 else ""
    )


def _map_names(pictures: list[Path], targets: list[Path], chosen: Path | None) -> list[Path | None]:
    from tilestep.upscaler.cli.files import check_distinct, is_folder

    if chosen is None:
        return [None] * len(pictures)
    if is_folder(chosen):
        names = [chosen / f"{target.stem}_map.png" for target in targets]
        check_distinct(pictures, names)
        return [*names]
    if len(pictures) > 1:
        raise OptionError(f"--map {chosen} is one file, but there are {len(pictures)} pictures: give a folder.")
    return [chosen]


def _complain(error: TilestepError) -> None:
    print(printable(f"tilestep upscale: {error}"), file=sys.stderr, flush=True)
