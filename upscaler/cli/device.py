"""`--device`: auto, cpu, cuda or cuda:N."""

from __future__ import annotations

import re

import torch

from tilestep.upscaler.cli.words import brief
from tilestep.upscaler.errors import OptionError


def choose_device(name: str) -> torch.device:
    """The device of a name; `auto` takes a CUDA device if there is one. Raises OptionError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    match = re.fullmatch(r"cuda(?::(\d{1,4}))?", name)
    if match is None:
        raise OptionError(f"There is no device {brief(repr(name))}: give auto, cpu, cuda or cuda:N.")
    if not torch.cuda.is_available():
        raise OptionError("PyTorch finds no CUDA device here: give --device cpu, or install a build of it for CUDA.")
    if int(match[1] or 0) >= torch.cuda.device_count():
        raise OptionError(f"There is no {name}: the devices are numbered 0 to {torch.cuda.device_count() - 1}.")
    return torch.device(name)
