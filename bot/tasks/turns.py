"""One thread's turns on the device: leave the step it is in, wait, and be in the next."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType

from tilestep.bot.gpu.gate import Phase, StepGate


class Turns:
    """The lease of a thread that runs code it does not own, such as a pipeline's `__call__`.

    Such code cannot be written as a row of `with gate.step(...)`: the thread enters a step before the call, changes
    steps in callbacks, and leaves the last one after the call. Between the callbacks it is always inside a step. Used
    as a context manager, which leaves the step that is open at the end or at an exception.
    """

    def __init__(self, gate: StepGate) -> None:
        self._gate = gate
        self._lease: ExitStack | None = None
        self._used = False
        self.phase: Phase | None = None

    def take(self, phase: Phase) -> None:
        """Gives the device back and returns when it is this thread's turn again; raises TaskCancelled."""
        self.give_back()
        lease = ExitStack()
        lease.enter_context(self._gate.step(phase))
        self._lease, self.phase, self._used = lease, phase, False

    def piece(self, phase: Phase) -> None:
        """Makes sure that the coming piece of work is the only one in its step."""
        if self.phase != phase or self._used:
            self.take(phase)
        self._used = True

    def until_left(self, clean: Callable[[], None]) -> None:
        """Calls `clean` at the end of the step that is open now, still inside it."""
        assert self._lease is not None
        self._lease.callback(clean)

    def give_back(self) -> None:
        """Leaves the step, if one is open."""
        self.__exit__(None, None, None)

    def progress(self, done: int, total: int, phase: Phase) -> None:
        self._gate.progress(done, total, phase)

    def __enter__(self) -> Turns:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        lease, self._lease, self.phase = self._lease, None, None
        if lease is not None:
            lease.__exit__(kind, error, trace)
