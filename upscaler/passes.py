"""Scales above 2 as passes of the engine, each reading what the one before writes; and whole pictures in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tilestep.upscaler.engine import EngineLimits, TileEngine, TileOutcome, TileRequest
from tilestep.upscaler.errors import OptionError
from tilestep.upscaler.handle import ChainHandle, Handle
from tilestep.upscaler.model.checkpoint import LoadedModel
from tilestep.upscaler.quality import Quality
from tilestep.upscaler.tiling.rows import (
    ArraySink,
    ArraySource,
    FinishedRows,
    RowPipe,
    RowSink,
    RowSource,
    SourceRows,
)

SCALES = (2, 4, 8)


def submit_chain(
    engine: TileEngine,
    source: RowSource,
    sink: RowSink,
    quality: Quality,
    scale: int = 2,
    seed: int = 0,
    dejpeg: float = 0.0,
    deblur: float = 0.0,
    on_tile: Callable[[TileOutcome], None] | None = None,
) -> ChainHandle:
    """Enlarges by 2, 4 or 8 in one to three passes, of which each holds a band of rows only; they end together.

    The first pass undoes the corruption, and `on_tile` hears of its tiles. Raises OptionError.
    """
    if scale not in SCALES:
        raise OptionError(f"The scale is {scale}: give 2, 4 or 8.")
    parts: list[Handle] = []

    def end_all(part: Handle) -> None:
        if part.error or part.cancelled:
            engine.cancel(ChainHandle(tuple(parts)))

    pipes = [_pipe_after(engine, source, quality, number) for number in range(1, SCALES.index(scale) + 1)]
    targets = [*pipes, sink]
    first = TileRequest(source, targets[0], quality, seed, dejpeg, deblur, on_tile, end_all)
    parts.append(engine.submit(first))
    for pipe, target in zip(pipes, targets[1:], strict=True):
        parts.append(engine.submit(TileRequest(pipe, target, quality, seed, on_end=end_all)))
    return ChainHandle(tuple(parts))


def upscale_array(
    model: LoadedModel,
    picture: SourceRows,
    quality: Quality,
    scale: int = 2,
    seed: int = 0,
    dejpeg: float = 0.0,
    deblur: float = 0.0,
    limits: EngineLimits | None = None,
) -> FinishedRows:
    """A whole picture in memory, (H, W, 3 or 4) uint8 or uint16 -> (scale H, scale W, channels) float32 in [0, 1].

    Raises OptionError, ValueError for another kind of array, and whatever the network raises.
    """
    engine = TileEngine(model, limits)
    source = ArraySource(picture)
    sink = ArraySink(scale * source.height, scale * source.width, source.channels)
    handle = submit_chain(engine, source, sink, quality, scale, seed, dejpeg, deblur)
    while not handle.done:
        engine.step()
    if handle.error:
        raise handle.error
    return np.clip(sink.picture, 0, 1, out=sink.picture)


def _pipe_after(engine: TileEngine, source: RowSource, quality: Quality, passes: int) -> RowPipe:
    factor = engine.scale**passes
    return RowPipe(factor * source.width, factor * source.height, source.channels, engine.geometry(quality))
