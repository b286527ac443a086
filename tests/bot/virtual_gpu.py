"""Shared by the tests of the scheduler: a device in virtual time, tasks made of steps."""

import asyncio
import threading

from tilestep.bot.gpu.clock import ManualClock
from tilestep.bot.gpu.device import Device
from tilestep.bot.gpu.facade import GpuScheduler
from tilestep.bot.gpu.fairness import FairSettings
from tilestep.bot.gpu.memory import MemoryNeed
from tilestep.bot.gpu.options import GpuSettings
from tilestep.bot.gpu.task import Flow, Task

PATIENT_MS = 10_000
ONE, TWO, THREE = (Flow("guild", member) for member in (1, 2, 3))


def virtual(clock=None, budget_bytes=None, **options):
    """A scheduler in virtual time, which waits for the thread whose turn it is however busy the machine is."""
    options = {"grace_ms": PATIENT_MS, "fairness": FairSettings(quantum_us=10_000, slice_quanta=1), **options}
    return GpuScheduler(GpuSettings(**options), Device("virtual", clock or ManualClock(), budget_bytes))


def steps(clock, count, cost_ms=10.0, phase="denoise", kind="image", need=None, name="steps"):
    """A task of equal steps; its result is how many it took."""

    def run(gate):
        for done in range(count):
            with gate.step(phase):
                clock.advance(cost_ms)
            gate.progress(done + 1, count, phase)
        return count

    return Task(run, kind, need or MemoryNeed(), name)


async def resume_when_all_ask(gpu, count):
    """Ends a pause once so many threads wait for their turn: until then it is chance who comes first."""
    while len(gpu._dispatcher.lease._asking) < count:
        await asyncio.sleep(0.001)
    gpu.resume()


async def no_thread_works_on(name):
    """Returns once no thread has to do with tasks of this name any more."""
    while any(thread.name.startswith(f"gpu-{name}-") for thread in threading.enumerate()):
        await asyncio.sleep(0.001)
    await asyncio.sleep(0)


class Held:
    """A task whose first step lasts until `release`; `begun` tells that it is under way."""

    def __init__(self, clock, count=1, need=None):
        self.begun, self.release = threading.Event(), threading.Event()
        rest = steps(clock, count - 1)

        def run(gate):
            with gate.step("denoise"):
                self.begun.set()
                assert self.release.wait(60)
                clock.advance(10)
            return 1 + rest.run(gate)

        self.task = Task(run, need=need or MemoryNeed(), name="held")

    async def under_way(self):
        await asyncio.to_thread(self.begun.wait)
