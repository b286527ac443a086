"""Blocking work beside the event loop: a few threads, a time limit for each piece of work.

A thread cannot be killed. One that overruns is given up: its waiter hears `Overdue` at once; the work itself ends at
its next look at its `Patience`, or when the C function that it is in returns, and keeps its place until then. So no
more than `PLACES` threads ever exist, and what comes while all of them are stuck is refused after a while instead of
piling up. They are daemons: a stuck one does not keep the program from ending.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

PLACES = 4
NAME = "tilestep-picture"


class Overdue(Exception):  # noqa: N818
    """The time is over. `started`: the work had a thread; otherwise all places were taken for so long."""

    def __init__(self, started: bool = True) -> None:
        super().__init__("the time is over")
        self.started = started


class Patience:
    """Whether somebody still waits for the work."""

    def __init__(self) -> None:
        self._over = threading.Event()

    @property
    def over(self) -> bool:
        """Nobody waits any more."""
        return self._over.is_set()

    def check(self) -> None:
        """Raises Overdue when nobody waits any more; to be called between pieces of work."""
        if self.over:
            raise Overdue

    def end(self) -> None:
        """Nobody waits from now on."""
        self._over.set()


async def run_bounded(work: Callable[[Patience], T], limit_s: float) -> T:
    """What `work` returns or raises. Raises Overdue after `limit_s` seconds of work, or of waiting for a place."""
    loop = asyncio.get_running_loop()
    places = _places.setdefault(loop, asyncio.Semaphore(PLACES))
    try:
        async with asyncio.timeout(limit_s):
            await places.acquire()
    except TimeoutError as error:
        raise Overdue(started=False) from error
    patience, outcome = Patience(), loop.create_future()
    thread = threading.Thread(
        target=_work, args=(work, patience, loop, outcome, places), name=f"{NAME}-{id(outcome):x}", daemon=True
    )
    try:
        thread.start()
        async with asyncio.timeout(limit_s):
            result: T = await outcome
            return result
    except TimeoutError as error:
        raise Overdue from error
    finally:
        patience.end()


_places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def _work(
    work: Callable[[Patience], Any],
    patience: Patience,
    loop: asyncio.AbstractEventLoop,
    outcome: asyncio.Future[Any],
    places: asyncio.Semaphore,
) -> None:
    """In the thread: the work, then word of it and the place back, if the loop still runs."""
    result, failure = None, None
    try:
        result = work(patience)
    except BaseException as error:
        failure = error
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(_settle, outcome, result, failure, places)


def _settle(
    outcome: asyncio.Future[Any], result: Any, failure: BaseException | None, places: asyncio.Semaphore
) -> None:
    places.release()
    if outcome.done():
        return
    if failure is None:
        outcome.set_result(result)
    else:
        outcome.set_exception(failure)
