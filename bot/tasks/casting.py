"""A module in another number format: one copy for all who use it at the same time, gone with the last of them."""

from __future__ import annotations

import copy
import logging
import threading
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import torch
from torch import Tensor, nn

from tilestep.bot.tasks.placement import stream_weights
from tilestep.upscaler.runner import is_out_of_memory

logger = logging.getLogger(__name__)

_copies: WeakKeyDictionary[nn.Module, WeakValueDictionary[Any, nn.Module]] = WeakKeyDictionary()
_lock = threading.Lock()


def cast_copy(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """`module` with weights of `dtype` on `device`, to be read only; called inside a step.

    Where there is no memory for the copy, it stays in host memory and each layer is on the device while it runs. Raises
    what torch raises when even that fails.
    """
    with _lock:
        copies = _copies.setdefault(module, WeakValueDictionary())
        found = copies.get((device, dtype))
        if found is None:
            found = copies[device, dtype] = _made(module, device, dtype)
        return found


def decoding_copy(pipe: Any) -> nn.Module | None:
    """What a pipeline decodes with instead of its VAE, made now; None where it decodes with the VAE itself."""
    vae = getattr(pipe, "vae", None)
    if not hasattr(pipe, "upcast_vae") or vae is None or vae.dtype != torch.float16 or not vae.config.force_upcast:
        return None
    return cast_copy(vae, vae.device, torch.float32)


def _made(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    try:
        return _cast(module, device, dtype)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    logger.warning("No memory for a copy of %s in %s: it is moved in layer by layer", type(module).__name__, dtype)
    streamed = _cast(module, torch.device("cpu"), dtype)
    stream_weights(streamed, device)
    return streamed


def _cast(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A deep copy that meets each tensor as cast already, so that the old format is never there twice."""

    def moved(tensor: Tensor) -> Tensor:
        return tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype)

    with torch.inference_mode(False), torch.no_grad():
        memo: dict[int, Any] = {id(buffer): moved(buffer) for buffer in module.buffers()}
        for weight in module.parameters():
            memo[id(weight)] = nn.Parameter(moved(weight), requires_grad=False)
        return copy.deepcopy(module, memo)
