"""Weights that wait in host memory and are on the device only while they are used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tilestep.bot.tasks.trees import map_tensors


class HostWeights:
    """Parameters and buffers of modules, kept in host memory (page-locked for CUDA).

    `bring` and `evict` are called inside a step. Nothing is copied back: weights do not change.
    """

    def __init__(self, modules: Iterable[nn.Module], device: torch.device) -> None:
        self._device = device
        self._tensors = list({id(tensor): tensor for module in modules for tensor in _tensors(module)}.values())
        self._host = [self._to_host(tensor) for tensor in self._tensors]
        self.evict()

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self._host)

    def bring(self) -> None:
        with torch.inference_mode(False):
            for tensor, host in zip(self._tensors, self._host, strict=True):
                tensor.data = host.to(self._device, non_blocking=True, copy=True)

    def evict(self) -> None:
        for tensor, host in zip(self._tensors, self._host, strict=True):
            tensor.data = host

    def _to_host(self, tensor: Tensor) -> Tensor:
        host = tensor.detach().to("cpu")
        return host.pin_memory() if self._device.type == "cuda" else host


def stream_weights(module: nn.Module, device: torch.device) -> int:
    """Lets a module run on `device` with one layer's weights there at a time; gives the largest layer's bytes.

    For text encoders that are larger than the budget: slower than moving them in whole, and smaller.
    """
    largest = 0
    for layer in _layers(module):
        weights = HostWeights([layer], device)
        largest = max(largest, weights.bytes)
        _stream_layer(layer, weights, device)
    return largest


def _stream_layer(layer: nn.Module, weights: HostWeights, device: torch.device) -> None:
    def bring(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        weights.bring()
        moved: tuple[tuple[Any, ...], dict[str, Any]] = map_tensors(
            (args, kwargs), lambda tensor: tensor.to(device), strict=False
        )
        return moved

    def evict(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        weights.evict()

    layer.register_forward_pre_hook(bring, with_kwargs=True)
    layer.register_forward_hook(evict, always_call=True)


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost modules that own tensors themselves: together they own all of them."""
    if any(True for _ in _tensors(module, recurse=False)):
        yield module
        return
    for child in module.children():
        yield from _layers(child)


def _tensors(module: nn.Module, recurse: bool = True) -> Iterator[Tensor]:
    yield from module.parameters(recurse)
    yield from module.buffers(recurse)
