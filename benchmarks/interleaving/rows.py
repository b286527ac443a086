"""The rows that are measured with a log of steps: shares, waits, slow-downs, cancelling."""

from __future__ import annotations

import asyncio
import functools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from interleaving.contenders import BASELINES, CONTENDERS, Contender, Tilestep
from interleaving.load import (
    Members,
    Submit,
    backlogged,
    begun_after,
    denoised,
    give_up,
    served,
    step_ms,
    under_way,
    used_ms,
    waited_ms,
)
from interleaving.models import Bench
from interleaving.table import Row, at_most, within

from tilestep.bot.gpu import Flow
from tilestep.bot.gpu.fairness import FairSettings
from tilestep.bot.gpu.seats import LeaseRecord
from tilestep.bot.gpu.task import IMAGE, UPSCALE

IMAGE_WEIGHT = 2
MEMBER_WEIGHTS = {"dear": 1, "cheap": 2, "dear too": 3, "tiles": 1, "tiles too": 2}
GUILD_OF_FIFTY = 50
LOAD_MEMBERS = 6
BASELINE_TIMES = 3
WARM_PART = 0.2
Build = Callable[[Bench], Contender]


@dataclass(frozen=True)
class Shares:
    """What each flow should have and had, and the steps that it is read from."""

    expected: dict[str, float]
    had: dict[str, float]
    steps: list[LeaseRecord]
    owners: dict[int, Flow]

    @property
    def error(self) -> float:
        """The largest relative deviation."""
        return max(abs(self.had.get(name, 0.0) / part - 1) for name, part in self.expected.items())


def expected_shares() -> dict[str, float]:
    """Of the device: two thirds for images, a third for upscales, members by weight in each."""
    total = IMAGE_WEIGHT + 1
    images = {name: MEMBER_WEIGHTS[name] for name in ("dear", "cheap", "dear too")}
    tiles = {name: MEMBER_WEIGHTS[name] for name in ("tiles", "tiles too")}
    parts = {name: IMAGE_WEIGHT / total * weight / sum(images.values()) for name, weight in images.items()}
    return parts | {name: 1 / total * weight / sum(tiles.values()) for name, weight in tiles.items()}


async def shares_of(bench: Bench, build: Build) -> Shares:
    """Five members with weights, all backlogged; steps of images differ tenfold."""
    async with build(bench) as contender:
        submits: list[Submit] = []
        for name, image in (("dear", bench.dear), ("cheap", bench.cheap), ("dear too", bench.dear)):
            submits.append(functools.partial(contender.image, Flow("guild", name), image))
        for name in ("tiles", "tiles too"):
            submits.append(functools.partial(contender.upscale, Flow("guild", name), bench.large_px))
        async with backlogged(submits):
            steps = await window(contender, bench.shares_ms)
        members = {job: str(flow.member) for job, flow in contender.owners.items()}
    used = used_ms(steps, members)
    return Shares(expected_shares(), {name: ms / used.total() for name, ms in used.items()}, steps, contender.owners)


async def window(contender: Contender, window_ms: float) -> list[LeaseRecord]:
    """The steps of a window of device time, once shares are steady; baselines get a quarter of it."""
    ours = isinstance(contender, Tilestep)
    window_ms = window_ms if ours else window_ms / 4
    await served(contender, window_ms * WARM_PART, time.monotonic())
    return await served(contender, window_ms, time.monotonic())


async def weights_row(bench: Bench) -> tuple[Row, dict[str, Shares]]:
    fairness = FairSettings({IMAGE: IMAGE_WEIGHT}, member_weights=MEMBER_WEIGHTS, slice_quanta=1, follow_steps=True)
    found = {"Tilestep": await shares_of(bench, functools.partial(Tilestep, fairness=fairness))}
    for name, build in BASELINES.items():
        found[name] = await shares_of(bench, build)
    ours = found["Tilestep"]
    costs = {
        name: median(s.gpu_ms for s in ours.steps if s.claim.flow.member == name and s.phase == "denoise")
        for name in ("dear", "cheap")
    }
    parts = ", ".join(f"{name} {ours.had[name]:.3f} of {part:.3f}" for name, part in ours.expected.items())
    note = f"steps of {costs['dear']:.1f} and {costs['cheap']:.1f} ms; {parts}"
    values = {name: shares.error for name, shares in found.items()}
    return Row("backlogged flows: largest deviation from their weights", "0.05", values, at_most(0.05), note), found


async def guild_share(bench: Bench, build: Build, kind: str) -> float:
    """Part of the device that a guild of one member has beside a guild of fifty."""
    async with build(bench) as contender:
        flows = [Flow("one", "alone")] * 4 + [Flow("fifty", f"member {n}") for n in range(GUILD_OF_FIFTY)]
        if kind == IMAGE:
            submits = [functools.partial(contender.image, flow, replace(bench.cheap, steps=12)) for flow in flows]
        else:
            submits = [functools.partial(contender.upscale, flow, bench.large_px) for flow in flows]
        async with backlogged(submits, 1):
            steps = await window(contender, bench.guilds_ms)
        used = used_ms(steps, {job: str(flow.guild) for job, flow in contender.owners.items()})
    return used["one"] / used.total()


