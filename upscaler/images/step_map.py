"""A picture of where the steps were spent: the result in grey under the tiles' colours, with a legend."""

from __future__ import annotations

import io
import os
import secrets
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tilestep.upscaler.images.result import FinishedRows
from tilestep.upscaler.images.sink import unwritable
from tilestep.upscaler.tiling.rows import RowSink

LONGEST_SIDE_PX = 2048
SHORTEST_LEGEND_PX = 360
OPACITY = 0.55
_ANCHORS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
"""Five colours of viridis (S. van der Walt, N. Smith; CC0): dark is few steps, bright is many."""
_BT601 = np.array([0.299, 0.587, 0.114], np.float32)
_TEXT_PX, _GAP_PX, _BOX_PX = 14, 6, 14


class StepMap:
    """Collects a small copy of the rows that pass and the steps of the tiles, whatever the size of the picture.

    `width` and `height` are those of the result in pixels, `scale` how much larger it is than the source.
    """

    def __init__(self, width: int, height: int, scale: int) -> None:
        self._factor = -(-max(width, height) // LONGEST_SIDE_PX)
        self._width, self._scale = width, scale
        columns, rows = -(-width // self._factor), -(-height // self._factor)
        self._sums: NDArray[np.float32] = np.zeros((rows, columns), np.float32)
        self._counts: NDArray[np.float32] = np.zeros((rows, 1), np.float32)
        self._steps: NDArray[np.int16] = np.zeros((rows, columns), np.int16)
        self._tiles: Counter[int] = Counter()
        self._row = 0

    def add_rows(self, rows: FinishedRows) -> None:
        """The next rows of the result, (n, width, 3 or 4), nominally in [0, 1]."""
        grey = np.clip(rows[..., :3] @ _BT601, 0, 1)
        starts = np.arange(0, self._width, self._factor)
        widths = np.diff(starts, append=self._width)
        for line in np.add.reduceat(grey, starts, axis=1) / widths:
            self._sums[self._row // self._factor] += line
            self._counts[self._row // self._factor] += 1
            self._row += 1

    def add_tile(self, columns: range, rows: range, steps: int) -> None:
        """A finished tile: the source's pixels that it covers, and its steps."""
        across, down = (
            slice(side.start * self._scale // self._factor, -(-side.stop * self._scale // self._factor))
            for side in (columns, rows)
        )
        self._steps[down, across] = steps
        self._tiles[steps] += 1

    def draw(self) -> Image.Image:
        """The map with its legend, RGB."""
        most = max(self._tiles, default=0)
        palette = np.array([colour_of(steps, most) for steps in range(most + 1)], np.float32)
        grey = 255 * self._sums / np.maximum(self._counts, 1)
        blended = (1 - OPACITY) * grey[..., None] + OPACITY * palette[self._steps]
        picture = Image.fromarray((blended + 0.5).astype(np.uint8))
        enlargement = max(-(-SHORTEST_LEGEND_PX // picture.width), 1) if picture.height < SHORTEST_LEGEND_PX else 1
        picture = picture.resize((picture.width * enlargement, picture.height * enlargement), Image.Resampling.NEAREST)
        return _with_legend(picture, self._tiles, most)

    def save(self, path: Path) -> None:
        """Writes a PNG file, whole or not at all. Raises OutputError."""
        buffer = io.BytesIO()
        self.draw().save(buffer, "PNG")
        temporary = path.parent / f".tilestep-{secrets.token_hex(6)}.part"
        try:
            temporary.write_bytes(buffer.getvalue())
            temporary.replace(path)
        except OSError as error:
            raise unwritable(path, error) from error
        finally:
            if os.path.lexists(temporary):
                temporary.unlink()


def colour_of(steps: int, most: int) -> tuple[int, int, int]:
    """RGB of a number of steps, 0 to `most`."""
    place = steps / most * (len(_ANCHORS) - 1) if most else 0.0
    low = min(int(place), len(_ANCHORS) - 2)
    pairs = zip(_ANCHORS[low], _ANCHORS[low + 1], strict=True)
    red, green, blue = (round(a + (b - a) * (place - low)) for a, b in pairs)
    return red, green, blue


def _with_legend(picture: Image.Image, tiles: Counter[int], most: int) -> Image.Image:
    """A line of colours under the picture, broken where it is too long: steps, and how many tiles took them."""
    font = ImageFont.load_default(_TEXT_PX)
    entries = [
        (steps, f"{steps} step{'s' * (steps != 1)}: {tiles[steps]}") for steps in range(most + 1) if tiles[steps]
    ]
    width = max(picture.width, SHORTEST_LEGEND_PX)
    places, x, y = [], _GAP_PX, picture.height + _GAP_PX
    for steps, text in entries:
        needed = _BOX_PX + 3 * _GAP_PX + round(font.getlength(text))
        if x > _GAP_PX and x + needed > width:
            x, y = _GAP_PX, y + _TEXT_PX + 2 * _GAP_PX
        places.append((x, y, steps, text))
        x += needed
    canvas = Image.new("RGB", (width, y + _TEXT_PX + 2 * _GAP_PX), "white")
    canvas.paste(picture, (0, 0))
    draw = ImageDraw.Draw(canvas)
    for x, y, steps, text in places:
        draw.rectangle((x, y, x + _BOX_PX, y + _BOX_PX), fill=colour_of(steps, most), outline="black")
        draw.text((x + _BOX_PX + _GAP_PX, y - 2), text, fill="black", font=font)
    return canvas


class MappedSink:
    """Passes rows on to a sink and shows them to a step map."""

    def __init__(self, sink: RowSink, step_map: StepMap) -> None:
        self._sink, self._map = sink, step_map

    def room(self, rows: int) -> bool:
        return self._sink.room(rows)

    def write(self, rows: FinishedRows) -> None:
        self._map.add_rows(rows)
        self._sink.write(rows)
