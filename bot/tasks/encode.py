"""Text encoding as steps: each call of a text encoder is one, its weights moved in if they wait outside."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from tilestep.bot.tasks.clones import shallow_clone
from tilestep.bot.tasks.placement import HostWeights
from tilestep.bot.tasks.trees import NotATree, first_tensor, map_tensors, tree_bytes, tree_key
from tilestep.bot.tasks.turns import Turns

DEFAULT_CACHE_BYTES = 128 << 20


class EmbeddingCache:
    """What text encoders answered lately, in host memory; the least recently used goes first. Thread-safe."""

    def __init__(self, max_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self.hits = 0

    def get(self, key: Any) -> Any | None:
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            self.hits += 1
            return self._entries[key][0]

    def put(self, key: Any, output: Any) -> None:
        """Keeps a copy of `output`, a tree of tensors; raises NotATree for anything else."""
        size = tree_bytes(output)
        if size > self._max_bytes:
            return
        copied = map_tensors(output, lambda tensor: tensor.detach().to("cpu", copy=True))
        with self._lock:
            self._bytes += size - self._entries.pop(key, (None, 0))[1]
            self._entries[key] = copied, size
            while self._bytes > self._max_bytes:
                _, (_, dropped) = self._entries.popitem(last=False)
                self._bytes -= dropped


class TextEncoders:
    """The text encoders of one request: gates them, brings swapped ones in, asks the cache.

    `swapped`: weights by encoder that wait in host memory. They come in at the encoder's first call and go at the end
    of that step, so all calls share one step then; encoders that stay on the device have a step for each call.
    """

    def __init__(
        self, turns: Turns, swapped: Mapping[nn.Module, HostWeights], cache: EmbeddingCache | None = None
    ) -> None:
        self._turns = turns
        self._swapped = swapped
        self._cache = cache
        self._inside: set[nn.Module] = set()
        self._calls = 0

    def private(self, encoder: nn.Module) -> nn.Module:
        """A clone of the encoder that does all this."""
        inner = encoder.forward

        @functools.wraps(inner)
        def forward(*args: Any, **kwargs: Any) -> Any:
            self._begin(encoder)
            return self._answer(encoder, inner, args, kwargs)

        clone = shallow_clone(encoder)
        clone.__dict__["forward"] = forward
        return clone

    def _begin(self, encoder: nn.Module) -> None:
        if encoder not in self._swapped:
            self._turns.piece("encode")
        elif self._turns.phase != "encode":
            self._turns.take("encode")
        self._turns.progress(self._calls, 0, "encode")
        self._calls += 1

    def _answer(
        self, encoder: nn.Module, inner: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        key = self._key(encoder, args, kwargs)
        known = None if self._cache is None or key is None else self._cache.get(key)
        if known is not None:
            device = first_tensor((args, kwargs)).device
            return map_tensors(known, lambda tensor: tensor.to(device, copy=True))
        self._bring(encoder)
        output = inner(*args, **kwargs)
        if self._cache is not None and key is not None:
            try:
                self._cache.put(key, output)
            except NotATree:
                return output
        return output

    def _key(self, encoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any | None:
        if self._cache is None:
            return None
        try:
            return id(encoder), tree_key(args), tree_key(kwargs)
        except NotATree:
            return None

    def _bring(self, encoder: nn.Module) -> None:
        if encoder not in self._swapped or encoder in self._inside:
            return
        weights = self._swapped[encoder]
        self._inside.add(encoder)
        self._turns.until_left(functools.partial(self._evict, encoder, weights))
        weights.bring()

    def _evict(self, encoder: nn.Module, weights: HostWeights) -> None:
        weights.evict()
        self._inside.discard(encoder)
