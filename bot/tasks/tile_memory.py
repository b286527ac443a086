"""What the tile pool needs of the device, told from the header of its checkpoint: no torch, nothing loaded.

The numbers are those of `tilestep.upscaler.runner.TileRunner.memory_need`, which cannot be asked before that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from tilestep.bot.gpu.memory import MemoryNeed
from tilestep.bot.tasks.errors import ModelError
from tilestep.bot.tasks.files import count_of_header, read_safetensors_header

SHIPPED_NAME = "tilestep-2x.safetensors"
ACTIVATIONS_ALIVE, PICTURES_ALIVE, CHANNELS = 6, 12, 3
MOST_TILES, BATCHES_WAITING = 64, 2
ENLARGED_BYTES = 2 * 2 * 4


@dataclass(frozen=True)
class TileSizes:
    """Bytes: of all weights, of a tile while a step works on it, of one that waits for its next step."""

    weights_bytes: int
    work_bytes: int
    waiting_bytes: int


def tile_pool_need(checkpoint: Path | None, device: str, limit_bytes: int) -> MemoryNeed:
    """The weights stay, up to two batches of tiles wait between steps, and a step has what is left of `limit_bytes`.

    Of a checkpoint that cannot be read nothing is known; it is the loading that says so.
    """
    try:
        sizes = tile_sizes(checkpoint or shipped_checkpoint(), 2 if device.startswith("cuda") else 4)
    except (ModelError, AttributeError, KeyError, TypeError, ValueError):
        return MemoryNeed(phase_peaks={"tiles": limit_bytes})
    resident_bytes = min(sizes.weights_bytes, limit_bytes)
    held_bytes = min(_waiting_bytes(sizes, device, limit_bytes), limit_bytes - resident_bytes)
    peak_bytes = limit_bytes - resident_bytes - held_bytes
    return MemoryNeed(resident_bytes, {"tiles": peak_bytes}, held_bytes=held_bytes)


def tile_sizes(checkpoint: Path, weight_bytes: int) -> TileSizes:
    """With weights of `weight_bytes` each. Raises ModelError, and what a description that makes no sense raises."""
    header = read_safetensors_header(checkpoint)
    facts = json.loads(header["__metadata__"]["descriptor"])
    width, denoiser_width = facts["network"]["width"], facts["network"]["denoiser_width"]
    waiting_px = facts["read_px"] ** 2
    work_px = max(facts["read_px"], facts["shallow_read_px"]) ** 2
    work = ACTIVATIONS_ALIVE * max(width, denoiser_width) * weight_bytes + PICTURES_ALIVE * CHANNELS * ENLARGED_BYTES
    waiting = (3 * CHANNELS + 1) * ENLARGED_BYTES + denoiser_width * weight_bytes
    return TileSizes(count_of_header(header).values * weight_bytes, work * work_px, waiting * waiting_px)


def shipped_checkpoint() -> Path:
    """Where the weights that come with the package lie."""
    return Path(str(resources.files("tilestep.upscaler.model") / "weights" / SHIPPED_NAME))


def _waiting_bytes(sizes: TileSizes, device: str, limit_bytes: int) -> int:
    """Of as many tiles as the engine puts into a batch at most; on a CPU the network sees one at a time."""
    each, left_bytes = BATCHES_WAITING * sizes.waiting_bytes, limit_bytes - sizes.weights_bytes
    if device.startswith("cuda"):
        tiles = left_bytes // (sizes.work_bytes + each)
    else:
        tiles = (left_bytes - sizes.work_bytes) // each
    return each * max(1, min(MOST_TILES, tiles))
