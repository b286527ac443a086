"""Tasks that outlive whoever started them, with one owner that ends them all."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)


class Crew:
    """Owns tasks. They run in a context of their own: a job is no part of the interaction that asked for it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Starts it; an exception that it does not handle goes to the log."""
        task = _apart(work, name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Its result. Being cancelled, the caller goes away and the work is done all the same."""
        task = _apart(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def settle(self) -> None:
        """Waits until all have ended by themselves."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def close(self) -> None:
        """Cancels all and waits until they are over, also those that they start meanwhile."""
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._tasks.difference_update(tasks)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s ended by an error", task.get_name(), exc_info=error)


def _apart(work: Coroutine[Any, Any, T], name: str | None = None) -> asyncio.Task[T]:
    """Made from within an empty context, not only given one: so nobody who follows the caller's tasks waits for it."""
    return contextvars.Context().run(asyncio.create_task, work, name=name)


def _outside(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task started in an empty context: nothing that watches the caller's context takes the task for its own."""
    return contextvars.Context().run(asyncio.create_task, work)


async def in_thread(work: Callable[..., T], *args: Any) -> T:
    """As `asyncio.to_thread`, but being cancelled waits until the thread is done: it still uses what it was given."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise
