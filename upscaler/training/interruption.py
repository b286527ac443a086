"""Ctrl-C and SIGTERM while training: the step under way comes to its end, so that what is saved is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ENDING_SIGNALS = tuple(getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n))


class Interruption:
    """Somebody's wish to end. The first signal waits for `check()`, the second raises KeyboardInterrupt at once."""

    def __init__(self) -> None:
        self._asked = False
        self._waits = True

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes the signals meanwhile, but for those that are ignored, as Ctrl-C is by a job in the background.

        Only the main thread may do so; in any other nothing changes.
        """
        self._asked = False
        before: dict[signal.Signals, Any] = {}
        try:
            if threading.current_thread() is threading.main_thread():
                for number in ENDING_SIGNALS:
                    if signal.getsignal(number) not in (signal.SIG_IGN, None):
                        before[number] = signal.signal(number, self._ask)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Meanwhile the first signal does not wait either: for long work that changes nothing that is saved."""
        self.check()
        self._waits = False
        try:
            yield
        finally:
            self._waits = True

    def check(self) -> None:
        """Raises KeyboardInterrupt if a signal has come."""
        if self._asked:
            raise KeyboardInterrupt

    def _ask(self, number: int, frame: FrameType | None) -> None:
        waits, self._asked = self._waits and not self._asked, True
        if not waits:
            raise KeyboardInterrupt


def leave_ending_to_the_trainer(worker: int) -> None:
    """In a worker process, which terminals and service managers signal too: it is needed until the step is over.

    A second SIGTERM ends it: with that the trainer clears away workers that do not end by themselves.
    """
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_next_time)


def _end_next_time(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
