"""How long a job will still take: what it has left of its own work, and what the others take meanwhile.

The device is thought of as divided at every moment by the weights among all that is backlogged, which deficit round
robin follows within a turn (Parekh and Gallager 1993, generalized processor sharing). Knows no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilestep.bot.gpu.fairness import FairSettings
from tilestep.bot.gpu.gate import Progress
from tilestep.bot.gpu.task import Claim

SMOOTHING = 0.2
ROUNDING = 0.01
PACED = ("denoise", "tiles")

Numbers = NDArray[np.float64]
Groups = NDArray[np.intp]
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
    left = np.array([job.left_ms for job in jobs], dtype=float)
    shares = _Shares([job.claim for job in jobs], settings, at_once)
    waiting = np.ones(len(jobs), dtype=bool)
    now_ms = 0.0
    ends: dict[int, float] = {}
    while waiting.any():
        rates = shares.rates(waiting)
        times = np.divide(left, rates, out=np.full_like(left, np.inf), where=rates > 0)
        step_ms = float(times.min())
        now_ms += step_ms
        left = np.maximum(left - step_ms * rates, 0)
        for index in np.flatnonzero(times <= step_ms + ROUNDING * now_ms).tolist():
            ends[jobs[index].claim.job] = now_ms
            waiting[index] = False
    return ends


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

    def rates(self, waiting: Flags) -> Numbers:
        """Parts that add up to 1; 0 of those that are not served."""
        served = self._first_of_member(self._started(waiting))
        in_guild = _part(np.where(served, self._weight, 0), self._guild)
        of_guild = _spread(served, self._guild, self._guild_weight, self._kind)
        of_kind = _spread(served, self._kind, self._kind_weight, np.zeros_like(self._kind))
        return in_guild * of_guild * of_kind

    def _started(self, waiting: Flags) -> Flags:
        started = np.zeros_like(waiting)
        for kind, limit in enumerate(self._limits):
            started[np.flatnonzero(waiting & (self._kind == kind))[:limit]] = True
        return started

    def _first_of_member(self, started: Flags) -> Flags:
        places = np.flatnonzero(started)
        first = np.zeros_like(started)
        first[places[np.unique(self._member[places], return_index=True)[1]]] = True
        return first


def _spread(served: Flags, group: Groups, weight: Numbers, parent: Groups) -> Numbers:
    """Of every job's group, its part among the groups of the same parent that are served."""
    alive = np.zeros(len(weight), dtype=bool)
    alive[group[served]] = True
    parents = np.zeros(len(weight), dtype=np.intp)
    parents[group] = parent
    return _part(np.where(alive, weight, 0), parents)[group]


def _part(weight: Numbers, group: Groups) -> Numbers:
    total = np.bincount(group, weight)[group]
    return np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)


def _grouped(keys: Sequence[Hashable], weights: Mapping[Any, int]) -> tuple[Groups, Numbers]:
    """Each one's group by number, and the groups' weights."""
    number = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    return np.array([number[key] for key in keys], dtype=np.intp), np.array([weights[k] for k in number], dtype=float)
