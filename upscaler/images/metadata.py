"""Which of a picture's metadata a result of some format can hold, and what must be left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from tilestep.upscaler.images import exif
from tilestep.upscaler.images.info import NAMES, FileFormat, Metadata
from tilestep.upscaler.images.read_jpeg import EXIF_PREFIX, XMP_PREFIX
from tilestep.upscaler.images.read_png import text_keyword

ICC_PIECE_BYTES, MOST_ICC_PIECES = 65519, 255
"""A JPEG segment's share of a colour profile, and how many segments are counted (ICC.1, annex B.4)."""
_SEGMENT_BYTES = 65533
_MOST_WORDS = 5
_COLOUR_SPACE = slice(16, 20)
_TOO_LONG = "{} was left out: it is longer than the {} that JPEG has for it."
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)[2-8]""")
_TELLING = (b"gAMA", b"cHRM", b"cICP")


def for_result(
    metadata: Metadata, target: FileFormat, size: tuple[int, int], grey: bool, converted: bool, turned: bool = False
) -> tuple[Metadata, list[str]]:
    """What goes into the result, of (width, height) pixels, and a sentence for each thing that does not.

    `grey`: the result has one channel of colour. `converted`: the pixels are sRGB now, whatever they were.
    `turned`: they are upright now, whatever they were.
    """
    name, notes = NAMES[target], list[str]()
    if turned and metadata.xmp:
        metadata = replace(metadata, xmp=_XMP_ORIENTATION.sub(rb"\g<1>1", metadata.xmp))
    if metadata.exif:
        metadata = replace(metadata, exif=exif.for_result(metadata.exif, *size))
        if metadata.exif is None:
            notes.append("EXIF was left out: it is damaged.")
    if converted:
        metadata = replace(metadata, icc=None)
    if metadata.icc and metadata.icc[_COLOUR_SPACE] != (b"GRAY" if grey else b"RGB "):
        metadata = replace(metadata, icc=None)
        notes.append(f"The colour profile was left out: it is not one for the {'grey' if grey else 'RGB'} {name} file.")
    if target != "png":
        metadata, left_out = _without_png_chunks(metadata, name)
        notes += left_out
    if target != "jpeg" and metadata.iptc:
        metadata = replace(metadata, iptc=None)
        notes.append(f"IPTC data was left out: it is kept from JPEG to JPEG only, not to {name}.")
    if target == "jpeg":
        metadata, left_out = _without_long_segments(metadata)
        notes += left_out
    return metadata, notes


def _without_png_chunks(metadata: Metadata, name: str) -> tuple[Metadata, list[str]]:
    notes = []
    if metadata.png_text:
        words = list(dict.fromkeys(text_keyword(chunk) for chunk in metadata.png_text))
        more = [f"{len(words) - _MOST_WORDS} more"] if len(words) > _MOST_WORDS else []
        named = ", ".join([*words[:_MOST_WORDS], *more])
        notes.append(f"PNG text ({named}) was left out: {name} has no place for it; PNG keeps it.")
    kinds = [chunk.kind for chunk in metadata.png_colour]
    if not metadata.icc and b"sRGB" not in kinds and any(kind in kinds for kind in _TELLING):
        notes.append(f"The colour description of the PNG file was left out: {name} has no place for it.")
    return replace(metadata, png_text=(), png_colour=()), notes


def _without_long_segments(metadata: Metadata) -> tuple[Metadata, list[str]]:
    """JPEG keeps EXIF, XMP and IPTC in one segment of 64 KiB each, and a colour profile in 255 of them at most."""
    notes = []
    if len(metadata.exif or b"") + len(EXIF_PREFIX) > _SEGMENT_BYTES:
        metadata = replace(metadata, exif=None)
        notes.append(_TOO_LONG.format("EXIF", "64 KiB"))
    if len(metadata.xmp or b"") + len(XMP_PREFIX) > _SEGMENT_BYTES:
        metadata = replace(metadata, xmp=None)
        notes.append(_TOO_LONG.format("XMP", "64 KiB"))
    if len(metadata.icc or b"") > MOST_ICC_PIECES * ICC_PIECE_BYTES:
        metadata = replace(metadata, icc=None)
        notes.append(_TOO_LONG.format("The colour profile", "16 MiB"))
    return metadata, notes


def pieces(data: bytes, size: int) -> Sequence[bytes]:
    """The data cut into pieces of at most `size` bytes."""
    return [data[start : start + size] for start in range(0, len(data), size)]
