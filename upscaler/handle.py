"""What a caller holds of a request that the engine works on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Progress:
    """How far a request is. `steps_expected` is a forecast until the last tile has its step budget."""

    tiles_done: int
    tiles_total: int
    steps_done: int
    steps_expected: int


class AnyHandle(Protocol):
    """A request or several that hang together."""

    @property
    def parts(self) -> tuple[Handle, ...]: ...

    @property
    def progress(self) -> Progress: ...

    @property
    def done(self) -> bool: ...

    @property
    def cancelled(self) -> bool: ...

    @property
    def error(self) -> BaseException | None: ...


@dataclass(eq=False)
class Handle:
    """A submitted request, kept up to date by the engine.

    `done` means that nothing more will happen: the picture is complete, or `cancelled`, or `error` says what failed.
    """

    id: int
    tiles_total: int
    max_steps: int
    done: bool = field(default=False, init=False)
    cancelled: bool = field(default=False, init=False)
    error: BaseException | None = field(default=None, init=False)
    tiles_done: int = field(default=0, init=False)
    tiles_budgeted: int = field(default=0, init=False)
    steps_budgeted: int = field(default=0, init=False)
    steps_done: int = field(default=0, init=False)

    @property
    def parts(self) -> tuple[Handle, ...]:
        """Itself alone."""
        return (self,)

    @property
    def progress(self) -> Progress:
        """A snapshot; tiles without a budget yet are taken to need what the others needed on average."""
        waiting = self.tiles_total - self.tiles_budgeted
        mean = self.steps_budgeted / self.tiles_budgeted if self.tiles_budgeted else self.max_steps
        return Progress(self.tiles_done, self.tiles_total, self.steps_done, self.steps_budgeted + round(waiting * mean))


@dataclass(frozen=True, eq=False)
class ChainHandle:
    """Requests of which each reads what the one before wrote; they succeed or end together."""

    parts: tuple[Handle, ...]

    @property
    def progress(self) -> Progress:
        """Sums over the parts."""
        each = [part.progress for part in self.parts]
        return Progress(
            sum(p.tiles_done for p in each),
            sum(p.tiles_total for p in each),
            sum(p.steps_done for p in each),
            sum(p.steps_expected for p in each),
        )

    @property
    def done(self) -> bool:
        """Whether nothing more will happen."""
        return all(part.done for part in self.parts)

    @property
    def error(self) -> BaseException | None:
        """What failed first, if anything did."""
        return next((part.error for part in self.parts if part.error), None)

    @property
    def cancelled(self) -> bool:
        """Whether it was given up without an error."""
        return self.error is None and any(part.cancelled for part in self.parts)
