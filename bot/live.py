"""A job under way in this process: what is known of it beside its row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from numpy import uint8
from numpy.typing import NDArray

from tilestep.bot.gpu import GpuScheduler, JobStatus
from tilestep.bot.gpu.jobs import JobHandle
from tilestep.bot.images import PictureFacts
from tilestep.bot.job import Job
from tilestep.bot.ports import JobProgress, Stage
from tilestep.bot.requests import Actor

LOOK_AGAIN_S = 0.5

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


class Standings:
    """How jobs stand on the GPU: asked for all of them at once, and not for each of a thousand that wait."""

    def __init__(self, gpu: GpuScheduler) -> None:
        self._gpu = gpu
        self._asked_s = -LOOK_AGAIN_S
        self._statuses: dict[int, JobStatus] = {}

    def progress(self, live: Live) -> JobProgress:
        """How it stands now, or did half a second ago; without a preview."""
        if live.handle is None or live.handle.done or live.stage == "posting":
            return JobProgress(live.stage)
        now_s = time.monotonic()
        if now_s - self._asked_s > LOOK_AGAIN_S or live.handle.job not in self._statuses:
            self._asked_s = now_s
            self._statuses = {status.job: status for status in self._gpu.statistics().jobs}
        status = self._statuses[live.handle.job]
        left_s = None if status.left_ms is None else status.left_ms / 1000
        return JobProgress(live.stage, status.progress.done, status.progress.total, status.ahead, left_s)
