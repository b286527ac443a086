"""Threads for tasks, used again: a new one would have to fetch from the system the memory that the last one gave back.

They are daemons: a device that never answers does not keep the process from ending.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

IDLE = "gpu-idle"
Work = Callable[[], None]


class ThreadPool:
    """Gives each piece of work a thread of its own at once; as many are kept as have been busy at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_PoolThread] = []
        self._closed = False

    def run(self, name: str, work: Work) -> threading.Thread:
        """Starts `work`, which raises nothing, in the thread that was busy last; it bears that name meanwhile."""
        with self._lock:
            thread = self._idle.pop() if self._idle else None
        if thread is None:
            thread = _PoolThread(self._free)
            thread.start()
        thread.name = name
        thread.inbox.put(work)
        return thread

    def close(self) -> None:
        """Idle threads end now, busy ones when their work is over."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for thread in idle:
            thread.inbox.put(None)

    def _free(self, thread: _PoolThread) -> bool:
        with self._lock:
            if not self._closed:
                self._idle.append(thread)
            return not self._closed


class _PoolThread(threading.Thread):
    def __init__(self, free: Callable[[_PoolThread], bool]) -> None:
        super().__init__(name=IDLE, daemon=True)
        self.inbox: SimpleQueue[Work | None] = SimpleQueue()
        self._free = free

    def run(self) -> None:
        while work := self.inbox.get():
            work()
            del work  # and all that it leads to
            self.name = IDLE
            if not self._free(self):
                return
