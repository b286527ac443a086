"""What a step costs: by the wall on a CPU, by events on CUDA, by hand in tests.

CUDA runs behind the host: a step's events are read one step late, so that the device always has the next step queued
while its predecessor is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol


class Timing(Protocol):
    """A step that is being measured."""

    def stop(self) -> None:
        """The step has been handed to the device."""
        ...

    def cost_ms(self) -> float:
        """Milliseconds of the device; waits until the device has finished the step."""
        ...


class StepClock(Protocol):
    """Measures steps. `lag`: how many steps may be unread while the next one starts."""

    @property
    def lag(self) -> int: ...

    def start(self) -> Timing: ...


class HostTiming:
    """Between start and stop of a clock in seconds."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._started_s = self._stopped_s = now_s()

    def stop(self) -> None:
        self._stopped_s = self._now_s()

    def cost_ms(self) -> float:
        return (self._stopped_s - self._started_s) * 1000


class HostClock:
    """For devices that have finished when the call returns: the CPU."""

    lag = 0

    def start(self) -> Timing:
        return HostTiming(time.perf_counter)


class ManualClock:
    """Virtual time: a step costs what it advances the clock by. With a `lag` it is read late, as on CUDA."""

    def __init__(self, lag: int = 0) -> None:
        self.lag = lag
        self._now_s = 0.0

    def advance(self, ms: float) -> None:
        self._now_s += ms / 1000

    def start(self) -> Timing:
        return HostTiming(lambda: self._now_s)


class CudaTiming:
    """Two events on the stream of a device that is current in the thread that runs the step.

    Without naming the stream they would be on the thread's current device, which is the first one in a new thread.
    """

    def __init__(self, cuda: Any, device: str | None) -> None:
        self._cuda, self._device = cuda, device
        self._first, self._last = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
        self._first.record(cuda.current_stream(device))

    def stop(self) -> None:
        self._last.record(self._cuda.current_stream(self._device))

    def cost_ms(self) -> float:
        self._last.synchronize()
        return float(self._first.elapsed_time(self._last))


class CudaClock:
    """Needs torch.cuda, which it is given: building it imports nothing. `device`: "cuda:1"; None: the current one."""

    lag = 1

    def __init__(self, cuda: Any, device: str | None = None) -> None:
        self._cuda, self._device = cuda, device

    def start(self) -> Timing:
        return CudaTiming(self._cuda, self._device)
