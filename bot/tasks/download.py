"""Downloads from Hugging Face: told in the log while they go on, and given up when their job is cancelled."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, TypeVar

from tilestep.bot.gpu.gate import StepGate, TaskCancelled

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOG_EVERY_S = 5.0
LOOK_EVERY_S = 1.0


def while_wanted(gate: StepGate, download: Callable[[threading.Event], T]) -> T:
    """Runs `download` in a thread of its own until it is done or the gate's job is cancelled; gives what it gives.

    Only a step tells that a job is cancelled, so an empty one is taken every second. Then TaskCancelled is raised at
    once, and the event that `download` was given is set: it ends by itself at the next bytes that come.
    """
    unwanted = threading.Event()
    pool = ThreadPoolExecutor(1, thread_name_prefix="fetch")
    future = pool.submit(download, unwanted)
    try:
        while not wait([future], LOOK_EVERY_S).done:
            with gate.step("load"):
                pass
    except BaseException:
        unwanted.set()
        _abort()
        raise
    finally:
        pool.shutdown(wait=False)
    return future.result()


def _abort() -> None:
    """The client's faster way of fetching listens to nothing else."""
    with suppress(ImportError, AttributeError):
        from huggingface_hub.utils._xet import abort_xet_session

        abort_xet_session()


class _Nowhere:
    """Where a progress bar writes to that goes into the log instead."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


def log_bar(repo: str, unwanted: threading.Event) -> Any:
    """A tqdm class that writes the bytes fetched to the log, every few seconds and at the end.

    The client has more bars beside that one, of files and of what it puts together on disk: they stay silent. Each
    raises TaskCancelled in the thread that has fetched something once that is `unwanted`.
    """
    from tqdm import tqdm

    class LogBar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._said = -1
            self._next_s = time.monotonic() + LOG_EVERY_S
            kwargs.update(file=_Nowhere(), mininterval=min(LOG_EVERY_S, 1.0), leave=False)
            super().__init__(*args, **kwargs)

        def update(self, n: float | None = 1) -> Any:
            if unwanted.is_set():
                raise TaskCancelled
            return super().update(n)

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            if time.monotonic() >= self._next_s:
                self._say()

        def close(self) -> None:
            if not self.disable:
                self._say()
            super().close()

        def _say(self) -> None:
            if self.unit != "B" or self.n == self._said or str(self.desc).startswith("Reconstruct"):
                return
            self._said, self._next_s = self.n, time.monotonic() + LOG_EVERY_S
            facts = self.format_dict
            per_s = facts["rate"] or self.n / max(facts["elapsed"], 1e-3)
            whole = max(self.total or 0, self.n, 1)
            mb = f"{self.n / 1e6:.1f} of {whole / 1e6:.1f} MB"
            logger.info("Fetching %s: %.0f %% (%s, %.1f MB/s)", repo, 100 * self.n / whole, mb, per_s / 1e6)

    return LogBar
