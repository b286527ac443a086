"""Headers of TIFF files (TIFF 6.0, BigTIFF)."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from tilestep.upscaler.errors import InputError
from tilestep.upscaler.images import exif
from tilestep.upscaler.images.ifd import Directory, DirectoryError, DirectoryReader
from tilestep.upscaler.images.info import Colour, Metadata, PictureInfo

_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC = 254, 255, 256, 257, 258, 262
_ORIENTATION, _SAMPLES, _EXTRA, _SAMPLE_FORMAT = 274, 277, 338, 339
_XMP, _ICC, _SAMPLE_PLACES = 700, 34675, (273, 279, 324, 325, 288, 289)
_REDUCED, _MASK = 1, 4
_ASSOCIATED, _UNASSOCIATED = 1, 2
_UNSIGNED = (1, 4)
_READ_BITS = (1, 2, 4, 8, 16)
_COMPRESSION, _JPEG, _SUBSAMPLING, _YCBCR = 259, (6, 7), 530, 6
_COLOURS: dict[int, tuple[Colour, int]] = {
    0: ("grey", 1),
    1: ("grey", 1),
    2: ("rgb", 3),
    3: ("palette", 1),
    5: ("cmyk", 4),
    6: ("rgb", 3),
}
_DAMAGED = "The TIFF file is damaged: {}. Save it again with another program."


def read_tiff(path: Path, file: BinaryIO) -> PictureInfo:
    """Reads the directories of all pages. Raises InputError."""
    try:
        reader = DirectoryReader(file, skipped=_SAMPLE_PLACES)
        pages = [(number, page) for number, page in enumerate(reader.chain()) if _is_full(page)]
    except DirectoryError as error:
        raise InputError(_DAMAGED.format(error)) from error
    if not pages:
        raise InputError(_DAMAGED.format("it has no page of full size"))
    number, page = pages[0]
    colour, has_alpha = _samples(page)
    tags = exif.tags_of_tiff(reader, page)
    orientation = page.number(_ORIENTATION, exif.UPRIGHT)
    return PictureInfo(
        path=path,
        format="tiff",
        stored_width=page.number(_WIDTH, 0),
        stored_height=page.number(_HEIGHT, 0),
        colour=colour,
        bits=page.number(_BITS, 1),
        has_alpha=has_alpha,
        orientation=orientation if 1 <= orientation <= 8 else exif.UPRIGHT,
        animated=len(pages) > 1,
        page=number,
        metadata=Metadata(
            exif=exif.block_of_tags(tags) if tags else None,
            icc=_data(page, _ICC),
            xmp=_data(page, _XMP),
        ),
    )


def _is_full(page: Directory) -> bool:
    return not page.number(_SUBFILE, 0) & (_REDUCED | _MASK) and page.number(_OLD_SUBFILE, 1) != 2


def _samples(page: Directory) -> tuple[Colour, bool]:
    photometric = page.number(_PHOTOMETRIC, 1)
    if photometric not in _COLOURS:
        raise InputError(
            f"TIFF files of colour type {photometric}, such as Lab or camera raw, are not read: save as RGB TIFF."
        )
    if page.number(_SAMPLE_FORMAT, 1) not in _UNSIGNED or page.number(_BITS, 1) not in _READ_BITS:
        raise InputError(
            "TIFF files of signed, floating-point, 12-bit or 32-bit samples are not read: save as 16-bit TIFF."
        )
    is_jpeg = page.number(_COMPRESSION, 1) in _JPEG
    if photometric == _YCBCR and not is_jpeg and page.number(_SUBSAMPLING, 2) == 1:
        raise InputError("TIFF files of YCbCr samples without subsampling are not read: save as RGB TIFF.")
    colour, samples = _COLOURS[photometric]
    extra = page.number(_EXTRA, _UNASSOCIATED) in (_ASSOCIATED, _UNASSOCIATED)
    return colour, page.number(_SAMPLES, samples) > samples and extra


def _data(page: Directory, tag: int) -> bytes | None:
    entry = page.entries.get(tag)
    return entry.data if entry else None
