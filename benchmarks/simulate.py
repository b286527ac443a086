"""How many members can one RTX 3080 serve, and how long do they wait? The scheduler's own policy in virtual time.

    python benchmarks/simulate.py [--members 1 10 100 1000] [--hours 1] [--model sd15 sdxl] [--out out/simulate]

Members ask for a picture every 20 minutes on average, at random; every tenth asks ten times as often; 20 make a guild.
A third of the pictures are then enlarged by 2. Compared with first come, first served behind the same bounded queue,
where a job runs from its first step to its last. Times in seconds, of the jobs that were done; `rtx3080.py` says where
the costs come from. Prints a table, and writes it and its plots to the folder --out. Takes a minute or two.

Jain's index: of what each member got, relative to a max-min fair division of what all got together; 1 is fair.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

from rtx3080 import Costs, all_costs

from tilestep.bot.gpu.errors import QueueFull
from tilestep.bot.gpu.fairness import FairPolicy, FairSettings
from tilestep.bot.gpu.options import GpuSettings
from tilestep.bot.gpu.statistics import jain_index, percentile
from tilestep.bot.gpu.task import IMAGE, UPSCALE, Claim, Flow
from tilestep.bot.gpu.waiting import WaitingRoom

GUILD_SIZE = 20
HEAVY_EVERY, HEAVY_TIMES = 10, 10
MINUTES_BETWEEN_PICTURES = 20.0
UPSCALED_PART = 1 / 3
SECONDS_TO_CLICK = 20.0
LONG_S = 60.0
MEMBER_HOURS = 20.0
MOST_MEMBERS = 2000
PERCENTS = (50, 95, 99)


@dataclass
class Work:
    """A job: milliseconds of its steps that are left, or passes of the tile network."""

    claim: Claim
    asked_ms: float
    steps: deque[float] = field(default_factory=deque)
    tile_passes: int = 0
    began: bool = False


@dataclass
class Result:
    """What members saw: seconds until the first step and until done, by kind; device milliseconds by member."""

    waits: dict[str, list[float]] = field(default_factory=lambda: {IMAGE: [], UPSCALE: []})
    ends: dict[str, list[float]] = field(default_factory=lambda: {IMAGE: [], UPSCALE: []})
    refused: int = 0
    unfinished: int = 0
    asked_ms: Counter[int] = field(default_factory=Counter)
    given_ms: Counter[int] = field(default_factory=Counter)

    @property
    def fairness(self) -> float:
        fair = max_min(self.asked_ms, sum(self.given_ms.values()))
        return jain_index(min(self.given_ms[member] / part, 1.0) if part else 1.0 for member, part in fair.items())


def max_min(asked: Counter[int], capacity: float) -> dict[int, float]:
    """Everyone gets what they asked for or an equal part of what is left, whichever is less."""
    fair: dict[int, float] = {}
    for left, (member, wish) in zip(range(len(asked), 0, -1), sorted(asked.items(), key=lambda i: i[1]), strict=True):
        fair[member] = min(wish, capacity / left)
        capacity -= fair[member]
    return fair


class Simulation:
    """One GPU, one policy. `fair` False: first come, first served."""

    def __init__(self, costs: Costs, members: int, hours: float, fair: bool, seed: int = 0) -> None:
        self._costs, self._fair, self._until_ms = costs, fair, max(hours, MEMBER_HOURS / members) * 3.6e6
        self._random = random.Random(seed)
        self._options = GpuSettings()
        settings = FairSettings(quantum_us=round(costs.step_ms * 1000))
        self._policy, self._room = FairPolicy(settings), WaitingRoom(self._options.limits, settings)
        self._numbers = itertools.count()
        self._arrivals: list[tuple[float, int, int, str]] = []
        self._works: dict[int, Work] = {}
        self._now_ms = 0.0
        self.result = Result()
        for member in range(members):
            self._plan(member, IMAGE, self._pause_ms(member))

    def run(self) -> Result:
        while self._now_ms < self._until_ms:
            while self._arrivals[0][0] <= self._now_ms:
                self._arrive(*heapq.heappop(self._arrivals)[2:])
            claim = self._policy.pick() if self._fair else self._oldest()
            if claim is None:
                self._now_ms = self._arrivals[0][0]
            elif claim.kind == IMAGE:
                self._image_step(self._works[claim.job])
            else:
                self._tiles_step(claim)
        self.result.unfinished = len(self._works)
        return self.result

    def _pause_ms(self, member: int) -> float:
        often = HEAVY_TIMES if member % HEAVY_EVERY == 0 else 1
        return self._random.expovariate(often / (MINUTES_BETWEEN_PICTURES * 60_000))

    def _plan(self, member: int, kind: str, in_ms: float) -> None:
        heapq.heappush(self._arrivals, (self._now_ms + in_ms, next(self._numbers), member, kind))

    def _arrive(self, member: int, kind: str) -> None:
        if kind == IMAGE:
            self._plan(member, IMAGE, self._pause_ms(member))
            work = self._work(member, kind, deque(self._costs.image), 0)
        else:
            work = self._work(member, kind, deque(), self._costs.tile_passes)
        self.result.asked_ms[member] += round(sum(work.steps) + work.tile_passes * self._costs.tile_pass_ms)
        try:
            self._room.enter(work.claim, self._policy.served_us)
        except QueueFull:
            self.result.refused += 1
            return
        self._works[work.claim.job] = work
        self._start()

    def _work(self, member: int, kind: str, steps: deque[float], tile_passes: int) -> Work:
        claim = Claim(next(self._numbers), Flow(member // GUILD_SIZE, member), kind)
        return Work(claim, self._now_ms, steps, tile_passes)

    def _start(self) -> None:
        """As many as may be under way at once; first come, first served knows no such bound."""
        while self._fair:
            kinds = [kind for kind in (IMAGE, UPSCALE) if self._room.running(kind) < self._options.at_once_of(kind)]
            claim = self._room.next(kinds, self._policy.served_us, lambda c: True, lambda c: False)
            if claim is None:
                return
            self._room.start(claim.job)
            self._policy.arrive(claim)

    def _oldest(self) -> Claim | None:
        return next(iter(self._works.values())).claim if self._works else None

    def _image_step(self, work: Work) -> None:
        self._spend(work.steps.popleft(), {work.claim.job: 1}, work.claim)
        if not work.steps:
            self._end(work)

    def _tiles_step(self, owed: Claim) -> None:
        """A batch of about one quantum: a tile of each upscale in turn, or of the oldest alone."""
        room = max(round(self._costs.step_ms / self._costs.tile_pass_ms), 1)
        waiting = [w for w in self._works.values() if w.tile_passes and (w.claim.job in self._policy or not self._fair)]
        waiting = waiting if self._fair else waiting[:1]
        parts: Counter[int] = Counter()
        while waiting and room:
            for work in waiting[:room]:
                work.tile_passes -= 1
                parts[work.claim.job] += 1
            room -= len(waiting[:room])
            waiting = [work for work in waiting if work.tile_passes]
        self._spend(sum(parts.values()) * self._costs.tile_pass_ms, parts, owed)
        for job in parts:
            if not self._works[job].tile_passes:
                self._end(self._works[job])

    def _spend(self, cost_ms: float, parts: dict[int, int], owed: Claim) -> None:
        for job, part in parts.items():
            work = self._works[job]
            if not work.began:
                work.began = True
                self.result.waits[work.claim.kind].append((self._now_ms - work.asked_ms) / 1000)
            own_ms = cost_ms * part / sum(parts.values())
            self.result.given_ms[int(work.claim.flow.member)] += round(own_ms)
            if self._fair:
                self._policy.charge(work.claim, round(own_ms * 1000), rider=job != owed.job)
        self._now_ms += cost_ms

    def _end(self, work: Work) -> None:
        claim = work.claim
        del self._works[claim.job]
        self._room.finish(claim.job)
        self.result.ends[claim.kind].append((self._now_ms - work.asked_ms) / 1000)
        if self._fair:
            self._policy.leave(claim.job)
            self._start()
        if claim.kind == IMAGE and self._random.random() < UPSCALED_PART:
            self._plan(int(claim.flow.member), UPSCALE, SECONDS_TO_CLICK * 1000)


def load_of(costs: Costs, members: int) -> float:
    """Device time asked for, relative to what there is."""
    heavy = -(-members // HEAVY_EVERY)
    pictures_per_ms = (members + heavy * (HEAVY_TIMES - 1)) / (MINUTES_BETWEEN_PICTURES * 60_000)
    return pictures_per_ms * (sum(costs.image) + UPSCALED_PART * costs.upscale_ms)


def keeps_up(costs: Costs, members: int, hours: float) -> bool:
    """Whether 95 of 100 pictures are done within a minute, and nobody is refused."""
    result = Simulation(costs, members, hours, fair=True).run()
    return not result.refused and percentile(sorted(result.ends[IMAGE]), 95) <= LONG_S


def most_members(costs: Costs, hours: float) -> int:
    """The most that one card keeps up with, by bisection."""
    low, high = 0, MOST_MEMBERS
    while high - low > max(low // 20, 1):
        middle = (low + high) // 2
        low, high = (middle, high) if keeps_up(costs, middle, hours) else (low, middle)
    return low


GROUPS = ("image waits", "image done after", "upscale waits", "upscale done after")
HEAD = (
    " " * 32
    + "".join(group.center(24) for group in GROUPS)
    + f"\n{'model':5}{'members':>8}{'policy':>12}{'load':>7}"
    + "".join(f"{f'p{p}':>8}" for p in PERCENTS) * len(GROUPS)
    + f"{'done':>7}{'refused':>9}{'left':>6}{'Jain':>7}"
)


def row(model: str, members: int, fair: bool, costs: Costs, result: Result) -> str:
    lists = [result.waits[IMAGE], result.ends[IMAGE], result.waits[UPSCALE], result.ends[UPSCALE]]
    times = "".join(f"{percentile(sorted(values), p):8.1f}" for values in lists for p in PERCENTS)
    done = len(result.ends[IMAGE]) + len(result.ends[UPSCALE])
    policy = "fair" if fair else "first come"
    begin = f"{model:5}{members:8}{policy:>12}{load_of(costs, members):7.2f}"
    return f"{begin}{times}{done:7}{result.refused:9}{result.unfinished:6}{result.fairness:7.3f}"


def plot(path: Path, model: str, found: dict[bool, list[tuple[int, Result]]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(14, 4))
    for fair, points in found.items():
        style, label = ("o-", "fair") if fair else ("x--", "first come, first served")
        members = [count for count, _ in points]
        rows = [
            [percentile(sorted(result.ends[IMAGE]), 95) for _, result in points],
            [percentile(sorted(result.waits[UPSCALE]), 95) for _, result in points],
            [result.fairness for _, result in points],
        ]
        for axis, values in zip(axes, rows, strict=True):
            axis.plot(members, values, style, label=label)
    titles = ("95 of 100 images done within, s", "95 of 100 upscales begin within, s", "Jain's index")
    for axis, title in zip(axes, titles, strict=True):
        axis.set(xscale="log", xlabel="members", title=title)
        axis.grid(alpha=0.3)
    for axis in axes[:2]:
        axis.set_yscale("symlog", linthresh=1)
        axis.set_ylim(bottom=0)
    axes[2].set_ylim(0, 1.05)
    axes[0].legend()
    figure.suptitle(model)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--model", nargs="+", choices=list(all_costs()), default=list(all_costs()))
    parser.add_argument("--out", type=Path, default=Path("out/simulate"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []

    def tell(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    tell(HEAD)
    for model in options.model:
        costs = all_costs()[model]
        found: dict[bool, list[tuple[int, Result]]] = {True: [], False: []}
        for members, fair in itertools.product(options.members, (True, False)):
            result = Simulation(costs, members, options.hours, fair).run()
            tell(row(model, members, fair, costs, result))
            found[fair].append((members, result))
        plot(options.out / f"{model}.png", costs.name, found)
    for model in options.model:
        costs = all_costs()[model]
        tell(
            f"{costs.name}: a step {costs.step_ms:.0f} ms, a picture {sum(costs.image) / 1000:.1f} s, an upscale "
            f"{costs.upscale_ms / 1000:.2f} s. One card keeps up with about {most_members(costs, options.hours)} "
            f"members (95 of 100 pictures done within {LONG_S:.0f} s, nobody refused); beyond that it is not enough."
        )
    (options.out / "table.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"Table and plots: {options.out}")


if __name__ == "__main__":
    main()
