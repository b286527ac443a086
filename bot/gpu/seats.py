"""What the lease keeps of threads, of jobs and of steps: plain data.

| | |
| --- | --- |
| `Seat` | a thread's place at the device |
| `Account` | what a job has had |
| `Grant` | a step that is under way |
| `Unread` | a step that is over, before its cost is known |
| `LeaseRecord` | a step in the log |
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from tilestep.bot.gpu.clock import Timing
from tilestep.bot.gpu.gate import Phase
from tilestep.bot.gpu.task import Claim


@dataclass(frozen=True)
class LeaseRecord:
    """One step in the order of the device: whose turn it was, what it did, what it cost, who had which part.

    `started_s`: when it was granted, by the monotonic clock.
    """

    claim: Claim
    phase: Phase
    gpu_ms: float
    parts: Mapping[int, int]
    started_s: float


@dataclass
class Account:
    """What a job has had so far; `started_s`: when its first step began, by the monotonic clock.

    `arrived_us`: device time at which it began to age.
    """

    claim: Claim
    gpu_us: int = 0
    steps: int = 0
    started_s: float | None = None
    arrived_us: int | None = None


@dataclass(eq=False)
class Seat:
    """A thread's place at the device; stands for one job, or for all jobs of a shared task.

    Only that thread adds and removes jobs.
    """

    wake: threading.Condition
    accounts: dict[int, Account] = field(default_factory=dict)
    asking: bool = False
    cancelled: bool = False
    grace_until_s: float = 0.0
    turn: Claim | None = None


@dataclass
class Grant:
    """A step that is under way. A shared task says in `parts` how much of it each job had; {} charges nobody."""

    claim: Claim
    phase: Phase
    parts: Mapping[int, int]
    quantum_ms: float
    indebted: frozenset[int]
    started_s: float


@dataclass(frozen=True)
class Unread:
    """A step that is over, and whose cost the device has not told yet."""

    grant: Grant
    accounts: Mapping[int, Account]
    timing: Timing


def cost_ms(timing: Timing) -> float:
    """0 of a step after which the device no longer answers: the job hears of that where it happened."""
    try:
        return timing.cost_ms()
    except RuntimeError:
        return 0.0


def start(account: Account | None, now_s: float) -> None:
    """The first step of the account, if it is that, begins now."""
    if account is not None and account.started_s is None:
        account.started_s = now_s


def split(cost_us: int, parts: Mapping[int, int]) -> dict[int, int]:
    """A cost in proportion to the parts, in whole microseconds that add up to it; {} of no parts."""
    total = sum(parts.values())
    shares: dict[int, int] = {}
    given = taken = 0
    for job, part in parts.items():
        taken += part
        shares[job] = cost_us * taken // total - given
        given += shares[job]
    return shares
