"""WebP files, lossless. The format's encoder needs the whole picture, so that this one is not written band by band."""

from __future__ import annotations

from typing import BinaryIO

from PIL import Image

from tilestep.upscaler.images.encoder import Band, Layout

_EFFORT = 0
"""libwebp's method, 0 to 6: 0 takes a third of the time of the others for files a tenth larger."""


class WebpEncoder:
    """Collects the rows and compresses them at the end: 4 bytes a pixel, and as many again for the encoder."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.band_rows = layout.band_rows()
        self._picture = Image.new("RGBA" if layout.bands == 4 else "RGB", (layout.width, layout.height))
        self._row = 0

    def begin(self, file: BinaryIO) -> None:
        return None

    def compress(self, band: Band) -> bytes:
        return band.rows.tobytes()

    def append(self, file: BinaryIO, compressed: bytes) -> None:
        rows = len(compressed) // self._layout.row_bytes
        band = Image.frombytes(self._picture.mode, (self._layout.width, rows), compressed)
        self._picture.paste(band, (0, self._row))
        self._row += rows

    def end(self, file: BinaryIO) -> None:
        metadata = self._layout.metadata
        blocks = {"exif": metadata.exif, "icc_profile": metadata.icc, "xmp": metadata.xmp}
        present = {name: block for name, block in blocks.items() if block}
        self._picture.save(file, "WEBP", lossless=True, exact=True, method=_EFFORT, **present)
