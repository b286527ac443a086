"""Opening the device: which one, how its steps are measured, how much of its memory may be used.

`open_device` blocks and may import torch: it runs in a thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from tilestep.bot.gpu.clock import CudaClock, HostClock, StepClock
from tilestep.bot.gpu.errors import NoSuchDevice
from tilestep.bot.gpu.imports import import_gently
from tilestep.bot.gpu.memory import default_budget

_NAMES = re.compile(r"auto|cpu|cuda(:\d{1,3})?")


def _nothing() -> None:
    """Nothing to free."""


@dataclass(frozen=True)
class Device:
    """`name` as torch writes it. `budget_bytes` None: no bound. `free_cache` gives unused memory back to the device."""

    name: str = "cpu"
    clock: StepClock = field(default_factory=HostClock)
    budget_bytes: int | None = None
    free_cache: Callable[[], None] = _nothing


def open_device(name: str, budget_bytes: int | None, reserve_bytes: int) -> Device:
    """`name`: "cpu", "cuda", "cuda:1", or "auto" for CUDA where there is one.

    On CUDA the allocator is held to the budget too, so that a large card behaves like a small one. "cpu" imports
    nothing, and has no bound unless one is given. Raises NoSuchDevice for another name, and where there is no such
    device.
    """
    if not _NAMES.fullmatch(name):
        raise NoSuchDevice(f"There is no device {name!r}: give auto, cpu, cuda, or cuda:1 for the second card.")
    if name == "cpu":
        return Device("cpu", budget_bytes=budget_bytes)
    import_gently("torch")
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return Device(name, budget_bytes=budget_bytes)
    if not torch.cuda.is_available():
        built = "sees no card" if torch.version.cuda else "was built without CUDA"
        raise NoSuchDevice(f"The device is to be {name}, but this torch {built}: choose auto or cpu, or see to that.")
    if name == "cuda":
        name = f"cuda:{torch.cuda.current_device()}"
    if int(name.partition(":")[2]) >= (cards := torch.cuda.device_count()):
        raise NoSuchDevice(f"There is no device {name}: of {cards} CUDA cards the first is cuda:0.")
    total_bytes = torch.cuda.get_device_properties(name).total_memory
    budget_bytes = min(budget_bytes or default_budget(total_bytes, reserve_bytes), total_bytes)
    torch.cuda.set_per_process_memory_fraction(budget_bytes / total_bytes, name)
    return Device(name, CudaClock(torch.cuda, name), budget_bytes, torch.cuda.empty_cache)
