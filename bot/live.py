"""A job under way in this process: what is known of it beside its row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from numpy import uint8
from numpy.typing import NDArray

from tilestep.bot.gpu.jobs import JobHandle
from tilestep.bot.images import PictureFacts
from tilestep.bot.job import Job
from tilestep.bot.ports import JobProgress, Stage
from tilestep.bot.requests import Actor

Small = Callable[[], NDArray[uint8]]
"""Gives what there is so far of a picture, small."""


@dataclass(eq=False)
class Live:
    """One job from being committed, or found again after a restart, until nothing of it is left to do.

    `actor`: as at acceptance; None after a restart, when nobody knows their roles. `facts`: of the source, if it has
    been looked at. `is_sending`: a message may be on its way, so that it is not to be interrupted. `withdrawn`: nobody
    wants the result any more.
    """

    job: Job
    actor: Actor | None = None
    facts: PictureFacts | None = None
    stage: Stage = "waiting"
    handle: JobHandle[Any] | None = None
    small: Small | None = None
    charged_ms: float = 0.0
    is_sending: bool = False
    withdrawn: bool = False
    task: asyncio.Task[None] | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    _progress_id: int | None = None

    def take(self, job: Job) -> None:
        """The row has changed. What the row did not know yet of the progress message stays."""
        known = self._progress_id or job.progress_message_id
        self.job = replace(job, progress_message_id=known, progress_channel_id=job.channel_id if known else None)

    def shown(self, message_id: int) -> None:
        """The progress message is this one."""
        self._progress_id = message_id
        self.take(self.job)

    def withdraw(self, by_force: bool = False) -> None:
        """Ends the work at the next chance; what is being sent is finished, unless `by_force`."""
        self.withdrawn = True
        if self.task is not None and (by_force or not self.is_sending):
            self.task.cancel()

    def progress(self) -> JobProgress:
        """How it stands now, without a preview."""
        if self.handle is None or self.handle.done or self.stage == "posting":
            return JobProgress(self.stage)
        status = self.handle.status()
        left_s = None if status.left_ms is None else status.left_ms / 1000
        return JobProgress(self.stage, status.progress.done, status.progress.total, status.ahead, left_s)
