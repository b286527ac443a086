"""Headers of WebP files (RFC 9649)."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from tilestep.upscaler.errors import InputError
from tilestep.upscaler.images import exif
from tilestep.upscaler.images.info import Metadata, PictureInfo

MAX_CHUNKS = 1000
_ANIMATION_FLAG, _ALPHA_FLAG = 0x02, 0x10
_KEPT = (b"ICCP", b"EXIF", b"XMP ")


def read_webp(path: Path, file: BinaryIO) -> PictureInfo:
    """Walks the chunks; image data is stepped over. Raises InputError."""
    chunks = _chunks(file)
    width, height, has_alpha = _size(chunks)
    flags = int.from_bytes(chunks.get(b"VP8X", b"")[:1], "little")
    block = chunks[b"EXIF"].removeprefix(b"Exif\0\0") if b"EXIF" in chunks else None
    return PictureInfo(
        path=path,
        format="webp",
        stored_width=width,
        stored_height=height,
        colour="rgb",
        bits=8,
        has_alpha=has_alpha or bool(flags & _ALPHA_FLAG) or b"ALPH" in chunks,
        orientation=exif.orientation(block) if block else exif.UPRIGHT,
        animated=bool(flags & _ANIMATION_FLAG),
        stored_in_order=False,
        metadata=Metadata(exif=block, icc=chunks.get(b"ICCP"), xmp=chunks.get(b"XMP ")),
    )


def _chunks(file: BinaryIO) -> dict[bytes, bytes]:
    """Chunks by name: whole where they are kept, else their first bytes."""
    end = file.seek(0, 2)
    file.seek(4)
    claimed = int.from_bytes(file.read(4), "little") + 8
    if claimed > end:
        raise InputError("The WebP file is truncated: its end is missing. Download or save it again.")
    file.seek(12)
    chunks: dict[bytes, bytes] = {}
    for _ in range(MAX_CHUNKS):
        if len(head := file.read(8)) < 8 or file.tell() >= claimed:
            break
        kind, size, start = head[:4], int.from_bytes(head[4:], "little"), file.tell()
        chunks.setdefault(kind, file.read(size if kind in _KEPT else min(size, 16)))
        file.seek(start + size + size % 2)
    return chunks


def _size(chunks: dict[bytes, bytes]) -> tuple[int, int, bool]:
    """Width and height in pixels and whether the image data itself has alpha."""
    lossless, lossy, extended = chunks.get(b"VP8L", b""), chunks.get(b"VP8 ", b""), chunks.get(b"VP8X", b"")
    if len(extended) >= 10:
        width, height = (int.from_bytes(extended[i : i + 3], "little") + 1 for i in (4, 7))
        return width, height, False
    if len(lossless) >= 5 and lossless[0] == 0x2F:
        bits = int.from_bytes(lossless[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    if len(lossy) >= 10 and lossy[3:6] == b"\x9d\x01\x2a":
        return int.from_bytes(lossy[6:8], "little") & 0x3FFF, int.from_bytes(lossy[8:10], "little") & 0x3FFF, False
    raise InputError("The WebP file is damaged: its header is missing or wrong. Save it again with another program.")
