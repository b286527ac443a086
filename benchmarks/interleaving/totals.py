"""The rows that are measured with a watch: total times, the forecast's error, the longest stall of the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from statistics import median, quantiles

from interleaving.baselines import FirstCome, Plain
from interleaving.contenders import CONTENDERS, Contender, Tilestep
from interleaving.load import Members, Stopwatch
from interleaving.models import Bench
from interleaving.table import Row, at_most, below

from tilestep.bot.gpu.clock import HostClock
from tilestep.bot.gpu.statistics import percentile

JOBS_EACH = 3
BASELINE_ROUNDS = 3
LEAST_BATCHING_ROUNDS = 9
USERS = 8
TICK_S = 0.002
STALL_MS = 20.0
LOOK_S = 0.1
Seconds = tuple[float, float]


def as_bots_do(bench: Bench) -> Tilestep:
    """With the clock that the scheduler has by itself."""
    return Tilestep(bench, clock=HostClock())


async def together(contender: Contender, bench: Bench) -> Seconds:
    """As many images as upscales, of as many members, all at once: seconds by the wall and of the processor."""
    members, watch = Members(), Stopwatch()
    images = [await contender.image(members.new(), bench.image) for _ in range(JOBS_EACH)]
    upscales = [await contender.upscale(members.new(), bench.picture_px) for _ in range(JOBS_EACH)]
    for handle in images + upscales:
        await handle
    return watch.read()


async def one_by_one(contender: Contender, bench: Bench) -> Seconds:
    """The same, each submitted when the one before is done."""
    members, watch = Members(), Stopwatch()
    for _ in range(JOBS_EACH):
        await (await contender.image(members.new(), bench.image))
        await (await contender.upscale(members.new(), bench.picture_px))
    return watch.read()


async def total_rows(bench: Bench) -> list[Row]:
    """Against jobs one after another without any scheduler; runs alternate, and the medians of the ratios count."""
    found: dict[str, list[Seconds]] = {name: [] for name in [*CONTENDERS, "control"]}
    async with contextlib.AsyncExitStack() as stack:
        builds = {**CONTENDERS, "Tilestep": as_bots_do}
        contenders = {name: await stack.enter_async_context(build(bench)) for name, build in builds.items()}
        clock = HostClock() if bench.device == "cpu" else bench.clock()
        alone = await stack.enter_async_context(Plain(bench, FirstCome(), clock=clock))
        outside: dict[str, list[float]] = {"Tilestep": [], "first come": []}
        for contender in (*contenders.values(), alone):
            await one_by_one(contender, bench)
        before = await one_by_one(alone, bench)
        for number in range(bench.rounds):
            for name, contender in contenders.items():
                if name == "Tilestep" or number < BASELINE_ROUNDS:
                    done = len(contender.steps()), len(alone.steps())
                    taken, after = await together(contender, bench), await one_by_one(alone, bench)
                    if name == "Tilestep":
                        outside[name].append(outside_steps(contender, done[0], taken))
                        outside["first come"].append(outside_steps(alone, done[1], after))
                    found[name].append(ratio(taken, mean(before, after)))
                    found["control"].append(ratio(after, before))
                    before = after
    return [_total_row(found, 0, "by the wall"), _total_row(found, 1, "processor"), _outside_row(outside)]


def outside_steps(contender: Contender, done: int, taken: Seconds) -> float:
    """The part of a run in which nobody was in a step: choosing, handing over, and the host's work between steps."""
    return 1 - sum(step.gpu_ms for step in contender.steps()[done:]) / 1000 / taken[0]


def _outside_row(found: dict[str, list[float]]) -> Row:
    parts = {name: median(rounds) for name, rounds in found.items()}
    added = parts["Tilestep"] - parts["first come"]
    note = f"of the wall's time {parts['Tilestep']:.4f}, one after another {parts['first come']:.4f}"
    return Row("time outside steps, added by interleaving, part", "0.02", {"Tilestep": added}, at_most(0.02), note)


def ratio(one: Seconds, two: Seconds) -> Seconds:
    return one[0] / two[0], one[1] / two[1]


def mean(one: Seconds, two: Seconds) -> Seconds:
    return (one[0] + two[0]) / 2, (one[1] + two[1]) / 2


def _total_row(found: dict[str, list[Seconds]], which: int, unit: str) -> Row:
    ratios = {name: [seconds[which] for seconds in rounds] for name, rounds in found.items()}
    control, ours = sorted(ratios.pop("control")), sorted(ratios["Tilestep"])
    note = (
        f"{JOBS_EACH} images, {JOBS_EACH} upscales, {len(ours)} rounds: from {ours[0]:.3f} to {ours[-1]:.3f}; one "
        f"after another against itself {median(control):.3f}, from {control[0]:.3f} to {control[-1]:.3f}"
    )
    values = {name: median(rounds) for name, rounds in ratios.items()}
    return Row(f"interleaved against one after another, time {unit}", "1.02", values, at_most(1.02), note)


