"""Everything at once for hours: images and upscales of all sizes, cancelled, failing, finishing; memory is watched."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import torch
from interleaving.contenders import Handle, Tilestep
from interleaving.models import Bench
from interleaving.table import Row, at_most

from tilestep.bot.gpu import Flow, JobCancelled, JobOutOfMemory, QueueFull

MEMBERS = 12
CANCELLED_PART, BROKEN_PART = 0.15, 0.05
LOOKS = 24
WARM_PART = 0.25
LOGGED_STEPS = 1000
MIB = 1 << 20


@dataclass
class SoakResult:
    """`counts`: jobs by how they ended. `memory_mib`: seconds and resident memory, each time that nothing ran."""

    counts: Counter[str] = field(default_factory=Counter)
    memory_mib: list[tuple[float, float]] = field(default_factory=list)

    @property
    def out_of_memory(self) -> int:
        return self.counts["out of memory"]

    @property
    def lost(self) -> int:
        """Jobs that were accepted and neither finished, nor were cancelled, nor failed as they had to."""
        return self.counts["accepted"] - sum(self.counts[end] for end in ("done", "cancelled", "failed as asked"))

    @property
    def growth(self) -> float:
        """Memory at the end against memory once warm, as a part: medians of the last and of the first quarter."""
        warm = self.memory_mib[int(len(self.memory_mib) * WARM_PART) :]
        quarter = max(len(warm) // 4, 1)
        first, last = (median(mib for _, mib in part) for part in (warm[:quarter], warm[-quarter:]))
        return last / first - 1


class Soak:
    """Members who keep asking for things, in `LOOKS` rounds after each of which memory is read."""

    def __init__(self, bench: Bench, contender: Tilestep, seed: int = 0) -> None:
        self._bench, self._contender = bench, contender
        self._random = random.Random(seed)
        self.result = SoakResult()

    async def run(self, seconds: float, report: Callable[[str], None] = lambda line: None) -> SoakResult:
        began_s, flows = time.monotonic(), [Flow(f"guild {n % 3}", n) for n in range(MEMBERS)]
        for look in range(1, LOOKS + 1):
            ends_s = began_s + seconds * look / LOOKS
            await asyncio.gather(*(self._member(flow, ends_s) for flow in flows))
            await self._contender.gpu.until_idle()
            found = time.monotonic() - began_s, memory_mib(self._bench.device)
            self.result.memory_mib.append(found)
            report(f"{found[0]:7.0f} s {found[1]:9.1f} MiB {dict(self.result.counts)}")
        return self.result

    async def _member(self, flow: Flow, ends_s: float) -> None:
        while time.monotonic() < ends_s:
            try:
                handle, broken = await self._ask(flow)
            except QueueFull:
                self.result.counts["refused"] += 1
                await asyncio.sleep(0.1)
                continue
            self.result.counts["accepted"] += 1
            if self._random.random() < CANCELLED_PART:
                asyncio.get_running_loop().call_later(self._random.random(), handle.cancel)
            self.result.counts[await self._end(handle, broken)] += 1

    async def _ask(self, flow: Flow) -> tuple[Handle, bool]:
        bench, pick = self._bench, self._random
        if pick.random() < BROKEN_PART:
            return await self._contender.image(flow, replace(bench.image, side_px=bench.image.side_px + 3)), True
        if pick.random() < 0.5:
            image = pick.choice([bench.image, replace(bench.cheap, steps=4), replace(bench.dear, steps=2)])
            return await self._contender.image(flow, image), False
        return await self._contender.upscale(flow, pick.choice([bench.click_px, bench.picture_px])), False

    async def _end(self, handle: Handle, broken: bool) -> str:
        try:
            await handle
        except JobCancelled:
            return "cancelled"
        except JobOutOfMemory:
            return "out of memory"
        except ValueError:
            return "failed as asked" if broken else "failed"
        return "done"


def memory_mib(device: str) -> float:
    """What is allocated on a card; on a CPU the resident memory of the process, less what could be given back."""
    gc.collect()
    if device.startswith("cuda"):
        return torch.cuda.memory_allocated(device) / MIB
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / MIB


async def soak_rows(bench: Bench, seconds: float) -> tuple[list[Row], SoakResult]:
    async with Tilestep(bench, logged_steps=LOGGED_STEPS) as contender:
        result = await Soak(bench, contender).run(seconds)
    note = f"{seconds:.0f} s: " + ", ".join(f"{end} {count}" for end, count in sorted(result.counts.items()))
    last_mib = result.memory_mib[-1][1]
    return [
        Row("soak: out of memory", "0", {"Tilestep": result.out_of_memory}, at_most(0), note, "{:.0f}"),
        Row("soak: lost jobs", "0", {"Tilestep": result.lost}, at_most(0), form="{:.0f}"),
        Row(
            "soak: growth of memory",
            "below 1 %",
            {"Tilestep": result.growth},
            at_most(0.01),
            f"{last_mib:.0f} MiB",
            "{:.2%}",
        ),
    ], result
