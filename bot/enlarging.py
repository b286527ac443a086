"""One picture that the tile engine enlarges, its files opened only when its turn comes.

Of a thousand jobs that wait, none has a file open: the engine asks the source whether its rows are ready, and hears no
until they are.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tilestep.bot.disk import PART, sync_folder
from tilestep.bot.gpu.imports import import_gently
from tilestep.bot.images import PictureFacts, PreviewSink
from tilestep.bot.live import Small
from tilestep.bot.requests import UpscaleOptions
from tilestep.bot.threads import Overdue, Patience, run_bounded
from tilestep.upscaler.errors import InputError
from tilestep.upscaler.images.probe import probe
from tilestep.upscaler.images.result import plan_result
from tilestep.upscaler.images.sink import PictureSink, unwritable
from tilestep.upscaler.images.source import PictureSource
from tilestep.upscaler.tiling.rows import FinishedRows, SourceRows

if TYPE_CHECKING:
    from tilestep.bot.tasks.upscale import UpscaleOrder

SLOW = "Reading the picture took longer than {:g} seconds: try again."


class Enlarging:
    """From the bytes of a picture to a PNG file beside which nothing is left over.

    `folder`: the job's; `target`: the result, in it. `preview_px`: longest side of the small copy.
    """

    def __init__(self, facts: PictureFacts, scale: int, folder: Path, target: Path, preview_px: int) -> None:
        self.facts, self._scale, self._folder, self._target = facts, scale, folder, target
        self._preview_px = preview_px
        self._kept = folder / f".{secrets.token_hex(6)}{PART}"
        self._source: PictureSource | None = None
        self._sink: PictureSink | None = None
        self._shown: PreviewSink | None = None

    async def order(self, options: UpscaleOptions, most_steps: int) -> UpscaleOrder:
        """What the GPU is asked for."""
        await asyncio.to_thread(import_gently, "tilestep.bot.tasks.upscale")  # torch, if nothing else has needed it yet
        from tilestep.bot.tasks.upscale import UpscaleOrder

        facts = self.facts
        return UpscaleOrder(
            _LateSource(self),
            _LateSink(self),
            options.quality or "balanced",
            options.scale,
            options.seed or 0,
            facts.dejpeg,
            facts.deblur,
            options.steps,
            most_steps,
        )

    async def open(self, data: bytes, limit_s: float) -> tuple[str, ...]:
        """Makes the rows ready; gives sentences on what the result cannot hold. Raises InputError and OutputError."""
        while True:
            try:
                return await run_bounded(lambda patience: self._open(data, patience), limit_s)
            except Overdue as overdue:
                if overdue.started:
                    raise InputError(SLOW.format(limit_s)) from overdue

    def small(self) -> Small | None:
        """Gives what there is so far, small."""
        return self._shown.picture if self._shown else None

    def finish(self) -> None:
        """The result is on disk under its name, also after a power cut; blocks. Raises OutputError."""
        assert self._sink is not None
        self._sink.finish()
        try:
            sync_folder(self._folder)
        except OSError as error:
            raise unwritable(self._target, error) from error

    def close(self) -> None:
        """Lets go of everything but a finished result; blocks a little. The engine is done with it."""
        if self._sink:
            self._sink.abort()
        if self._source:
            self._source.close()
        with suppress(OSError):
            self._kept.unlink(missing_ok=True)

    def _open(self, data: bytes, patience: Patience) -> tuple[str, ...]:
        source: PictureSource | None = None
        sink: PictureSink | None = None
        try:
            try:
                self._kept.write_bytes(data)
            except OSError as error:
                raise unwritable(self._target, error) from error
            source = PictureSource(probe(self._kept), self._folder)
            result = plan_result(source, self._target, self._scale, "png")
            sink = PictureSink(result, overwrite=True)
            patience.check()
        except BaseException:
            for opened in (sink, source):
                if opened:
                    opened.__exit__(None, None, None)
            raise
        width, height = result.layout.width, result.layout.height
        self._source, self._sink = source, sink
        self._shown = PreviewSink(sink, width, height, self._preview_px)
        return result.notes


class _LateSource:
    """The rows, once they are there."""

    def __init__(self, work: Enlarging) -> None:
        self._work = work
        self.width, self.height = work.facts.width_px, work.facts.height_px
        self.channels = 3 + work.facts.has_alpha

    def ready(self, stop: int) -> bool:
        return self._work._shown is not None

    def read(self, start: int, stop: int) -> SourceRows:
        assert self._work._source is not None
        return self._work._source.read(start, stop)


class _LateSink:
    """Where rows go; there is no row before the source was opened."""

    def __init__(self, work: Enlarging) -> None:
        self._work = work

    def room(self, rows: int) -> bool:
        return True

    def write(self, rows: FinishedRows) -> None:
        assert self._work._shown is not None
        self._work._shown.write(rows)
