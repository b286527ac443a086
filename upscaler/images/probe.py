"""Looks at a picture file before anything is decoded, by content and not by name."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tilestep.upscaler.errors import InputError
from tilestep.upscaler.images.info import NAMES, FileFormat, PictureInfo
from tilestep.upscaler.images.read_jpeg import read_jpeg
from tilestep.upscaler.images.read_png import SIGNATURE, read_png
from tilestep.upscaler.images.read_tiff import read_tiff
from tilestep.upscaler.images.read_webp import read_webp

_READERS: dict[FileFormat, Callable[[Path, BinaryIO], PictureInfo]] = {
    "png": read_png,
    "jpeg": read_jpeg,
    "webp": read_webp,
    "tiff": read_tiff,
}
_READABLE = "PNG, JPEG, WebP or TIFF"
_MARK_BYTES = 16


@dataclass(frozen=True)
class ReadLimits:
    """What is refused from the header alone: more than `max_pixels` pixels, width times height."""

    max_pixels: int = 1_000_000_000


def probe(path: Path | str, limits: ReadLimits | None = None) -> PictureInfo:
    """What a picture file is. No pixel is decoded. Raises InputError, one line, with the file's name."""
    path = Path(path)
    try:
        info = _read_header(path)
        _check(info, limits or ReadLimits())
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    return info


def format_of(mark: bytes) -> FileFormat | None:
    """The format that a file's first 16 bytes announce, among those that are read."""
    if mark.startswith(SIGNATURE):
        return "png"
    if mark.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if mark[:4] == b"RIFF" and mark[8:12] == b"WEBP":
        return "webp"
    return "tiff" if mark[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") else None


def _read_header(path: Path) -> PictureInfo:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise InputError("This is a folder, not a picture.")
    if not stat.S_ISREG(mode):
        raise InputError("This is not an ordinary file: save the picture to a file first.")
    with path.open("rb") as file:
        mark = file.read(_MARK_BYTES)
        if not mark:
            raise InputError("The file is empty: download or save it again.")
        if (file_format := format_of(mark)) is None:
            raise InputError(_other(mark))
        return _READERS[file_format](path, file)


def _check(info: PictureInfo, limits: ReadLimits) -> None:
    name = NAMES[info.format]
    if info.animated:
        what = "several pages" if info.format == "tiff" else "an animation"
        raise InputError(f"The {name} file is {what}; only single pictures are upscaled. Save one of them on its own.")
    if not info.width or not info.height:
        raise InputError(
            f"The {name} file says that it is {info.width}x{info.height} pixels: there is nothing to upscale. "
            "Save it again."
        )
    if info.width * info.height > limits.max_pixels:
        raise InputError(
            f"{info.width}x{info.height} is {info.width * info.height / 1e6:.6g} megapixels, more than the limit of "
            f"{limits.max_pixels / 1e6:.6g}: give a smaller picture or raise the limit (--max-pixels)."
        )


def _other(mark: bytes) -> str:
    """Words for a file that is not read."""
    if mark[:6] in (b"GIF87a", b"GIF89a"):
        return f"GIF files, mostly animations, are not read: save a single picture as {_READABLE}."
    known = {
        "HEIC or AVIF": mark[4:8] == b"ftyp" and mark[8:11] in (b"hei", b"hev", b"mif", b"msf", b"avi"),
        "video": mark[4:8] == b"ftyp" or mark[:4] == b"\x1a\x45\xdf\xa3",
        "BMP": mark[:2] == b"BM",
        "PDF": mark[:5] == b"%PDF-",
        "Photoshop": mark[:4] == b"8BPS",
        "JPEG XL": mark[:2] == b"\xff\x0a" or mark[:12] == b"\0\0\0\x0cJXL \r\n\x87\n",
        "SVG": b"<svg" in mark,
    }
    name = next((name for name, there in known.items() if there), None)
    return f"{name} files are not read: save as {_READABLE}." if name else f"This is not a picture: give {_READABLE}."
