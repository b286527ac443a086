"""How a text-to-image model is laid out to fit a memory budget: arithmetic, no torch.

The options are tried from the best to the most frugal, and the first that fits is taken:

    text encoders on the device; swapped in for encoding; streamed through it layer by layer
    VAE tiles of 512 pixels; of 256
    weights of the denoiser as computed with (16 bits); stored in float8

What a phase needs beyond the weights is estimated here from the sizes; `tilestep.bot.tasks.measure` measures it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from tilestep.bot.gpu.errors import DoesNotFit
from tilestep.bot.gpu.gate import Phase
from tilestep.bot.gpu.memory import MemoryNeed

DType = Literal["float32", "float16", "bfloat16"]
Placement = Literal["resident", "swapped", "streamed"]

BYTES: dict[DType, int] = {"float32": 4, "float16": 2, "bfloat16": 2}
TILE_PX, SMALL_TILE_PX = 512, 256
LAYOUTS: tuple[tuple[Placement, int], ...] = (
    ("resident", TILE_PX),
    ("swapped", TILE_PX),
    ("resident", SMALL_TILE_PX),
    ("swapped", SMALL_TILE_PX),
    ("streamed", TILE_PX),
    ("streamed", SMALL_TILE_PX),
)
HOST_LAYOUTS = tuple(layout for layout in LAYOUTS if layout[0] == "resident")


@dataclass(frozen=True)
class ModelSizes:
    """A model in numbers of values: of weights, and of intermediate results at their largest moment.

    `largest_layer`: the largest part of a text encoder that is moved in one piece. `vae_upcast`: the VAE decodes in
    float32 whatever its weights are stored in. `held_values`: prompt embeddings and latents, kept between steps.
    `width_px`, `height_px`: the pictures that the estimates are for; `images`: how many of them at once.
    """

    denoiser: int
    text_encoders: int = 0
    vae: int = 0
    other: int = 0
    largest_layer: int = 0
    transformer: bool = False
    vae_upcast: bool = False
    encode_values: int = 0
    denoise_values: int = 0
    decode_values_per_px: int = 0
    held_values: int = 0
    width_px: int = 512
    height_px: int = 512
    images: int = 1

    def at(self, width_px: int, height_px: int, images: int = 1) -> ModelSizes:
        """The same model with pictures of another size, or several at once."""
        more = images / self.images
        ratio = more * width_px * height_px / (self.width_px * self.height_px)
        return replace(
            self,
            encode_values=math.ceil(self.encode_values * more),
            denoise_values=math.ceil(self.denoise_values * ratio),
            held_values=math.ceil(self.held_values * max(ratio, more)),
            width_px=width_px,
            height_px=height_px,
            images=images,
        )


@dataclass(frozen=True)
class MemoryPlan:
    """How a model is laid out, and what it needs then (estimated).

    `vae_tile_px`: 0 decodes whole pictures. `vae_sliced`: pictures of one request are decoded one after another.
    """

    dtype: DType
    text_encoders: Placement = "resident"
    vae_tile_px: int = TILE_PX
    float8_weights: bool = False
    vae_sliced: bool = False
    need: MemoryNeed = field(default_factory=MemoryNeed)

    @property
    def text_encoders_offloaded(self) -> bool:
        return self.text_encoders != "resident"

    @property
    def vae_tiled(self) -> bool:
        return self.vae_tile_px > 0

    def describe(self) -> str:
        """For the log."""
        storage = ", denoiser stored in float8" if self.float8_weights else ""
        return (
            f"{self.dtype}{storage}, text encoders {self.text_encoders}, VAE tiles of {self.vae_tile_px} px, "
            f"{gib(self.need.resident_bytes)} of weights, {gib(self.need.alone_bytes)} at the peak"
        )


def plan_memory(
    sizes: ModelSizes, budget_bytes: int, device: str = "cuda", name: str = "The model", beside_bytes: int = 0
) -> MemoryPlan:
    """The best layout that fits the budget; raises DoesNotFit with the numbers of the most frugal one.

    `device`: "cpu" has no memory of its own, so nothing is moved out there, and float32 is preferred. `beside_bytes`:
    the largest step of other work, which takes turns with the model's own; there has to be room for it too.
    """
    plan = None
    for plan in _options(sizes, device.partition(":")[0]):
        if _planned_bytes(plan.need, beside_bytes) <= budget_bytes:
            return plan
    assert plan is not None
    needed_bytes = _planned_bytes(plan.need, beside_bytes)
    raise DoesNotFit(_refusal(name, plan, budget_bytes, beside_bytes), needed_bytes, budget_bytes)


def estimate_need(sizes: ModelSizes, plan: MemoryPlan) -> MemoryNeed:
    """What a request for these pictures needs under this layout.

    All requests decode with one float32 copy of the VAE where there has to be one, so it counts among the weights.
    """
    width = BYTES[plan.dtype]
    encoders = sizes.text_encoders * width
    resident = sizes.denoiser * (1 if plan.float8_weights else width) + (sizes.vae + sizes.other) * width
    resident += sizes.vae * BYTES["float32"] if _is_upcast(sizes, plan) else 0
    brought = {"resident": 0, "swapped": encoders, "streamed": sizes.largest_layer * width}[plan.text_encoders]
    peaks: dict[Phase, int] = {
        "encode": brought + sizes.encode_values * width,
        "denoise": sizes.denoise_values * width,
        "decode": _decode_bytes(sizes, plan),
    }
    return MemoryNeed(
        resident_bytes=resident + (encoders if plan.text_encoders == "resident" else 0),
        phase_peaks=peaks,
        held_bytes=sizes.held_values * width + _decoded_bytes(sizes, plan),
    )


def gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 / 10 else f"{count / 2**20:.1f} MiB"


def _is_upcast(sizes: ModelSizes, plan: MemoryPlan) -> bool:
    return sizes.vae_upcast and plan.dtype == "float16"


def _decode_bytes(sizes: ModelSizes, plan: MemoryPlan) -> int:
    """A tile of each picture at a time, and the picture that the tiles are put together to (3 values a pixel)."""
    at_once = 1 if plan.vae_sliced else sizes.images
    values = at_once * sizes.decode_values_per_px * _tile_px(sizes, plan) + 10 * sizes.images * _picture_px(sizes)
    return values * _decode_width(sizes, plan) - _decoded_bytes(sizes, plan)


def _decoded_bytes(sizes: ModelSizes, plan: MemoryPlan) -> int:
    """Tiles that are done and wait for the others between steps: 3 values a pixel, more where they overlap."""
    if _tile_px(sizes, plan) == _picture_px(sizes):
        return 0
    return 5 * sizes.images * _picture_px(sizes) * _decode_width(sizes, plan)


def _decode_width(sizes: ModelSizes, plan: MemoryPlan) -> int:
    return BYTES["float32" if _is_upcast(sizes, plan) else plan.dtype]


def _picture_px(sizes: ModelSizes) -> int:
    return sizes.width_px * sizes.height_px


def _tile_px(sizes: ModelSizes, plan: MemoryPlan) -> int:
    """What the decoder sees of a picture at a time."""
    if not plan.vae_tiled:
        return _picture_px(sizes)
    return min(plan.vae_tile_px, sizes.width_px) * min(plan.vae_tile_px, sizes.height_px)


def _options(sizes: ModelSizes, device: str) -> Iterator[MemoryPlan]:
    half: DType = "bfloat16" if sizes.transformer else "float16"
    dtypes: list[DType] = ["float32", "bfloat16"] if device == "cpu" else [half]
    layouts = HOST_LAYOUTS if device == "cpu" else LAYOUTS
    for float8 in (False, True):
        for dtype in dtypes:
            for placement, tile_px in layouts:
                if not (float8 and dtype == "float32"):
                    plan = MemoryPlan(dtype, placement, tile_px, float8)
                    yield replace(plan, need=estimate_need(sizes, plan))


def _planned_bytes(need: MemoryNeed, beside_bytes: int) -> int:
    return need.resident_bytes + need.held_bytes + max(need.peak_bytes, beside_bytes)


def _refusal(name: str, plan: MemoryPlan, budget_bytes: int, beside_bytes: int) -> str:
    need = plan.need
    phase = max(need.phase_peaks, key=lambda phase: need.phase_peaks[phase])
    step = f"to {phase}" if need.peak_bytes >= beside_bytes else "for a step of other work"
    return (
        f"{name} needs {gib(_planned_bytes(need, beside_bytes))} even when laid out to be small "
        f"({gib(need.resident_bytes)} of weights, {gib(max(need.peak_bytes, beside_bytes))} more {step}), and the "
        f"budget has {gib(budget_bytes)} left: choose a smaller model or a larger budget."
    )
