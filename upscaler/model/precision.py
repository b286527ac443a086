"""Which number format the network runs in. Pictures enter and leave it as float32 in any case."""

from __future__ import annotations

import torch

from tilestep.upscaler.errors import OptionError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BFLOAT16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")


def choose_dtype(name: str, device: torch.device | str) -> torch.dtype:
    """The format named `float32`, `bfloat16` or `float16`; `auto` takes the fastest that cannot be seen in the result.

    That is float16 on CUDA, bfloat16 on a CPU that multiplies it by instructions of its own, and float32 elsewhere. It
    depends on the machine's kind alone, not on a measurement, so that equal requests give equal pictures on it. Raises
    OptionError for another name, and for float16 on a CPU, where it is slower than float32.
    """
    cuda = torch.device(device).type == "cuda"
    if name == "auto":
        return torch.float16 if cuda else _fastest_on_cpu()
    if name not in _DTYPES:
        raise OptionError(f"There is no precision {name!r}: choose auto, {', '.join(_DTYPES)}.")
    if name == "float16" and not cuda:
        raise OptionError("float16 is for CUDA devices: choose bfloat16, float32 or auto.")
    return _DTYPES[name]


def _fastest_on_cpu() -> torch.dtype:
    capabilities = torch.cpu.get_capabilities()
    native = any(capabilities.get(name) for name in BFLOAT16_INSTRUCTIONS)
    return torch.bfloat16 if native else torch.float32
