"""The end of a denoising step: by the pipeline's callback, old or new, or else by its sampler."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

from tilestep.bot.tasks.clones import set_method
from tilestep.bot.tasks.turns import Turns


class StepEnds:
    """Gives the device back after each denoising step and waits for the next turn.

    `pipe` is the request's private pipeline. Denoising begins where the pipeline opens its progress bar.
    """

    def __init__(self, pipe: Any, turns: Turns) -> None:
        self._pipe = pipe
        self._turns = turns

    def install(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with the callback that this pipeline understands; a callback of the caller's is called too."""
        known = inspect.signature(type(self._pipe).__call__).parameters
        arguments = dict(arguments)
        if is_combined(self._pipe):
            self._watch_samplers()
        elif "callback_on_step_end" in known:
            self._add_callback(arguments)
        elif "callback" in known:
            self._add_old_callback(arguments, "callback_steps" in known)
        else:
            self._watch_samplers()
        return arguments

    def _add_callback(self, arguments: dict[str, Any]) -> None:
        inner: Any = arguments.get("callback_on_step_end")
        if hasattr(inner, "tensor_inputs"):
            arguments.setdefault("callback_on_step_end_tensor_inputs", inner.tensor_inputs)

        def on_step_end(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            changed = inner(pipe, step, timestep, tensors) if inner else tensors
            ended(self._turns, step + 1, self._timesteps())
            return tensors if changed is None else changed

        arguments["callback_on_step_end"] = on_step_end

    def _add_old_callback(self, arguments: dict[str, Any], has_interval: bool) -> None:
        inner = arguments.get("callback")
        interval = arguments.get("callback_steps") or 1
        order = getattr(self._pipe.scheduler, "order", 1)

        def callback(step: int, timestep: Any, latents: Any) -> None:
            if inner and step % interval == 0:
                inner(step, timestep, latents)
            ended(self._turns, step + 1, math.ceil(self._timesteps() / order))

        arguments["callback"] = callback
        if has_interval:
            arguments["callback_steps"] = 1

    def _timesteps(self) -> int:
        """Steps of the run; image-to-image pipelines leave some of the sampler's timesteps out and say so."""
        return getattr(self._pipe, "_num_timesteps", None) or len(self._pipe.scheduler.timesteps)

    def _watch_samplers(self) -> None:
        for sampler in samplers(self._pipe):
            self._watch(sampler)

    def _watch(self, sampler: Any) -> None:
        turns, done = self._turns, 0

        def step(self_: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal done
            result = type(self_).step(self_, *args, **kwargs)
            done += 1
            ended(turns, done, len(self_.timesteps))
            return result

        set_method(sampler, "step", step)


def ended(turns: Turns, done: int, total: int) -> None:
    """The next turn, which is for decoding after the last denoising step."""
    turns.progress(min(done, total), total, "denoise")
    turns.take("denoise" if done < total else "decode")


def progress_bar(turns: Turns, iterable: Any = None, total: int | None = None) -> Any:
    """What a private pipeline has for a progress bar: prints nothing, and marks where denoising begins."""
    turns.take("denoise")
    return tqdm(iterable, total=total, disable=True)


def is_combined(pipe: Any) -> bool:
    """Whether the pipeline calls others (Kandinsky 2, Wuerstchen): their callbacks go by other names."""
    from diffusers import DiffusionPipeline

    return any(isinstance(value, DiffusionPipeline) for value in vars(pipe).values())


def samplers(pipe: Any) -> list[Any]:
    """The samplers of a pipeline and of the pipelines in it, each once."""
    from diffusers import DiffusionPipeline, SchedulerMixin

    found: dict[int, Any] = {}
    for value in vars(pipe).values():
        if isinstance(value, SchedulerMixin):
            found[id(value)] = value
        elif isinstance(value, DiffusionPipeline):
            found.update((id(sampler), sampler) for sampler in samplers(value))
    return list(found.values())
