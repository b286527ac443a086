"""What /queue shows: a member's jobs, what they have used of their limits, and how busy the GPU is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tilestep.bot.job import Job
from tilestep.bot.ports import JobProgress


@dataclass(frozen=True)
class QueuedJob:
    """A job that is not over. `progress` None: it goes on once the bot has started."""

    job: Job
    progress: JobProgress | None = None


@dataclass(frozen=True)
class QueueView:
    """One member's view of one guild (None: direct messages) at one moment.

    `jobs`: the member's there, in order of acceptance. `gpu_seconds_today` of `gpu_seconds_per_day` are used in this
    guild, counted anew from `resets_at` (0:00 UTC). `jobs_at_once`: how many the member may have. `guild_jobs`:
    everybody's in this guild; `waiting` and `running`: on the GPU, all guilds together.
    """

    guild_id: int | None
    member_id: int
    jobs: tuple[QueuedJob, ...]
    jobs_at_once: int
    gpu_seconds_today: float
    gpu_seconds_per_day: float
    resets_at: datetime
    guild_jobs: int
    waiting: int
    running: int
    paused: bool = False
