"""Baseline JPEG files, band by band: restart intervals (ITU-T T.81, E.1.4) let bands be encoded beside each other.

libjpeg, through Pillow, encodes each band as a picture of its own, all with the same tables. Their scans, joined by
restart markers, are the scan of the whole picture.
"""

from __future__ import annotations

from io import BytesIO
from typing import BinaryIO

import numpy as np
from PIL import Image

from tilestep.upscaler.images.encoder import Band, Layout
from tilestep.upscaler.images.metadata import ICC_PIECE_BYTES, pieces
from tilestep.upscaler.images.read_jpeg import (
    APP1,
    APP2,
    APP13,
    EXIF_PREFIX,
    ICC_PREFIX,
    IPTC_PREFIX,
    SOS,
    XMP_PREFIX,
)

QUALITY = 95
_BLOCK_PX = 8
_MAX_INTERVAL = 65535
_APP0, _SOF0, _DRI, _RST0, _END = 0xE0, 0xC0, 0xDD, 0xD0, b"\xff\xd9"


class JpegEncoder:
    """Writes grey or RGB at quality 95 without chroma subsampling."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        blocks_across = -(-layout.width // _BLOCK_PX)
        self.band_rows = _BLOCK_PX * min(layout.band_rows(_BLOCK_PX) // _BLOCK_PX, _MAX_INTERVAL // blocks_across)
        self._interval = blocks_across * self.band_rows // _BLOCK_PX
        self._bands_written = 0

    def begin(self, file: BinaryIO) -> None:
        blank = np.zeros((_BLOCK_PX, self._layout.width, self._layout.bands), np.uint8)
        segments, _ = _taken_apart(_encoded(blank))
        file.write(b"\xff\xd8")
        for marker, data in segments:
            if marker == _SOF0:
                data = data[:1] + self._layout.height.to_bytes(2, "big") + data[3:]
            elif marker == SOS:
                _write_segment(file, _DRI, self._interval.to_bytes(2, "big"))
            _write_segment(file, marker, data)
            if marker == _APP0:
                self._write_metadata(file)

    def compress(self, band: Band) -> bytes:
        return _taken_apart(_encoded(band.rows))[1]

    def append(self, file: BinaryIO, compressed: bytes) -> None:
        if self._bands_written:
            file.write(bytes([0xFF, _RST0 + (self._bands_written - 1) % 8]))
        self._bands_written += 1
        file.write(compressed)

    def end(self, file: BinaryIO) -> None:
        file.write(_END)

    def _write_metadata(self, file: BinaryIO) -> None:
        metadata = self._layout.metadata
        for marker, prefix, data in (
            (APP1, EXIF_PREFIX, metadata.exif),
            (APP1, XMP_PREFIX, metadata.xmp),
            (APP13, IPTC_PREFIX, metadata.iptc),
        ):
            if data:
                _write_segment(file, marker, prefix + data)
        parts = pieces(metadata.icc or b"", ICC_PIECE_BYTES)
        for number, part in enumerate(parts, 1):
            _write_segment(file, APP2, ICC_PREFIX + bytes([number, len(parts)]) + part)


def _encoded(rows: np.ndarray) -> bytes:
    """A JPEG file of (rows, width, 1 or 3) uint8, Huffman tables of T.81's Annex K."""
    buffer = BytesIO()
    picture = Image.fromarray(rows[..., 0] if rows.shape[2] == 1 else rows)
    picture.save(buffer, "JPEG", quality=QUALITY, subsampling=0, optimize=False, progressive=False)
    return buffer.getvalue()


def _taken_apart(file: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The segments (marker, data) up to the start of the scan, and the scan's data."""
    segments, at = list[tuple[int, bytes]](), 2
    while not segments or segments[-1][0] != SOS:
        marker, size = file[at + 1], int.from_bytes(file[at + 2 : at + 4], "big")
        segments.append((marker, file[at + 4 : at + 2 + size]))
        at += 2 + size
    return segments, file[at : -len(_END)]


def _write_segment(file: BinaryIO, marker: int, data: bytes) -> None:
    file.write(bytes([0xFF, marker]) + (len(data) + 2).to_bytes(2, "big") + data)
