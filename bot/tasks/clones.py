"""Shallow copies of modules: the same weights, other behaviour, and nothing written to the original."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def shallow_clone(module: M) -> M:
    """A module of the same class that shares parameters, buffers, hooks and children.

    Weights that are moved to another device move for both. Attributes, and children put in place of others, are the
    clone's own.
    """
    clone = module.__class__.__new__(module.__class__)
    clone.__dict__.update(module.__dict__)
    clone.__dict__["_modules"] = dict(module._modules)
    return clone


def before_forward(module: M, before: Callable[[], None]) -> M:
    """A clone that calls `before` ahead of every forward."""
    inner = module.forward

    @functools.wraps(inner)
    def forward(*args: Any, **kwargs: Any) -> Any:
        before()
        return inner(*args, **kwargs)

    clone = shallow_clone(module)
    clone.__dict__["forward"] = forward
    return clone


def set_method(clone: Any, name: str, function: Callable[..., Any]) -> None:
    """Makes `clone.name(...)` call `function(clone, ...)`.

    The clone does not hold itself, so that what it holds alone is freed with the last outer reference.
    """
    clone_ref = weakref.ref(clone)

    def method(*args: Any, **kwargs: Any) -> Any:
        return function(clone_ref(), *args, **kwargs)

    method.__dict__["__signature__"] = inspect.signature(getattr(clone, name))
    clone.__dict__[name] = method
