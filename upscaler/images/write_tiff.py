"""TIFF files, band by band: a band is a strip, compressed by itself (Adobe deflate, horizontal differences)."""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

from tilestep.upscaler.images import exif
from tilestep.upscaler.images.encoder import Band, Layout
from tilestep.upscaler.images.ifd import (
    BYTE,
    LONG,
    LONG8,
    SHORT,
    UNDEFINED,
    Entry,
    directory_bytes,
    integers,
)

COMPRESSION_LEVEL = 2
CLASSIC_BYTES = 0xF0000000
"""Largest uncompressed picture in a classic TIFF file, whose offsets end at 4 GiB; above that it is BigTIFF."""
_DEFLATE, _HORIZONTAL, _UNASSOCIATED = 8, 2, 2
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825


class TiffEncoder:
    """Writes strips one after the other and the directory behind them, in the byte order of the EXIF data."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.band_rows = layout.band_rows()
        tags = exif.tags_of_block(layout.metadata.exif) if layout.metadata.exif else None
        self._tags = tags or exif.ExifTags("<")
        self._big = layout.row_bytes * layout.height > CLASSIC_BYTES
        self._offsets: list[int] = []
        self._sizes: list[int] = []

    def begin(self, file: BinaryIO) -> None:
        mark = b"II" if self._tags.order == "<" else b"MM"
        file.write(mark + (self._pack("HHHQ", 43, 8, 0, 0) if self._big else self._pack("HI", 42, 0)))

    def compress(self, band: Band) -> bytes:
        rows = band.rows.copy()
        rows[:, 1:] -= band.rows[:, :-1]
        return zlib.compress(rows.astype(f"{self._tags.order}u{rows.itemsize}").data, COMPRESSION_LEVEL)

    def append(self, file: BinaryIO, compressed: bytes) -> None:
        self._offsets.append(file.tell())
        self._sizes.append(len(compressed))
        file.write(compressed + b"\0" * (len(compressed) % 2))

    def end(self, file: BinaryIO) -> None:
        entries = {tag: entry for tag, entry in self._tags.main.items() if tag in exif.DESCRIPTIVE}
        entries |= {entry.tag: entry for entry in self._own_entries()}
        for tag, child in ((_EXIF_IFD, self._tags.exif), (_GPS_IFD, self._tags.gps)):
            if child:
                entries[tag] = integers(tag, LONG8 if self._big else LONG, [file.tell()], self._tags.order)
                self._write_directory(file, child)
        start = file.tell()
        self._write_directory(file, entries)
        file.seek(8 if self._big else 4)
        file.write(self._pack("Q" if self._big else "I", start))

    def _write_directory(self, file: BinaryIO, entries: dict[int, Entry]) -> None:
        data = directory_bytes(entries.values(), self._tags.order, file.tell(), self._big)
        file.write(data + b"\0" * (len(data) % 2))

    def _own_entries(self) -> list[Entry]:
        """What says how the pixels are stored, and the blocks that are not EXIF."""
        layout, order, place = self._layout, self._tags.order, LONG8 if self._big else LONG
        has_alpha = layout.bands in (2, 4)
        shorts = {258: [layout.bits] * layout.bands, 259: [_DEFLATE], 262: [2 if layout.bands > 2 else 1], 274: [1]}
        shorts |= {277: [layout.bands], 284: [1], 317: [_HORIZONTAL]} | ({338: [_UNASSOCIATED]} if has_alpha else {})
        entries = [integers(tag, SHORT, values, order) for tag, values in shorts.items()]
        longs = {256: layout.width, 257: layout.height, 278: min(self.band_rows, layout.height)}
        entries += [integers(tag, LONG, [value], order) for tag, value in longs.items()]
        entries += [integers(273, place, self._offsets, order), integers(279, place, self._sizes, order)]
        blocks = ((700, BYTE, layout.metadata.xmp), (34675, UNDEFINED, layout.metadata.icc))
        return entries + [Entry(tag, kind, len(data), data) for tag, kind, data in blocks if data]

    def _pack(self, codes: str, *values: int) -> bytes:
        return struct.pack(self._tags.order + codes, *values)
