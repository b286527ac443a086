"""Which number format trains fastest on this machine: measured, not guessed from its name."""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F
from torch import Tensor


def training_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where it is faster than float32 (CUDA, CPUs with AMX or AVX-512 BF16), else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type != "cpu":
        return torch.float32
    return min((torch.float32, torch.bfloat16), key=_convolution_seconds)


def memory_format(device: torch.device, dtype: torch.dtype) -> torch.memory_format:
    """Channels-last pays with bfloat16; float32 on a CPU is faster without."""
    channels_last = device.type == "cuda" or dtype == torch.bfloat16
    return torch.channels_last if channels_last else torch.contiguous_format


def _convolution_seconds(dtype: torch.dtype) -> float:
    """The shortest of several tries: other work on the machine can only lengthen one."""
    x = torch.rand(4, 64, 32, 32).to(dtype, memory_format=memory_format(torch.device("cpu"), dtype))
    weight = torch.rand(64, 64, 3, 3).to(dtype)
    return min(_seconds(x, weight) for _ in range(12))


def _seconds(x: Tensor, weight: Tensor) -> float:
    started = time.perf_counter()
    with torch.inference_mode():
        F.conv2d(x, weight, padding=1)
    return time.perf_counter() - started