async def batching_row(bench: Bench) -> Row:
    """Members who upscale small pictures at once, against one after another on the same scheduler."""
    ratios = []
    async with as_bots_do(bench) as contender:
        await (await contender.upscale(Members().new(), bench.click_px))
        for _ in range(max(bench.rounds, LEAST_BATCHING_ROUNDS)):
            apart = await _upscales(contender, bench, at_once=False)
            at_once = await _upscales(contender, bench, at_once=True)
            ratios.append(ratio(at_once, mean(apart, await _upscales(contender, bench, at_once=False))))
    wall, processor = (median(column) for column in zip(*ratios, strict=True))
    note = f"pictures of {bench.click_px} px; processor time {processor:.3f}"
    return Row(
        f"{USERS} members upscaling at once against one after another", "below 1", {"Tilestep": wall}, below(1), note
    )


async def _upscales(contender: Contender, bench: Bench, at_once: bool) -> Seconds:
    members, watch = Members(), Stopwatch()
    handles = []
    for _ in range(USERS):
        handles.append(await contender.upscale(members.new(), bench.click_px))
        if not at_once:
            await handles[-1]
    for handle in handles:
        await handle
    return watch.read()


@contextlib.asynccontextmanager
async def ticking() -> AsyncIterator[list[float]]:
    """How much later than asked for each turn of the event loop came, in milliseconds."""
    late_ms: list[float] = []

    async def tick() -> None:
        while True:
            asked_s = time.perf_counter() + TICK_S
            await asyncio.sleep(TICK_S)
            late_ms.append((time.perf_counter() - asked_s) * 1000)

    task = asyncio.create_task(tick())
    yield late_ms
    task.cancel()


async def forecast_rows(bench: Bench) -> list[Row]:
    """Two waves of the same work: the first teaches what jobs cost, the second is forecast and watched."""
    async with ticking() as calm_ms:
        await asyncio.sleep(3)
    async with Tilestep(bench) as contender, ticking() as late_ms:
        await _wave(contender, bench)
        errors = await _watched(contender, await _wave(contender, bench, wait=False))
    early = sorted(error for part, error in errors if part < 0.5)
    every = sorted(error for _, error in errors)
    note = (
        f"relative, of {len(every)} looks at {3 * JOBS_EACH} jobs: 95 % below {percentile(every, 95):.3f}; in the "
        f"first half of a job's life median {percentile(early, 50):.3f}"
    )
    stall = Row(
        "longest stall of the event loop under load, ms", f"{STALL_MS:.0f}",
        {"Tilestep": max(late_ms)}, at_most(STALL_MS),
        f"99 % of turns below {quantiles(late_ms, n=100)[98]:.1f} ms; with nothing to do longest {max(calm_ms):.1f} ms",
        "{:.1f}",
    )  # fmt: skip
    return [Row("error of the time left, median", "", {"Tilestep": percentile(every, 50)}, None, note), stall]


async def _wave(contender: Tilestep, bench: Bench, wait: bool = True) -> list[int]:
    members = Members()
    handles = []
    for _ in range(JOBS_EACH):
        handles.append(await contender.image(members.new(), bench.image))
        handles.append(await contender.image(members.new(), bench.dear))
        handles.append(await contender.upscale(members.new(), bench.picture_px))
    for handle in handles if wait else ():
        await handle
    return [handle.job for handle in handles]


async def _watched(contender: Tilestep, jobs: list[int]) -> list[tuple[float, float]]:
    """Every forecast of these jobs: at what part of a job's life it was made, and its relative error in device time."""
    looks: dict[int, list[tuple[float, float]]] = {job: [] for job in jobs}
    ends_ms: dict[int, float] = {}
    while len(ends_ms) < len(jobs):
        now = contender.gpu.statistics()
        left_ms = {status.job: status.left_ms for status in now.jobs}
        for job in jobs:
            if left_ms.get(job) is not None:
                looks[job].append((now.served_ms, float(left_ms[job] or 0)))
            elif job not in left_ms:
                ends_ms.setdefault(job, now.served_ms)
        await asyncio.sleep(LOOK_S)
    began_ms = min(found[0][0] for found in looks.values() if found)
    return [
        ((at_ms - began_ms) / (ends_ms[job] - began_ms), abs(left_ms / (ends_ms[job] - at_ms) - 1))
        for job, found in looks.items()
        for at_ms, left_ms in found
        if ends_ms[job] - at_ms > (ends_ms[job] - began_ms) / 20
    ]
