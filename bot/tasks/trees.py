"""Tensors inside nested tuples, lists, dictionaries and model outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

PLAIN = (int, float, bool, str, bytes, type(None))


class NotATree(TypeError):  # noqa: N818
    """The value holds something else than tensors and plain values, a key-value cache for instance."""


def map_tensors(value: Any, function: Callable[[Tensor], Tensor], strict: bool = True) -> Any:
    """The same structure with `function` applied to each tensor.

    Anything unknown raises NotATree, or is passed on as it is when not `strict`.
    """
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, (tuple, list)) and type(value) in (tuple, list):
        return type(value)(map_tensors(item, function, strict) for item in value)
    if isinstance(value, dict):
        items = {key: map_tensors(item, function, strict) for key, item in value.items()}
        return items if type(value) is dict else type(value)(**items)
    if strict and not isinstance(value, PLAIN):
        raise NotATree(type(value).__name__)
    return value


def first_tensor(value: Any) -> Tensor:
    """Any tensor of the tree; raises NotATree if there is none."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_tensors(value, keep, strict=False)
    if not found:
        raise NotATree("no tensor in it")
    return found[0]


def tree_bytes(value: Any) -> int:
    """Bytes of all tensors in it."""
    total = 0

    def add(tensor: Tensor) -> Tensor:
        nonlocal total
        total += tensor.nbytes
        return tensor

    map_tensors(value, add)
    return total


def tree_key(value: Any) -> Any:
    """A hashable stand-in for a tree, equal for equal contents; raises NotATree."""
    if isinstance(value, Tensor):
        return tuple(value.shape), str(value.dtype), value.detach().cpu().flatten().view(torch.uint8).numpy().tobytes()
    if isinstance(value, (tuple, list)):
        return tuple(tree_key(item) for item in value)
    if isinstance(value, Mapping):
        return tuple((key, tree_key(item)) for key, item in value.items())
    if isinstance(value, PLAIN):
        return value
    raise NotATree(type(value).__name__)