async def guilds_rows(bench: Bench) -> list[Row]:
    rows = []
    for kind in (IMAGE, UPSCALE):
        values = {name: await guild_share(bench, build, kind) for name, build in CONTENDERS.items()}
        name = f"a guild of one beside a guild of fifty, {kind}s: its share"
        rows.append(Row(name, "0.5 +- 5 %", values, within(0.5, 0.05)))
    return rows


async def click_waits(bench: Bench, build: Build, times: int) -> tuple[list[float], str]:
    """Waits under full load of new images, in denoising steps plus quanta."""
    members, units = Members(), []
    walls_ms = []
    async with build(bench) as contender:
        await (await contender.upscale(members.new(), bench.click_px))
        load = [functools.partial(contender.image, members.new(), bench.image) for _ in range(LOAD_MEMBERS)]
        async with backlogged(load, 1):
            await denoised(contender)
            for _ in range(times):
                asked_s = time.monotonic()
                handle = await contender.upscale(members.new(), bench.click_px)
                await handle
                steps = contender.steps()
                usual_ms = step_ms(steps)
                quantum_ms = contender.gpu.statistics().quantum_ms if isinstance(contender, Tilestep) else usual_ms
                units.append(waited_ms(steps, asked_s, handle.job) / (usual_ms + quantum_ms))
                walls_ms.append(1000 * (next(s.started_s for s in steps if handle.job in s.parts) - asked_s))
    return (
        units,
        f"a step {usual_ms:.1f} ms, a quantum {quantum_ms:.1f} ms; by the wall median {median(walls_ms):.0f} ms",
    )


async def click_row(bench: Bench) -> tuple[Row, dict[str, list[float]]]:
    waits, note = await click_waits(bench, Tilestep, bench.clicks)
    found = {"Tilestep": waits}
    for name, build in BASELINES.items():
        found[name] = (await click_waits(bench, build, BASELINE_TIMES))[0]
    note = f"{len(waits)} clicks, median {median(waits):.2f}, longest {max(waits):.2f}; {note}"
    values = {name: max(units) for name, units in found.items()}
    name = "a click under load of images: longest wait, steps + quanta"
    return Row(name, "1", values, at_most(1.0), note, "{:.2f}"), found


async def slow_downs(bench: Bench, build: Build, times: int) -> list[float]:
    """Device time that passes while an image is made under full load of upscales, by its own."""
    members, found = Members(), []
    async with build(bench) as contender:
        load = [functools.partial(contender.upscale, members.new(), bench.large_px) for _ in range(LOAD_MEMBERS)]
        async with backlogged(load, 1):
            await served(contender, 1, time.monotonic())
            for _ in range(times):
                asked_s = time.monotonic()
                handle = await contender.image(members.new(), replace(bench.image, steps=3 * bench.image.steps))
                await handle
                steps = contender.steps()
                mine = [n for n, step in enumerate(steps) if handle.job in step.parts]
                own_ms = sum(steps[n].gpu_ms for n in mine)
                waited = waited_ms(steps, asked_s, handle.job)
                found.append((waited + sum(step.gpu_ms for step in steps[mine[0] : mine[-1] + 1])) / own_ms)
    return found


async def slow_down_row(bench: Bench) -> Row:
    ours = await slow_downs(bench, Tilestep, bench.rounds)
    values = {"Tilestep": median(ours)}
    for name, build in BASELINES.items():
        values[name] = median(await slow_downs(bench, build, BASELINE_TIMES))
    note = f"{len(ours)} images of {3 * bench.image.steps} steps: from {min(ours):.3f} to {max(ours):.3f}"
    name = "a new image under load of upscales: slow-down"
    return Row(name, "2 +- 5 %", values, within(2.0, 0.05), note)


async def cancel_row(bench: Bench) -> Row:
    """Images and upscales by turns, cancelled under load, while they run or wait for their turn."""
    members, counts, walls_ms = Members(), Counter[int](), []
    long_image = replace(bench.image, steps=50 * bench.image.steps)
    async with Tilestep(bench) as contender:
        load: list[Submit] = [functools.partial(contender.image, members.new(), bench.image) for _ in range(2)]
        load += [functools.partial(contender.upscale, members.new(), bench.large_px) for _ in range(2)]
        async with backlogged(load, 1):
            for number in range(bench.clicks):
                if number % 2:
                    handle = await contender.image(members.new(), long_image)
                else:
                    handle = await contender.upscale(members.new(), bench.large_px)
                taken, wall_ms = await cancel(contender, handle)
                counts[taken] += 1
                walls_ms.append(wall_ms)
    note = f"{bench.clicks} cancelled; steps: " + ", ".join(
        f"{n}: {times} times" for n, times in sorted(counts.items())
    )
    note += f"; JobCancelled after {median(walls_ms):.0f} ms"
    return Row("cancel: the job's own steps from then on", "1", {"Tilestep": max(counts)}, at_most(1), note, "{:.0f}")


async def cancel(contender: Tilestep, handle: Any) -> tuple[int, float]:
    """Cancels a job once it is at work; its steps from then on, one under way included, and milliseconds."""
    while handle.status().steps < 3:
        await asyncio.sleep(0.01)
    moment_s = time.monotonic()
    await give_up([handle])
    wall_ms = (time.monotonic() - moment_s) * 1000
    steps = contender.steps()
    return under_way(steps, handle.job, moment_s) + begun_after(steps, handle.job, moment_s), wall_ms
