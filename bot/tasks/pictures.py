"""Pictures in memory (Pillow) as rows of the tile engine, a band at a time.

Pillow converts and copies while it keeps every other Python thread waiting, so a whole picture at once would hold up
the host; a band takes a fraction of a millisecond.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from tilestep.upscaler.tiling.rows import FinishedRows, SourceRows


class PictureRows:
    """A picture to read; it must not change meanwhile. Any mode; transparency is kept."""

    def __init__(self, picture: Image.Image) -> None:
        picture.load()
        self._picture = picture
        self._mode = "RGBA" if picture.has_transparency_data else "RGB"
        self.width, self.height = picture.size
        self.channels = len(self._mode)

    def ready(self, stop: int) -> bool:
        return True

    def read(self, start: int, stop: int) -> SourceRows:
        """Rows start..stop, (rows, width, channels) uint8."""
        return np.asarray(self._picture.crop((0, start, self.width, stop)).convert(self._mode))


class PictureSink:
    """A picture to write, 8 bits a channel."""

    def __init__(self, width: int, height: int, channels: int) -> None:
        self.picture = Image.new("RGBA" if channels == 4 else "RGB", (width, height), None)
        self._next = 0

    def room(self, rows: int) -> bool:
        return True

    def write(self, rows: FinishedRows) -> None:
        band = (np.clip(rows, 0, 1) * 255 + 0.5).astype(np.uint8)
        self.picture.paste(Image.fromarray(band), (0, self._next))
        self._next += len(rows)
