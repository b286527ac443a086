"""How long a job will still take: what it has left of its own work, and what the others take meanwhile.

The device is thought of as divided at every moment by the weights among all that is backlogged, which deficit round
robin follows within a turn (Parekh and Gallager 1993, generalized processor sharing). Knows no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilestep.bot.gpu.fairness import FairSettings
from tilestep.bot.gpu.gate import Progress
from tilestep.bot.gpu.task import Claim

SMOOTHING = 0.2
FUZZ = 1e-9
EXACT_JOBS = 32
MOST_TURNS = 64
COARSE = 0.15
FINEST = 1 / 256
PACED = ("denoise", "tiles")

Numbers = NDArray[np.float64]
Places = NDArray[np.intp]
Flags = NDArray[np.bool_]


class CostBook:
    """What jobs of a name cost, in device milliseconds per unit of their size; newer ones count more."""

    def __init__(self) -> None:
        self._per_unit: dict[str, float] = {}

    def note(self, name: str, size: float, gpu_ms: float) -> None:
        """A job of this name was completed."""
        measured = gpu_ms / size
        before = self._per_unit.get(name, measured)
        self._per_unit[name] = before + SMOOTHING * (measured - before)

    def left_ms(self, name: str, size: float, gpu_ms: float, progress: Progress) -> float | None:
        """What a job has left of its own work; None when neither it nor any before it tells.

        The further a job is, the more its own pace counts, and the less that of the jobs before it. Encoding and
        decoding are no measure of how far it is: their pieces are few, and a small part of it.
        """
        expected = self._per_unit.get(name)
        paced = progress.total and progress.phase in PACED
        done = min(progress.done / progress.total, 1.0) if paced else 0.0
        if not done:
            return None if expected is None else max(expected * size - gpu_ms, 0.0)
        own = gpu_ms / done
        whole = own if expected is None else done * own + (1 - done) * expected * size
        return (1 - done) * whole


@dataclass(frozen=True)
class Ahead:
    """A job and what it has left, in device milliseconds."""

    claim: Claim
    left_ms: float


def forecast(jobs: Sequence[Ahead], settings: FairSettings, at_once: Callable[[str], int]) -> dict[int, float]:
    """Device milliseconds until each job is done, if nothing new comes.

    `jobs` in the order in which they start; `at_once` of a kind are under way at a time, and of a member's the first.
    """
    ends: dict[int, float] = {}
    for ended in turns(jobs, settings, at_once):
        ends.update(ended)
    return ends


def turns(jobs: Sequence[Ahead], settings: FairSettings, at_once: Callable[[str], int]) -> Iterator[dict[int, float]]:
    """The forecast turn by turn: who is done in it, and when. Within a turn everyone's part of the device is the same.

    Up to `EXACT_JOBS` a turn lasts until the first job is done. Of more jobs it lasts at least a part of the time that
    has passed before it, and what would start meanwhile counts as started: what is far off is told roughly, and the
    number of turns, at most `MOST_TURNS`, hardly grows with that of the jobs. The last one is done when all work is.
    """
    left = np.array([job.left_ms for job in jobs], dtype=float)
    shares = _Shares([job.claim for job in jobs], settings, at_once)
    alive = np.ones(len(jobs), dtype=bool)
    shortest_ms, coarse = (left.sum() * FINEST, COARSE) if len(jobs) > EXACT_JOBS else (0.0, 0.0)
    now_ms, turn = 0.0, 0
    while alive.any():
        turn += 1
        slack_ms = max(shortest_ms, coarse * now_ms) if turn < MOST_TURNS else np.inf
        queues = shares.queues(np.flatnonzero(alive), left, slack_ms)
        over, spent, pace = queues.serve(slack_ms)
        ended, ends_ms = queues.jobs[over], (now_ms + queues.times_ms[over] * pace).round(3)
        yield {jobs[n].claim.job: end_ms for n, end_ms in zip(ended.tolist(), ends_ms.tolist(), strict=True)}
        left[queues.jobs] -= spent
        alive[ended] = False
        now_ms += float(spent.sum())


@dataclass(frozen=True)
class _Queues:
    """Jobs that have started, member by member: left of each, left with those of the member before it, and its rate."""

    jobs: Places
    own_ms: Numbers
    until_ms: Numbers
    rates: Numbers

    @property
    def times_ms(self) -> Numbers:
        """When each is done at this rate."""
        return self.until_ms / self.rates

    def serve(self, slack_ms: float) -> tuple[Flags, Numbers, float]:
        """Until the first is done, or for `slack_ms`: who is over, what each had, and how much sooner that is.

        It is sooner where members have nothing left before the end: the device goes on with the others.
        """
        times_ms = self.times_ms
        window_ms = min(max(times_ms.min(), slack_ms), times_ms.max())
        over = times_ms <= window_ms * (1 + FUZZ)
        had = np.clip(self.rates * window_ms - (self.until_ms - self.own_ms), 0, self.own_ms)
        had[over] = self.own_ms[over]
        return over, had, min(float(had.sum()) / window_ms, 1.0) if window_ms else 1.0


class _Shares:
    """Each job's part of the device, by the weights of kind, guild and member."""

    def __init__(self, claims: Sequence[Claim], settings: FairSettings, at_once: Callable[[str], int]) -> None:
        kinds = [claim.kind for claim in claims]
        guilds = [(claim.kind, claim.flow.guild) for claim in claims]
        self._kind, self._kind_weight = _grouped(kinds, {k: settings.kind_weights.get(k, 1) for k in kinds})
        self._guild, self._guild_weight = _grouped(guilds, {g: settings.guild_weights.get(g[1], 1) for g in guilds})
        self._member, _ = _grouped(members := [(c.kind, c.flow.member) for c in claims], dict.fromkeys(members, 1))
        self._weight = np.array([settings.member_weights.get(c.flow.member, 1) for c in claims], dtype=float)
        self._limits = [at_once(kind) for kind in dict.fromkeys(kinds)]

    def queues(self, waiting: Places, left: Numbers, slack_ms: float) -> _Queues:
        """Of the jobs that are not over, those that have started or will before `slack_ms` of their kind's work."""
        jobs = self._started(waiting, left, slack_ms)
        jobs = jobs[np.argsort(self._member[jobs], kind="stable")]
        member, own_ms = self._member[jobs], left[jobs]
        heads = np.flatnonzero(np.append(True, member[1:] != member[:-1]))
        lengths = np.diff(np.append(heads, len(jobs)))
        total_ms = np.cumsum(own_ms)
        until_ms = total_ms - np.repeat(total_ms[heads] - own_ms[heads], lengths)
        return _Queues(jobs, own_ms, until_ms, np.repeat(self._rates(jobs[heads]), lengths))

    def _started(self, waiting: Places, left: Numbers, slack_ms: float) -> Places:
        started = []
        for kind, limit in enumerate(self._limits):
            jobs = waiting[self._kind[waiting] == kind]
            before_ms = np.cumsum(left[jobs]) - left[jobs]
            started.append(jobs[(np.arange(len(jobs)) < limit) | (before_ms < slack_ms)])
        return np.concatenate(started)

    def _rates(self, served: Places) -> Numbers:
        """Parts that add up to 1."""
        guild, kind = self._guild[served], self._kind[served]
        in_guild = _part(self._weight[served], guild)
        guilds, of_guild = np.unique(guild, return_index=True)
        guild_part = np.zeros(len(self._guild_weight))
        guild_part[guilds] = _part(self._guild_weight[guilds], kind[of_guild])
        kinds = np.unique(kind)
        kind_part = np.zeros(len(self._kind_weight))
        kind_part[kinds] = self._kind_weight[kinds] / self._kind_weight[kinds].sum()
        return in_guild * guild_part[guild] * kind_part[kind]


def _part(weight: Numbers, group: Places) -> Numbers:
    return weight / np.bincount(group, weight)[group]


def _grouped(keys: Sequence[Hashable], weights: Mapping[Any, int]) -> tuple[Places, Numbers]:
    """Each one's group by number, and the groups' weights."""
    number = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    return np.array([number[key] for key in keys], dtype=np.intp), np.array([weights[k] for k in number], dtype=float)
