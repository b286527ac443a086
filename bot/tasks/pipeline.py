"""Any diffusers text-to-image pipeline as a row of steps.

    encode | encode | denoise | denoise | ... | denoise | decode | decode | ...

A pipeline's `__call__` is not written as steps, but it can be cut into them: the thread enters a step, calls the
pipeline, and changes steps where the pipeline calls back: at each call of a text encoder, where the progress bar opens,
after each denoising step, and at each call of the VAE's decoder. What the pipeline computes between two such places
belongs to the step it happens in, so the device is never touched outside one. No family of models needs code here.

Nothing heavy is imported before the first call, and then in the calling thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from tilestep.bot.gpu.gate import Phase, StepGate
from tilestep.bot.tasks.errors import ModelError
from tilestep.bot.tasks.loaded import LoadedPipeline
from tilestep.bot.tasks.turns import Turns

if TYPE_CHECKING:
    from PIL.Image import Image


def run_pipeline(
    pipe: Any,
    gate: StepGate,
    arguments: Mapping[str, Any],
    seed: int | None = None,
    *,
    count: int = 1,
    vae_tile_px: int | None = None,
) -> list[Image]:
    """Runs a text-to-image pipeline inside the steps of `gate`; blocks, so call it in a thread of its own.

    `pipe`: a diffusers pipeline or a LoadedPipeline; many threads may run it at once, and it is not changed.
    `arguments`: what the pipeline's `__call__` takes (prompt, width, num_inference_steps, callbacks ...).
    `seed`: of the noise, the same as `generator=torch.Generator("cpu").manual_seed(seed)`.
    `count`: runs one after another with the seeds `seed`, `seed + 1` ...: each picture is the one it is alone.
    `vae_tile_px`: decode in tiles of this size; by default as the pipeline's VAE is set.

    The pictures are those that the pipeline makes alone with the same arguments and VAE tiling. Raises what the
    pipeline raises, ModelError when it makes no pictures, and TaskCancelled at the first step after a cancellation.
    """
    pictures: list[Image] = []
    for run in range(count):
        own_seed = None if seed is None else seed + run
        own_gate = gate if count == 1 else OneOfSeveral(gate, run, count)
        pictures += _run(pipe, own_gate, arguments, own_seed, vae_tile_px)
    return pictures


class OneOfSeveral:
    """The gate of one run among `count` equal ones: its progress is that of all."""

    def __init__(self, gate: StepGate, run: int, count: int) -> None:
        self._gate, self._run, self._count = gate, run, count

    def step(self, phase: Phase) -> AbstractContextManager[None]:
        return self._gate.step(phase)

    def progress(self, done: int, total: int, phase: Phase) -> None:
        self._gate.progress(done + self._run * total, self._count * total, phase)


def _run(
    pipe: Any, gate: StepGate, arguments: Mapping[str, Any], seed: int | None, vae_tile_px: int | None
) -> list[Image]:
    import torch

    from tilestep.bot.tasks.denoise import StepEnds
    from tilestep.bot.tasks.private import PrivateCopies

    loaded = pipe if isinstance(pipe, LoadedPipeline) else LoadedPipeline(pipe)
    arguments = {**arguments, "output_type": "pil", "return_dict": True}
    if seed is not None:
        arguments["generator"] = torch.Generator("cpu").manual_seed(seed)
    cache = loaded.cache if arguments.get("clip_skip") is None else None
    with torch.inference_mode(), Turns(gate) as turns:
        turns.take("encode")
        private = PrivateCopies(turns, loaded.swapped, cache, vae_tile_px).pipeline(loaded.pipe)
        result = private(**StepEnds(private, turns).install(arguments))
        return _pictures(result, loaded.pipe)


def _pictures(result: Any, pipe: Any) -> list[Image]:
    images = getattr(result, "images", None)
    if images is None:
        raise ModelError(f"A {type(pipe).__name__} makes no pictures: choose a text-to-image model.")
    return list(images)
