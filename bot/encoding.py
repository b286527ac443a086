"""A finished PNG as a file that may be posted: itself if it fits, else the best that does.

The ladder: PNG, lossless WebP, WebP of quality 95 and 90, JPEG of quality 95, 90 and 80, then a smaller JPEG. libvips
reads the PNG row by row; JPEG needs a few rows at a time, WebP the whole picture, so that very large ones skip it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyvips

from tilestep.bot.encoders import Output, Rung, opened, save, whole_picture
from tilestep.bot.requests import ResultFormat
from tilestep.bot.threads import Overdue, Patience, run_bounded
from tilestep.upscaler.errors import InputError, OutputError
from tilestep.upscaler.images.info import NAMES, PictureInfo
from tilestep.upscaler.images.probe import probe
from tilestep.upscaler.images.result import LONGEST_SIDE
from tilestep.upscaler.images.sink import unwritable

MIB = 1 << 20
RUNG_LIMIT_S = 120.0
"""After so long a rung is left for the next; those further down are faster."""
WEBP_PIXELS = 20_000_000
"""Largest picture that is made into WebP: its encoder holds it all, in 6 bytes a pixel, without loss in 18."""
HOPELESS = 2
"""WebP without loss is about three quarters of a PNG: where the PNG is so many times too large it is not tried."""
SHRINKS = 8
LADDER = (
    Rung("png"),
    Rung("webp"),
    Rung("webp", 95),
    Rung("webp", 90),
    Rung("jpeg", 95),
    Rung("jpeg", 90),
    Rung("jpeg", 80),
)
SMALLER = len(LADDER)
_FIRST: dict[ResultFormat, int] = {"png": 0, "webp": 1, "jpeg": 4}


@dataclass(frozen=True)
class Encoded:
    """A file that is no larger than was asked for. `note`: what was done to it, sentences for people, or empty.

    `rung`: where on the ladder it stands; `start_at=rung + 1` goes on below it.
    """

    path: Path
    format: ResultFormat
    bytes: int
    note: str = ""
    rung: int = 0
    width_px: int = 0
    height_px: int = 0


async def encode_under(path: Path, wanted: ResultFormat, limit_bytes: int, folder: Path, start_at: int = 0) -> Encoded:
    """The finished PNG at `path` in the format wanted, or the first further down that takes `limit_bytes` at most.

    New files are made in `folder`, named after `path`; the PNG itself is handed back where it fits. Raises OutputError.
    """
    ladder = _Ladder(path, wanted, limit_bytes, folder)
    await ladder.look()
    for rung in range(max(start_at, _FIRST[wanted]), SMALLER + SHRINKS):
        if encoded := await ladder.attempt(rung):
            return encoded
    raise OutputError(
        f"Even much smaller the picture does not fit into the {_mib(limit_bytes)} that can be posted here: ask for a "
        "smaller scale or another channel."
    )


class _Ladder:
    """One picture on its way down; knows how large what it tried became."""

    def __init__(self, path: Path, wanted: ResultFormat, limit_bytes: int, folder: Path) -> None:
        self._path, self._wanted, self._limit_bytes, self._folder = path, wanted, limit_bytes, folder
        self._last_jpeg_bytes: int | None = None

    async def look(self) -> None:
        """Reads the header. Raises OutputError."""
        try:
            self._info = await run_bounded(lambda _: probe(self._path), RUNG_LIMIT_S)
        except (Overdue, InputError) as error:
            raise OutputError("The finished picture cannot be read from the disk: try again.") from error

    async def attempt(self, rung: int) -> Encoded | None:
        """The picture at that rung; None when it does not fit, or takes too long to make."""
        try:
            return await run_bounded(lambda patience: self._attempt(rung, patience), RUNG_LIMIT_S)
        except Overdue:
            return None

    def _attempt(self, rung: int, patience: Patience) -> Encoded | None:
        if rung == 0:
            return self._itself()
        if rung < SMALLER:
            how, size = LADDER[rung], (self._info.width, self._info.height)
        else:
            how, size = LADDER[-1], self._smaller(rung, patience)
        if not _can_hold(how, size) or (rung == 1 and self._path.stat().st_size > HOPELESS * self._limit_bytes):
            return None
        target = self._folder / f"{self._path.stem}.{rung}.{'jpg' if how.format == 'jpeg' else how.format}"
        written = self._write(how, size, target, patience)
        if how == LADDER[-1] and rung < SMALLER:
            self._last_jpeg_bytes = written
        if written > self._limit_bytes:
            return None
        return Encoded(target, how.format, written, self._note(rung, size), rung, *size)

    def _itself(self) -> Encoded | None:
        count = self._path.stat().st_size
        if count > self._limit_bytes:
            return None
        return Encoded(self._path, "png", count, "", 0, self._info.width, self._info.height)

    def _smaller(self, rung: int, patience: Patience) -> tuple[int, int]:
        """Sides that should bring the file under the limit, shorter from rung to rung."""
        info = self._info
        if self._last_jpeg_bytes is None and _can_hold(LADDER[-1], (info.width, info.height)):
            self._last_jpeg_bytes = self._write(LADDER[-1], (info.width, info.height), None, patience)
        expected = self._last_jpeg_bytes or self._path.stat().st_size
        factor = min(0.9 * (self._limit_bytes / expected) ** 0.5, LONGEST_SIDE["jpeg"] / max(info.width, info.height))
        factor = min(factor, 0.9) * 0.75 ** (rung - SMALLER)
        return max(int(info.width * factor), 1), max(int(info.height * factor), 1)

    def _write(self, how: Rung, size: tuple[int, int], target: Path | None, patience: Patience) -> int:
        """Encodes; gives the size in bytes, of which what is over the limit is counted and not kept."""
        temporary = self._folder / f".tilestep-{secrets.token_hex(6)}.part"
        try:
            with whole_picture(how, patience), temporary.open("xb") as file:
                output = Output(file, self._limit_bytes if target else 0, patience)
                save(opened(self._path, how, size), how, size != (self._info.width, self._info.height), output)
                file.flush()
                os.fsync(file.fileno())
            patience.check()
            if target and output.count <= self._limit_bytes:
                temporary.replace(target)
        except pyvips.Error as error:
            patience.check()
            if output.failure:
                raise unwritable(self._path, output.failure) from error
            raise OutputError(f"The finished picture cannot be encoded ({error.message}): try again.") from error
        except OSError as error:
            raise unwritable(self._path, error) from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        return output.count

    def _note(self, rung: int, size: tuple[int, int]) -> str:
        return " ".join(_sentences(rung, self._wanted, self._limit_bytes, self._info, size))


def _can_hold(how: Rung, size: tuple[int, int]) -> bool:
    return max(size) <= LONGEST_SIDE[how.format] and (how.format != "webp" or size[0] * size[1] <= WEBP_PIXELS)


def _sentences(
    rung: int, wanted: ResultFormat, limit_bytes: int, info: PictureInfo, size: tuple[int, int]
) -> Iterator[str]:
    how = LADDER[min(rung, SMALLER - 1)]
    if rung > _FIRST[wanted]:
        what = f"{NAMES[how.format]} of quality {how.quality}" if how.quality else f"lossless {NAMES[how.format]}"
        yield f"Posted as {what}: as {NAMES[wanted]} it does not fit into the {_mib(limit_bytes)} for a file here."
    if rung >= SMALLER:
        yield f"It was made smaller, {size[0]}x{size[1]} instead of {info.width}x{info.height} pixels."
    if info.has_alpha and how.format == "jpeg":
        yield "Transparency was laid on white."
    if info.bits > 8:
        yield "16 bits per sample became 8."


def _mib(count: int) -> str:
    return f"{count / MIB:.3g} MiB"
