"""VAE decoding in pieces: each call of the decoder (one tile, one image of a batch, one frame) is a step."""

from __future__ import annotations

import logging
import math
from typing import Any

import torch
from torch import nn

from tilestep.bot.tasks.casting import cast_copy
from tilestep.bot.tasks.clones import before_forward, set_method, shallow_clone
from tilestep.bot.tasks.turns import Turns
from tilestep.upscaler.runner import is_out_of_memory

logger = logging.getLogger(__name__)

MIN_TILE_LATENTS = 8


def private_vae(vae: Any, turns: Turns, tile_px: int | None = None) -> Any:
    """A clone of a VAE whose decoder waits for its turn before each call.

    The VAE's own tiling, slicing and blending stay as they are, so the picture is the one that it makes alone.
    `tile_px` sets its tiling, for the clone only; when the device has no memory left for a tile, tiles are halved.
    Pipelines that cast the VAE in the middle of a run (SDXL in float16) get a copy of the weights that all who decode
    at that time share, so that two requests never change the weights below each other.
    """
    clone: Any = shallow_clone(vae)
    pieces = _Pieces(turns)
    _gate_decoder(clone, pieces)
    if tile_px is not None:
        set_tiling(clone, tile_px)

    def decode(self: Any, z: Any, *args: Any, **kwargs: Any) -> Any:
        while True:
            pieces.begin(piece_count(self, tuple(z.shape)))
            try:
                result = type(vae).decode(self, z, *args, **kwargs)
            except (RuntimeError, MemoryError) as error:
                if not (is_out_of_memory(error) and shrink_tiles(self, tuple(z.shape))):
                    raise
            else:
                pieces.end()
                return result

    def to(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        place = _asked_place(vae, *args, *kwargs.values())
        source = vae if place == _place(vae) else cast_copy(vae, *place)
        self.__dict__.update(_modules=dict(source._modules), _parameters=source._parameters, _buffers=source._buffers)
        self.__dict__["_weights_of"] = source
        _gate_decoder(self, pieces)
        return self

    if "decode" not in vae.__dict__:
        set_method(clone, "decode", decode)
    set_method(clone, "to", to)
    return clone


def set_tiling(vae: Any, tile_px: int) -> bool:
    """Lets a VAE decode in tiles of about `tile_px` output pixels, with its own overlap; False when it cannot."""
    try:
        vae.enable_tiling()
    except (AttributeError, NotImplementedError):
        logger.info("%s cannot decode in tiles: it decodes whole", type(vae).__name__)
        return False
    if hasattr(vae, "tile_latent_min_size"):
        scale = _side(vae.tile_sample_min_size) // vae.tile_latent_min_size
        vae.tile_latent_min_size = max(tile_px // scale, 1)
        vae.tile_sample_min_size = vae.tile_latent_min_size * scale
    for axis in ("height", "width"):
        _set_axis(vae, axis, tile_px)
    return True


def piece_count(vae: Any, latent_shape: tuple[int, ...]) -> int:
    """Calls of the decoder for latents of this shape (N, C, ..., H, W); 0 when it is not known beforehand."""
    images = latent_shape[0] if getattr(vae, "use_slicing", False) else 1
    if not getattr(vae, "use_tiling", False):
        return images
    tile = getattr(vae, "tile_latent_min_size", None)
    overlap = getattr(vae, "tile_overlap_factor", None)
    if tile is None or overlap is None or len(latent_shape) != 4:
        return 0
    if max(latent_shape[-2:]) <= tile:
        return images
    stride = int(tile * (1 - overlap))
    return images * math.prod(math.ceil(side / stride) for side in latent_shape[-2:])


def shrink_tiles(vae: Any, latent_shape: tuple[int, ...]) -> bool:
    """Halves the tiles below what latents of this shape are decoded in now; False when they are as small as can be."""
    latent = getattr(vae, "tile_latent_min_size", None)
    if latent is not None:
        scale, now_px = _side(vae.tile_sample_min_size) // latent, _side(vae.tile_sample_min_size)
    else:
        scale, now_px = getattr(vae, "spatial_compression_ratio", 8), getattr(vae, "tile_sample_min_height", 0)
    whole_px = max(latent_shape[-2:]) * scale
    tile_px = (min(now_px, whole_px) if getattr(vae, "use_tiling", False) else whole_px) // 2
    if tile_px < MIN_TILE_LATENTS * scale or not set_tiling(vae, tile_px):
        return False
    logger.warning("Out of memory while decoding: trying again with tiles of %d pixels", tile_px)
    return True


class _Pieces:
    """Counts the calls of one decoding for the progress."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._done = 0
        self._total = 0

    def begin(self, total: int) -> None:
        self._done, self._total = 0, total

    def next(self) -> None:
        self._turns.piece("decode")
        self._turns.progress(self._done, max(self._total, self._done) if self._total else 0, "decode")
        self._done += 1

    def end(self) -> None:
        self._turns.progress(self._done, self._done, "decode")


def _gate_decoder(clone: nn.Module, pieces: _Pieces) -> None:
    decoder = clone._modules["decoder"]
    assert decoder is not None
    clone._modules["decoder"] = before_forward(decoder, pieces.next)


def _place(vae: Any) -> tuple[torch.device, torch.dtype]:
    tensor = next(vae.parameters())
    return tensor.device, tensor.dtype


def _asked_place(vae: Any, *asked: Any) -> tuple[torch.device, torch.dtype]:
    """Where `vae.to(*asked)` would bring its weights, and in which format."""
    device, dtype = _place(vae)
    for value in asked:
        if isinstance(value, torch.dtype):
            dtype = value
        elif isinstance(value, (str, torch.device)) and not _same(torch.device(value), device):
            device = torch.device(value)
    return device, dtype


def _same(asked: torch.device, actual: torch.device) -> bool:
    return asked.type == actual.type and asked.index in (None, actual.index)


def _side(size: Any) -> int:
    return int(size[0]) if isinstance(size, (list, tuple)) else int(size)


def _set_axis(vae: Any, axis: str, tile_px: int) -> None:
    """The newer VAEs keep height and width, and a stride instead of an overlap."""
    old = getattr(vae, f"tile_sample_min_{axis}", None)
    stride = getattr(vae, f"tile_sample_stride_{axis}", None)
    if not old or not stride:
        return
    setattr(vae, f"tile_sample_stride_{axis}", tile_px * stride // old)
    setattr(vae, f"tile_sample_min_{axis}", tile_px)
    latent = getattr(vae, f"tile_latent_min_{axis}", None)
    if latent:
        setattr(vae, f"tile_latent_min_{axis}", tile_px * latent // old)
