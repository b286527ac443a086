"""Where a request stands: which tile comes next, which parts of a tile are still out, what is finished.

Knows no network: slots go out, finished pixels come back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tilestep.upscaler.handle import Handle
from tilestep.upscaler.request import TileOutcome, TileRequest
from tilestep.upscaler.slots import Slot
from tilestep.upscaler.tiling.alpha import bound_opacity, fill_transparent
from tilestep.upscaler.tiling.band import SourceBand
from tilestep.upscaler.tiling.canvas import Canvas
from tilestep.upscaler.tiling.fixed import FixedPixels, encode
from tilestep.upscaler.tiling.plan import Tile, TilePlan
from tilestep.upscaler.tiling.rows import BAND_ROWS


@dataclass
class _Parts:
    """Colour and opacity of a tile as they come back; `alpha` is None in pictures without."""

    slots_out: int
    colour: Slot | None = None
    rgb: FixedPixels | None = None
    alpha: FixedPixels | None = None


class OpenRequest:
    """A request that is being worked on: source band, plan, canvas, and the tiles that are out."""

    def __init__(self, request: TileRequest, handle_id: int, plan: TilePlan, scale: int) -> None:
        source = request.source
        self.request = request
        self._plan = plan
        self._band = SourceBand(source)
        self._canvas = Canvas(self._plan, source.channels, scale)
        self._next = 0
        self._opacity: Slot | None = None
        self._out: dict[int, _Parts] = {}
        self.handle = Handle(handle_id, self._plan.count, request.quality.max_steps)

    @property
    def finished(self) -> bool:
        """Whether the sink has the whole picture."""
        return self._canvas.finished

    def can_take(self) -> bool:
        """Whether there is a slot to be begun: rows to read, and room for what becomes of them."""
        if self._opacity or self._next == self._plan.count:
            return self._opacity is not None
        tile = self._plan.tile(self._next)
        return self._canvas.has_room(tile.row) and self.request.sink.room(BAND_ROWS) and self._band.ready(tile.y)

    def take(self) -> Slot:
        """The next slot: a tile's colour, and after it, where it is not the same everywhere, its opacity."""
        if self._opacity:
            slot, self._opacity = self._opacity, None
            return slot
        tile = self._plan.tile(self._next)
        patch = self._band.patch(tile)
        self._next += 1
        slot = Slot(self, tile, patch[..., :3])
        self._out[tile.index] = parts = _Parts(slots_out=1)
        if patch.shape[2] == 4:
            slot.patch = fill_transparent(patch)
            self._plan_opacity(tile, patch[..., 3:], parts)
        return slot

    def _plan_opacity(self, tile: Tile, alpha: NDArray[np.float32], parts: _Parts) -> None:
        if alpha.min() == alpha.max():
            parts.alpha = encode(torch.from_numpy(alpha[:1, :1].copy())).numpy()
        else:
            self._opacity = Slot(self, tile, np.repeat(alpha, 3, axis=2), is_alpha=True)
            parts.slots_out += 1

    def give_back(self, slot: Slot, pixels: FixedPixels) -> Slot | None:
        """Takes a slot's finished pixels, (core, core, 3). If that finished a tile, its colour's slot."""
        parts = self._out[slot.tile.index]
        parts.slots_out -= 1
        if slot.is_alpha:
            grey = np.rint(pixels.mean(2, keepdims=True)).astype(np.int16)
            parts.alpha = bound_opacity(grey, slot.patch, self._plan.geometry.halo_px)
        else:
            parts.colour, parts.rgb = slot, pixels
        return None if parts.slots_out else self._finish_tile(self._out.pop(slot.tile.index))

    def _finish_tile(self, parts: _Parts) -> Slot:
        colour, pixels = parts.colour, parts.rgb
        assert colour is not None
        assert pixels is not None
        if parts.alpha is not None:
            alpha = np.broadcast_to(parts.alpha, (*pixels.shape[:2], 1))
            pixels = np.concatenate([pixels, alpha], axis=2)
        self._canvas.put(colour.tile, pixels)
        if self.request.on_tile:
            columns, rows = colour.tile.x.written, colour.tile.y.written
            self.request.on_tile(TileOutcome(columns, rows, colour.steps_done, colour.uncertainty))
        return colour

    def flush(self) -> None:
        """Passes finished rows on to the sink."""
        self._canvas.flush(self.request.sink)

    def forget(self) -> None:
        """Lets go of the tiles that are out."""
        self._opacity = None
        self._out.clear()
