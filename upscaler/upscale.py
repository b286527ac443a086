"""File to file: reads a picture in bands, enlarges it, and writes the result while it is made."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from tilestep.upscaler.corruption.estimate import Sample, estimate_deblur, estimate_dejpeg
from tilestep.upscaler.engine import EngineLimits, TileEngine, TileOutcome
from tilestep.upscaler.errors import OptionError, OutputError, TilestepError
from tilestep.upscaler.handle import AnyHandle, Progress
from tilestep.upscaler.images.info import FileFormat, PictureInfo
from tilestep.upscaler.images.probe import ReadLimits, probe
from tilestep.upscaler.images.result import check_size, format_for, plan_result
from tilestep.upscaler.images.sink import PictureSink, check_target
from tilestep.upscaler.images.source import PictureSource
from tilestep.upscaler.images.step_map import MappedSink, StepMap
from tilestep.upscaler.model.checkpoint import LoadedModel
from tilestep.upscaler.passes import SCALES, submit_chain
from tilestep.upscaler.quality import DEFAULT_PRESET, Quality, preset, with_steps
from tilestep.upscaler.runner import is_out_of_memory


@dataclass(frozen=True)
class UpscaleOptions:
    """How a picture is to be enlarged.

    `scale`: 2, 4 or 8. `steps`: exactly so many in every tile, instead of the preset's choice. `dejpeg` and `deblur`:
    how much corruption to undo, 0 to 1; None estimates it from the file. `file_format`: of the result, instead of what
    its name says. `map_path`: a PNG file to paint the steps per tile into (of the first pass, when there are several).
    `overwrite`: replace files that are there.
    """

    quality: str = DEFAULT_PRESET
    steps: int | None = None
    scale: int = 2
    seed: int = 0
    dejpeg: float | None = None
    deblur: float | None = None
    file_format: FileFormat | None = None
    map_path: Path | None = None
    overwrite: bool = False
    read_limits: ReadLimits = field(default_factory=ReadLimits)
    engine_limits: EngineLimits = field(default_factory=EngineLimits)


@dataclass(frozen=True)
class UpscaleResult:
    """What was done: sizes in pixels (width, height), tiles, denoising steps over all tiles, and seconds altogether.

    `notes` are sentences for the person: what was converted, and what the result's format could not hold.
    """

    source: Path
    target: Path
    source_size: tuple[int, int]
    target_size: tuple[int, int]
    tiles: int
    steps: int
    dejpeg: float
    deblur: float
    seconds: float
    notes: tuple[str, ...]


def upscale_file(
    source: Path | str,
    target: Path | str,
    model: LoadedModel,
    options: UpscaleOptions | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> UpscaleResult:
    """Enlarges one file; `on_progress` hears after every step of the engine.

    The target appears whole or not at all, also when an exception such as KeyboardInterrupt comes from anywhere, and
    never without its map. Raises TilestepError: InputError, OutputError or OptionError.
    """
    started, options = time.perf_counter(), options or UpscaleOptions()
    source, target = Path(source), Path(target)
    quality = _quality(model, options)
    info = probe(source, options.read_limits)
    _check(info, target, options)
    with PictureSource(info, _temporary_folder(target)) as picture:
        result = plan_result(picture, target, options.scale, options.file_format)
        dejpeg, deblur = _corruption(picture, options)
        step_map = StepMap(result.layout.width, result.layout.height, options.scale) if options.map_path else None
        with PictureSink(result, options.overwrite) as sink:
            engine = TileEngine(model, options.engine_limits)
            handle = submit_chain(
                engine,
                picture,
                MappedSink(sink, step_map) if step_map else sink,
                quality,
                options.scale,
                options.seed,
                dejpeg,
                deblur,
                _recorder(step_map),
            )
            _run(engine, handle, on_progress, source, model.device)
            sink.complete()
            if step_map and options.map_path:
                step_map.save(options.map_path)
            sink.finish()
    progress = handle.progress
    return UpscaleResult(
        source=source,
        target=target,
        source_size=(picture.width, picture.height),
        target_size=(result.layout.width, result.layout.height),
        tiles=progress.tiles_done,
        steps=progress.steps_done,
        dejpeg=dejpeg,
        deblur=deblur,
        seconds=time.perf_counter() - started,
        notes=result.notes,
    )


def _quality(model: LoadedModel, options: UpscaleOptions) -> Quality:
    quality = preset(options.quality, model.descriptor.calibration)
    return quality if options.steps is None else with_steps(quality, options.steps)


def _check(info: PictureInfo, target: Path, options: UpscaleOptions) -> None:
    """Refuses what cannot be written before anything is decoded."""
    if options.scale not in SCALES:
        raise OptionError(f"The scale is {options.scale}: give 2, 4 or 8.")
    for path in (target, options.map_path):
        if path and _is_same(path, info.path):
            raise OutputError(f"{path} is the picture itself: choose another name for the result.")
        if path:
            check_target(path, options.overwrite)
    if options.map_path and options.map_path.suffix.lower() != ".png":
        raise OptionError(f"{options.map_path}: the map is a PNG file; end its name in .png.")
    if options.map_path and os.path.realpath(options.map_path) == os.path.realpath(target):
        raise OptionError(f"{options.map_path}: the map and the result need names of their own.")
    target_format = format_for(target, options.file_format)
    check_size(target, target_format, info.width * options.scale, info.height * options.scale)


def _is_same(path: Path, source: Path) -> bool:
    """Whether both are one file; a path that cannot be looked at is none."""
    try:
        return path.samefile(source)
    except OSError:
        return False


def _temporary_folder(target: Path) -> Path | None:
    """Where an input that cannot be read in order is unpacked: TMPDIR if it is set, else beside the larger result.

    The system's usual folder often lies in memory.
    """
    return None if os.environ.get("TMPDIR") else target.parent


def _corruption(picture: PictureSource, options: UpscaleOptions) -> tuple[float, float]:
    """(dejpeg, deblur), estimated where they are not given."""
    dejpeg, deblur = options.dejpeg, options.deblur
    if dejpeg is not None and deblur is not None:
        return dejpeg, deblur
    sample, tables = Sample(tuple(picture.sample())), picture.info.tables
    if dejpeg is None:
        dejpeg = estimate_dejpeg(sample, tables.luma_first if tables else None)
    return dejpeg, estimate_deblur(sample, dejpeg) if deblur is None else deblur


def _recorder(step_map: StepMap | None) -> Callable[[TileOutcome], None] | None:
    if step_map is None:
        return None
    return lambda tile: step_map.add_tile(tile.columns, tile.rows, tile.steps)


def _run(
    engine: TileEngine,
    handle: AnyHandle,
    on_progress: Callable[[Progress], None] | None,
    source: Path,
    device: torch.device,
) -> None:
    while not handle.done:
        report = engine.step()
        if report is None and not handle.done:
            raise RuntimeError("the engine stands still though files are always ready")
        if on_progress:
            on_progress(handle.progress)
    if handle.error is None:
        return
    if is_out_of_memory(handle.error):
        raise TilestepError(_too_little_memory(source, device)) from handle.error
    raise handle.error


def _too_little_memory(source: Path, device: torch.device) -> str:
    if device.type == "cpu":
        return f"{source}: the memory does not suffice: close other programs."
    return f"{source}: not even one tile fits into the memory of {device}: close other programs or use --device cpu."
