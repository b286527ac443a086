"""How a job ended, and what is left of an error once its frames are let go of."""

from __future__ import annotations

import inspect
import logging
import traceback
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tilestep.bot.gpu.errors import JobCancelled, JobOutOfMemory, TaskCancelled

# The upscaler's own, which cannot be imported without torch; a test holds them together.
OUT_OF_MEMORY_WORDS = ("not enough memory", "can't allocate memory", "out of memory", "alloc_failed")
GENERATORS = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a job ended: with a result, or with an error."""

    result: Any = None
    error: BaseException | None = None


def failure(error: BaseException) -> Outcome:
    """What the one who awaits the job gets to see. Frames are let go of, because they hold tensors."""
    short = is_out_of_memory(error)
    if not isinstance(error, TaskCancelled):
        log.log(logging.WARNING if short else logging.DEBUG, "A job on the GPU failed", exc_info=error)
    let_go(error)
    if isinstance(error, TaskCancelled):
        return Outcome(error=cancelled())
    if short:
        return Outcome(error=JobOutOfMemory("The GPU ran out of memory for this job: choose a smaller picture."))
    return Outcome(error=error)


def cancelled(why: str = "") -> JobCancelled:
    """For a job that was cancelled; `why` is told after a colon."""
    return JobCancelled(f"The job was cancelled: {why}." if why else "The job was cancelled.")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine, had no more memory; told without importing torch."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in words for word in OUT_OF_MEMORY_WORDS)


def let_go(error: BaseException) -> None:
    """Empties the frames that an error, and what led to it, has left; their lines can still be shown.

    Those that called them too: each frame leads to its caller for as long as it lives.
    """
    seen: set[int] = set()
    found: list[BaseException | None] = [error]
    while found:
        each = found.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        _clear(each.__traceback__)
        found += [each.__context__, each.__cause__]
        found += each.exceptions if isinstance(each, BaseExceptionGroup) else ()


def _clear(trace: TracebackType | None) -> None:
    """A generator that called is left alone: emptied between two steps it would be over."""
    traceback.clear_frames(trace)
    caller = trace.tb_frame.f_back if trace else None
    while caller is not None:
        if not caller.f_code.co_flags & GENERATORS:
            with suppress(RuntimeError):  # it is still at work
                caller.clear()
        caller = caller.f_back
