"""Headers of PNG files (W3C PNG, third edition; the animation chunks of APNG included)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tilestep.upscaler.errors import InputError
from tilestep.upscaler.images import exif
from tilestep.upscaler.images.info import Colour, Metadata, PictureInfo, PngChunk

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = b"XML:com.adobe.xmp"
MAX_KEPT_BYTES = 32 << 20
MAX_INFLATED_BYTES = 64 << 20
MAX_SMALL_CHUNKS, SMALL_BYTES = 10_000, 256
LONGEST_KEYWORD = 79
_COLOURS: dict[int, tuple[Colour, bool]] = {
    0: ("grey", False),
    2: ("rgb", False),
    3: ("palette", False),
    4: ("grey", True),
    6: ("rgb", True),
}
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_COLOUR_CHUNKS = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI")
_KEPT = (*_TEXT, *_COLOUR_CHUNKS, b"eXIf", b"iCCP")


def read_png(path: Path, file: BinaryIO) -> PictureInfo:
    """Walks the chunks; image data is stepped over. Raises InputError."""
    head, kept, animated, has_transparency = b"", list[PngChunk](), False, False
    for chunk in _chunks(file):
        if chunk.kind == b"IHDR":
            head = head or chunk.data
        elif chunk.kind == b"acTL":
            animated = animated or int.from_bytes(chunk.data[:4], "big") > 1
        elif chunk.kind == b"tRNS":
            has_transparency = True
        elif chunk.kind in _KEPT:
            kept.append(chunk)
    if len(head) != 13 or head[9] not in _COLOURS:
        raise InputError("The PNG file is damaged: its header is missing or wrong. Save it again with another program.")
    width, height, bits, _, _, _, interlace = struct.unpack(">IIBBBBB", head)
    colour, has_alpha = _COLOURS[head[9]]
    metadata = _metadata(kept)
    return PictureInfo(
        path=path,
        format="png",
        stored_width=width,
        stored_height=height,
        colour=colour,
        bits=bits,
        has_alpha=has_alpha or has_transparency,
        orientation=exif.orientation(metadata.exif) if metadata.exif else exif.UPRIGHT,
        animated=animated,
        stored_in_order=interlace == 0,
        metadata=metadata,
    )


def text_keyword(chunk: PngChunk) -> str:
    """The keyword of a text chunk, such as `parameters` or `prompt`."""
    return chunk.data.split(b"\0", 1)[0][:LONGEST_KEYWORD].decode("latin-1")


def _chunks(file: BinaryIO) -> Iterator[PngChunk]:
    """Chunks up to the end mark; those that are not of interest come without data."""
    file.seek(len(SIGNATURE))
    kept_bytes, small, complete = 0, 0, False
    while len(head := file.read(8)) == 8:
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        small += size < SMALL_BYTES
        if small > MAX_SMALL_CHUNKS:
            raise InputError("The PNG file consists of far too many pieces. Save it again with another program.")
        if kind == b"IEND":
            return
        if kind in (b"IHDR", b"acTL", *_KEPT):
            kept_bytes += size
            if kept_bytes > MAX_KEPT_BYTES:
                raise InputError("The PNG file holds more than 32 MiB of text and profiles: remove them and try again.")
            data = file.read(size + 4)
            if len(data) == size + 4 and zlib.crc32(head[4:] + data[:-4]) == int.from_bytes(data[-4:], "big"):
                yield PngChunk(kind, data[:-4])
            continue
        start = file.tell()
        complete = file.seek(0, 2) >= start + size + 4
        file.seek(start + size + 4)
        if kind == b"IDAT" and not complete:
            raise InputError("The PNG file is truncated: its end is missing. Download or save it again.")
        yield PngChunk(kind, b"")


def _metadata(chunks: list[PngChunk]) -> Metadata:
    """Sorts what was kept; refuses compressed text that grows out of proportion, as the decoder would unpack it too."""
    exif_block = icc = xmp = None
    text, inflate = list[PngChunk](), _Inflater()
    for chunk in chunks:
        if chunk.kind == b"eXIf":
            exif_block = chunk.data.removeprefix(b"Exif\0\0")
        elif chunk.kind == b"iCCP":
            icc = inflate(chunk.data.partition(b"\0")[2][1:])
        elif chunk.kind in _TEXT:
            content = _text(chunk, inflate)
            if chunk.kind == b"iTXt" and chunk.data.startswith(XMP_KEYWORD + b"\0"):
                xmp = content
            else:
                text.append(chunk)
    colour = tuple(chunk for chunk in chunks if chunk.kind in _COLOUR_CHUNKS)
    return Metadata(exif=exif_block, icc=icc, xmp=xmp, png_text=tuple(text), png_colour=colour)


def _text(chunk: PngChunk, inflate: _Inflater) -> bytes | None:
    _, _, rest = chunk.data.partition(b"\0")
    if chunk.kind == b"zTXt":
        return inflate(rest[1:])
    if chunk.kind == b"iTXt":
        compressed, body = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
        return inflate(body) if compressed else body
    return rest


class _Inflater:
    """Unpacks compressed text, up to `MAX_INFLATED_BYTES` of it in one file. Raises InputError above that."""

    def __init__(self) -> None:
        self._left = MAX_INFLATED_BYTES

    def __call__(self, data: bytes) -> bytes | None:
        unpacker = zlib.decompressobj()
        try:
            content = unpacker.decompress(data, self._left + 1)
        except zlib.error:
            return None
        self._left -= len(content)
        if self._left < 0:
            raise InputError("The PNG file holds text that unpacks to more than 64 MiB: remove its text and try again.")
        return content
