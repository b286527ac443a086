"""One picture into one file with libvips, row by row where the format allows it; can be ended from outside."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyvips

from tilestep.bot.requests import ResultFormat
from tilestep.bot.threads import Patience
from tilestep.upscaler.images import libvips

_LOSSLESS_EFFORT, _EFFORT = 0, 2
"""libwebp's methods, 0 to 6: the higher ones take several times as long for files a tenth smaller."""


@dataclass(frozen=True)
class Rung:
    """One way to encode. `quality` None: without loss."""

    format: ResultFormat
    quality: int | None = None


class Output:
    """Where an encoder's bytes go: into a file while they are within the limit; all are counted.

    `failure`: what the file system refused, if it did.
    """

    def __init__(self, file: BinaryIO, limit_bytes: int, patience: Patience) -> None:
        self._file, self._limit_bytes, self._patience = file, limit_bytes, patience
        self.count = 0
        self.failure: OSError | None = None

    def target(self) -> pyvips.TargetCustom:
        """As libvips wants it."""
        target = pyvips.TargetCustom()
        target.on_write(self._write)
        return target

    def watch(self, picture: pyvips.Image) -> None:
        """Ends the encoder's work when nobody waits any more."""
        picture.set_progress(True)
        picture.signal_connect("eval", lambda image, _: self._patience.over and image.set_kill(True))

    def _write(self, data: bytes) -> int:
        self.count += len(data)
        if self._patience.over:
            return -1
        if self.count <= self._limit_bytes:
            try:
                self._file.write(data)
            except OSError as error:
                self.failure = error
                return -1
        return len(data)


def opened(path: Path, how: Rung, size: tuple[int, int]) -> pyvips.Image:
    """The PNG with 8 bits a sample, and of that size; without alpha for JPEG."""
    libvips.prepare()
    picture = pyvips.Image.pngload(os.fsencode(path), access="sequential", unlimited=True, fail_on="error")
    if picture.format == "ushort":
        picture = picture.cast("uchar", shift=True)
        picture = picture.copy(interpretation="srgb" if picture.bands > 2 else "b-w")
    if how.format == "jpeg" and picture.hasalpha():
        picture = picture.flatten(background=255)
    if size != (picture.width, picture.height):
        picture = picture.thumbnail_image(size[0], height=size[1], size="force")
    return picture


def save(picture: pyvips.Image, how: Rung, shrunk: bool, output: Output) -> None:
    """Encodes; `shrunk`: of the metadata only the colour profile stays. Raises pyvips.Error."""
    output.watch(picture)
    target = output.target()
    if how.format == "webp":
        if how.quality is None:
            picture.webpsave_target(target, lossless=True, exact=True, effort=_LOSSLESS_EFFORT, keep="all")
        else:
            picture.webpsave_target(target, Q=how.quality, effort=_EFFORT, keep="all")
    else:
        mode = "off" if (how.quality or 0) >= 90 else "auto"
        picture.jpegsave_target(target, Q=how.quality, subsample_mode=mode, keep="icc" if shrunk else "all")


@contextmanager
def whole_picture(how: Rung, patience: Patience) -> Iterator[None]:
    """WebP, which needs the whole picture in memory, one at a time."""
    if how.format != "webp":
        yield
        return
    while not _webp.acquire(timeout=0.1):
        patience.check()
    try:
        yield
    finally:
        _webp.release()


_webp = threading.Lock()
