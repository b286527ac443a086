"""The seam between the code that works on the device and the scheduler that decides whose step comes next.

Code that runs in a thread of its own is handed a gate and touches the device only inside `gate.step(...)`. This module
knows neither torch nor asyncio nor how the next one is chosen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from tilestep.bot.gpu.errors import TaskCancelled

__all__ = ["Phase", "Progress", "RecordingGate", "StepCost", "StepGate", "TaskCancelled"]

Phase = Literal["encode", "denoise", "decode", "tiles", "load"]
"""What a step does: text encoding, one denoising step, one VAE tile, one batch of tiles, moving weights."""


@dataclass(frozen=True)
class StepCost:
    """What one step cost: milliseconds of the device, never negative."""

    gpu_ms: float
    phase: Phase


@dataclass(frozen=True)
class Progress:
    """How far a job is: `done` of `total` pieces of `phase`; `total` is 0 as long as it is unknown."""

    done: int = 0
    total: int = 0
    phase: Phase | None = None


class StepGate(Protocol):
    """The way to the device for one job. Used by the job's own thread only."""

    def step(self, phase: Phase) -> AbstractContextManager[None]:
        """The right to touch the device for one step.

        Entering blocks the thread until it is this job's turn; on leaving, the cost is measured and charged and the
        device goes to whoever is next. A step inside a step of the same job belongs to the outer one. Leave nothing
        large allocated on the device between steps beyond what the job's `MemoryNeed` calls resident or held.

        Entering raises TaskCancelled when the job was cancelled or the scheduler closes; let it pass. An exception
        inside the step gives the device back and is passed on.
        """
        ...

    def progress(self, done: int, total: int, phase: Phase) -> None:
        """Tells how far the job is; cheap, may be called from inside or outside a step."""
        ...


class RecordingGate:
    """A gate that grants at once and remembers: for tests, and for running a task alone.

    `phases` holds the phase of each finished or failed outer step in order, `costs` what it cost by `clock` (seconds),
    `reports` each progress. After `cancel()`, or once `cancel_after` steps have been granted, a step raises
    TaskCancelled.
    """

    def __init__(self, cancel_after: int | None = None, clock: Callable[[], float] = time.perf_counter) -> None:
        self.costs: list[StepCost] = []
        self.reports: list[Progress] = []
        self._clock = clock
        self._left = cancel_after
        self._cancelled = False
        self._inside = threading.local()

    @property
    def phases(self) -> list[Phase]:
        return [cost.phase for cost in self.costs]

    def cancel(self) -> None:
        """The next step raises TaskCancelled."""
        self._cancelled = True

    @contextmanager
    def step(self, phase: Phase) -> Iterator[None]:
        if getattr(self._inside, "step", False):
            yield
            return
        self._grant()
        self._inside.step = True
        started = self._clock()
        try:
            yield
        finally:
            self._inside.step = False
            self.costs.append(StepCost((self._clock() - started) * 1000, phase))

    def progress(self, done: int, total: int, phase: Phase) -> None:
        self.reports.append(Progress(done, total, phase))

    def _grant(self) -> None:
        if self._cancelled or self._left == 0:
            raise TaskCancelled
        if self._left is not None:
            self._left -= 1
