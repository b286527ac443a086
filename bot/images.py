"""Pictures from strangers and for them: looked at, encoded under a limit, shown small. One door to the modules behind.

Nothing that a sender says of a file counts: not its name, type or size. The header decides what it is, the number of
pixels is checked before any is decoded, then every row is decoded once, in a thread with a time limit. Only libvips and
the readers of `upscaler.images` see such files; Pillow, whose own limit for bombs is another, never does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tilestep.bot.encoding import Encoded, encode_under
from tilestep.bot.naming import describe_image, describe_upscale, plain_text, result_name, safe_name
from tilestep.bot.previews import PreviewSink, grid, preview
from tilestep.bot.recipes import parameters_text, read_recipe, write_recipe
from tilestep.bot.threads import Overdue, Patience, run_bounded
from tilestep.upscaler.corruption.estimate import Sample, estimate_deblur, estimate_dejpeg
from tilestep.upscaler.errors import InputError, OutputError
from tilestep.upscaler.images.info import FileFormat, PictureInfo
from tilestep.upscaler.images.probe import ReadLimits, probe
from tilestep.upscaler.images.source import PictureSource

__all__ = [
    "Encoded",
    "PictureFacts",
    "PreviewSink",
    "ReadLimits",
    "describe_image",
    "describe_upscale",
    "encode_under",
    "grid",
    "inspect",
    "parameters_text",
    "plain_text",
    "preview",
    "read_recipe",
    "result_name",
    "safe_name",
    "write_recipe",
]

TIMEOUT_S = 30.0
READ_ROWS = 64
_ANY = 1 << 64
_BUSY = "Too many pictures are being read at the moment: try again in a minute."
_SLOW = "Reading the picture takes longer than {:g} seconds: save it again as an ordinary PNG or JPEG and use that."


@dataclass(frozen=True)
class PictureFacts:
    """What a picture is, all of it decoded once without a fault. Width and height are those of the upright picture.

    `dejpeg` and `deblur`: estimated corruption, 0 to 1, as the engine wants them.
    """

    format: FileFormat
    width_px: int
    height_px: int
    has_alpha: bool
    dejpeg: float
    deblur: float
    animated: bool = False


async def inspect(
    picture: Path | bytes, limits: ReadLimits, timeout_s: float = TIMEOUT_S, folder: Path | None = None
) -> PictureFacts:
    """Looks at a file, or at bytes, which lie in a temporary file in `folder` meanwhile. Raises InputError in words.

    Animations and files of several pages are refused.
    """
    try:
        return await run_bounded(lambda patience: _inspect(picture, limits, folder, patience), timeout_s)
    except Overdue as overdue:
        raise InputError(_SLOW.format(timeout_s) if overdue.started else _BUSY) from overdue


def _inspect(picture: Path | bytes, limits: ReadLimits, folder: Path | None, patience: Patience) -> PictureFacts:
    with _on_disk(picture, folder) as path:
        try:
            info = probe(path, ReadLimits(_ANY))
            _check_size(info, limits)
            return _decoded(info, path.parent if folder is None else folder, patience)
        except InputError as error:
            raise InputError(_without_path(str(error), path)) from error
        except OutputError as error:
            raise InputError("There is no disk space left to unpack the picture here: try again later.") from error


def _decoded(info: PictureInfo, folder: Path, patience: Patience) -> PictureFacts:
    """Reads every row, then estimates from a sample."""
    patience.check()
    with PictureSource(info, folder) as source:
        for row in range(0, source.height, READ_ROWS):
            patience.check()
            source.read(row, min(row + READ_ROWS, source.height))
        sample = Sample(tuple(source.sample()))
        patience.check()
        dejpeg = estimate_dejpeg(sample, info.tables.luma_first if info.tables else None)
        deblur = estimate_deblur(sample, dejpeg)
        return PictureFacts(info.format, source.width, source.height, source.has_alpha, dejpeg, deblur)


def _check_size(info: PictureInfo, limits: ReadLimits) -> None:
    pixels = info.width * info.height
    if pixels > limits.max_pixels:
        raise InputError(
            f"The picture has {info.width}x{info.height} pixels, {pixels / 1e6:.6g} megapixels, and "
            f"{limits.max_pixels / 1e6:.6g} are taken at most: make it smaller first."
        )


def _without_path(text: str, path: Path) -> str:
    """The sentence without the name of a file that only we know."""
    text = text.removeprefix(f"{path}: ").replace(str(path), "The picture")
    return text[:1].upper() + text[1:]


@contextmanager
def _on_disk(picture: Path | bytes, folder: Path | None) -> Iterator[Path]:
    if isinstance(picture, Path):
        yield picture
        return
    try:
        with tempfile.TemporaryDirectory(prefix="tilestep-", dir=folder) as name:
            path = Path(name) / "picture"
            path.write_bytes(picture)
            yield path
    except OSError as error:
        raise InputError("There is no disk space left to look at the picture here: try again later.") from error
