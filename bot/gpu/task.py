"""What is asked of the GPU, as plain data: whose work it is, what kind, what to run, how it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

from tilestep.bot.gpu.gate import Phase, Progress, StepGate
from tilestep.bot.gpu.memory import MemoryNeed

T_co = TypeVar("T_co", covariant=True)

IMAGE = "image"
UPSCALE = "upscale"
LOADING = "loading"

JobState = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class Flow:
    """Whom a step is charged to: a member, within a guild."""

    guild: int | str
    member: int | str


@dataclass(frozen=True)
class Claim:
    """What the policy knows of a job: numbered as submitted; larger `priority` goes first among the member's own."""

    job: int
    flow: Flow
    kind: str = IMAGE
    priority: int = 0


@dataclass(frozen=True)
class Task(Generic[T_co]):
    """Work with a thread of its own: `run` blocks, and touches the device only inside `gate.step(...)`."""

    run: Callable[[StepGate], T_co]
    kind: str = IMAGE
    need: MemoryNeed = field(default_factory=MemoryNeed)
    name: str = "task"


@dataclass(frozen=True)
class SharedStep:
    """What one step of a shared task did.

    `parts`: how much of the step each job had, in any unit (tiles); the cost is split in that proportion.
    `progress`, `results`, `errors`: news of jobs; a job with a result or an error is over.
    """

    parts: Mapping[int, int]
    phase: Phase = "tiles"
    progress: Mapping[int, Progress] = field(default_factory=dict)
    results: Mapping[int, Any] = field(default_factory=dict)
    errors: Mapping[int, BaseException] = field(default_factory=dict)


@dataclass(frozen=True)
class SharedTurn:
    """What the policy wants of a shared step: whose turn it is, about how long it may take, and who had too much."""

    owed: int
    quantum_ms: float
    indebted: frozenset[int] = frozenset()


class SharedTask(Protocol):
    """Work of many jobs that advances together: one thread, one step for all. Every method is called by that thread.

    `add` and `drop` run outside a step and leave the device alone.
    """

    @property
    def kind(self) -> str: ...

    def add(self, job: int, order: Any) -> None:
        """Takes a job; `order` is what was submitted. An exception fails that job alone."""
        ...

    def drop(self, job: int) -> None:
        """Forgets a cancelled job; unknown ones are ignored."""
        ...

    def step(self, turn: SharedTurn) -> SharedStep | None:
        """One step for as many jobs as it holds; None when nothing can run."""
        ...

    def close(self) -> None:
        """Lets go of what it holds."""
        ...


@dataclass(frozen=True)
class JobStatus:
    """How a job stands; times in milliseconds.

    `waited_ms`: until its first step, or until now. `ahead`: jobs of its kind that are to be started before it; 0 once
    it runs. `left_ms`: estimate of the time until it is done, None as long as nothing is known to estimate it from.
    """

    job: int
    flow: Flow
    kind: str
    name: str
    state: JobState
    priority: int
    progress: Progress
    gpu_ms: float
    steps: int
    waited_ms: float
    ahead: int = 0
    left_ms: float | None = None
