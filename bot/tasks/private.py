"""A request's own pipeline: shared weights, and nothing else shared."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

from diffusers import DiffusionPipeline, SchedulerMixin
from torch import nn

from tilestep.bot.tasks.decode import private_vae
from tilestep.bot.tasks.denoise import progress_bar
from tilestep.bot.tasks.encode import EmbeddingCache, TextEncoders
from tilestep.bot.tasks.errors import ModelError
from tilestep.bot.tasks.placement import HostWeights
from tilestep.bot.tasks.roles import component_role
from tilestep.bot.tasks.turns import Turns


class PrivateCopies:
    """Copies pipelines for one request.

    Samplers are deep copies, for they have state; text encoders and VAE are clones that wait for their turns; pipelines
    inside a combined one are copied likewise, each object once. Everything else is the original's.
    """

    def __init__(
        self,
        turns: Turns,
        swapped: Mapping[nn.Module, HostWeights],
        cache: EmbeddingCache | None = None,
        vae_tile_px: int | None = None,
    ) -> None:
        self._turns = turns
        self._encoders = TextEncoders(turns, swapped, cache)
        self._vae_tile_px = vae_tile_px
        self._copied: dict[int, Any] = {}

    def pipeline(self, pipe: Any) -> Any:
        """The copy; the original is not written to. Raises ModelError when the pipeline moves its modules itself."""
        if getattr(pipe, "_all_hooks", None):
            raise ModelError(
                f"This {type(pipe).__name__} offloads its own models, which cannot be interleaved: load it without "
                "enable_model_cpu_offload and give Tilestep a budget instead."
            )
        private = pipe.__class__.__new__(pipe.__class__)
        private.__dict__.update({name: self._value(name, value) for name, value in vars(pipe).items()})
        private.__dict__.pop("_num_timesteps", None)
        private.__dict__["progress_bar"] = functools.partial(progress_bar, self._turns)
        return private

    def _value(self, name: str, value: Any) -> Any:
        if not isinstance(value, (DiffusionPipeline, SchedulerMixin, nn.Module)):
            return value
        if id(value) not in self._copied:
            self._copied[id(value)] = self._copy(name, value)
        return self._copied[id(value)]

    def _copy(self, name: str, value: Any) -> Any:
        if isinstance(value, DiffusionPipeline):
            return self.pipeline(value)
        if isinstance(value, SchedulerMixin):
            return copy.deepcopy(value)
        return self._module(name, value)

    def _module(self, name: str, module: nn.Module) -> Any:
        role = component_role(name, type(module).__module__.partition(".")[0])
        if role == "text encoder":
            return self._encoders.private(module)
        if isinstance(module._modules.get("decoder"), nn.Module) and hasattr(module, "decode"):
            return private_vae(module, self._turns, self._vae_tile_px)
        return module
