"""Who shares the device, and how: Tilestep's scheduler, and three simple ways to do without it.

All run the same step bodies: `run_pipeline` and `TilePool.step`. What differs is whose step comes next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, Self

from interleaving.baselines import ByCount, FirstCome, OneLock, Plain
from interleaving.models import Bench, ImageSize

from tilestep.bot.gpu import Flow, GpuScheduler, GpuSettings, MemoryNeed
from tilestep.bot.gpu.clock import StepClock
from tilestep.bot.gpu.device import Device
from tilestep.bot.gpu.fairness import FairSettings
from tilestep.bot.gpu.seats import LeaseRecord
from tilestep.bot.gpu.task import UPSCALE
from tilestep.bot.tasks.upscale import TilePool
from tilestep.upscaler.engine import EngineLimits

LOGGED_STEPS = 1_000_000


class Handle(Protocol):
    """A submitted job."""

    job: int

    def __await__(self) -> Any: ...

    def cancel(self) -> Any: ...


class Contender(Protocol):
    """One way to share the device. `owners`: whose job each one is."""

    owners: dict[int, Flow]

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *error: object) -> None: ...

    async def image(self, flow: Flow, image: ImageSize) -> Handle: ...

    async def upscale(self, flow: Flow, side_px: int) -> Handle: ...

    def steps(self) -> list[LeaseRecord]: ...


class Tilestep:
    """The scheduler as bots use it. Its log is made long, for rows that read it to the end."""

    def __init__(
        self,
        bench: Bench,
        fairness: FairSettings | None = None,
        clock: StepClock | None = None,
        logged_steps: int = LOGGED_STEPS,
    ) -> None:
        settings = {} if fairness is None else {"fairness": fairness}
        cuda = bench.budget_bytes is not None
        self._bench = bench
        self.owners: dict[int, Flow] = {}
        self.gpu = GpuScheduler(
            GpuSettings(device=bench.device, budget_bytes=bench.budget_bytes, lease_log=logged_steps, **settings),
            None if cuda else Device(bench.device, clock or bench.clock()),
        )

    async def __aenter__(self) -> Self:
        await self.gpu.__aenter__()
        upscaler_bytes = self.gpu.settings.upscaler_bytes if self._bench.budget_bytes else None
        need = MemoryNeed(phase_peaks={"tiles": upscaler_bytes}) if upscaler_bytes else None
        limits = EngineLimits(max_memory_bytes=upscaler_bytes)
        self.gpu.add_shared(UPSCALE, lambda gate: TilePool(self._bench.tile_model, limits), need)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.gpu.close()

    async def image(self, flow: Flow, image: ImageSize) -> Handle:
        return self._own(await self.gpu.submit_pipeline(self._bench.pipe, flow, seed=0, **image.arguments), flow)

    async def upscale(self, flow: Flow, side_px: int) -> Handle:
        return self._own(self.gpu.submit_upscale(self._bench.order(side_px), flow), flow)

    def steps(self) -> list[LeaseRecord]:
        return self.gpu.leases()

    def _own(self, handle: Any, flow: Flow) -> Handle:
        self.owners[handle.job] = flow
        return handle


BASELINES: dict[str, Callable[[Bench], Contender]] = {
    "first come": lambda bench: Plain(bench, FirstCome()),
    "by count": lambda bench: Plain(bench, ByCount()),
    "two threads": lambda bench: Plain(bench, OneLock(), per_kind=True),
}
CONTENDERS: dict[str, Callable[[Bench], Contender]] = {"Tilestep": Tilestep, **BASELINES}


def leave_out_baselines() -> None:
    """For machines on which each of them would take long."""
    for name in BASELINES:
        del CONTENDERS[name]
    BASELINES.clear()
