"""Making room: weights that nobody uses are taken off the device, in a step of their own, one set of them at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

from tilestep.bot.gpu.device import Device
from tilestep.bot.gpu.errors import TaskCancelled
from tilestep.bot.gpu.lease import Lease
from tilestep.bot.gpu.memory import Admission, MemoryNeed
from tilestep.bot.gpu.outcome import Outcome, failure
from tilestep.bot.gpu.task import Claim

Call = Callable[[], None]


class Evictor:
    """Every method is called on the event loop. `ended` is too, with what went wrong for the job that asked, if any."""

    def __init__(
        self, lease: Lease, admission: Admission, device: Device, ended: Callable[[Claim, Outcome | None], None]
    ) -> None:
        self._lease, self._admission, self._device, self._ended = lease, admission, device, ended
        self._calls: dict[str, Call] = {}
        self._leaving: tuple[str, ...] = ()
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether weights are being taken off the device."""
        return self._task is not None

    def know(self, weights: str, call: Call) -> None:
        """`call` takes these weights off the device; it is called in a step, in a thread."""
        self._calls[weights] = call

    def forget(self, weights: str) -> None:
        """These weights are off the device already; unknown ones are ignored."""
        self._calls.pop(weights, None)

    def takes_off(self, weights: str | None) -> bool:
        """Whether these weights are being taken off the device just now."""
        return weights in self._leaving

    def make_room(self, claim: Claim, need: MemoryNeed) -> None:
        """Begins with it, charged to the job's member, where it is of use and nothing is under way already."""
        keys = self._admission.to_evict(need)
        if keys and not self.busy:
            self._leaving = keys
            self._task = asyncio.create_task(self._evict(claim, [self._calls[key] for key in keys]))

    async def close(self, within_s: float) -> None:
        """Waits for what is under way; the lease has to be closed."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=within_s)

    async def _evict(self, claim: Claim, calls: Iterable[Call]) -> None:
        try:
            await asyncio.to_thread(self._in_step, claim, calls)
        except (Exception, TaskCancelled) as error:
            self._over(claim, (), failure(error))
        else:
            self._over(claim, self._leaving, None)

    def _over(self, claim: Claim, gone: Iterable[str], outcome: Outcome | None) -> None:
        for key in gone:
            self._admission.drop(key)
            self.forget(key)
        self._leaving, self._task = (), None
        self._ended(claim, outcome)

    def _in_step(self, claim: Claim, calls: Iterable[Call]) -> None:
        """Under a number of its own: the job may find room elsewhere, and start, before this is over."""
        seat, claim = self._lease.seat(), replace(claim, job=-claim.job)
        self._lease.add(seat, claim)
        try:
            with self._lease.step(seat, "load"):
                for call in calls:
                    call()
                self._device.free_cache()
        finally:
            self._lease.remove(seat, claim.job)
