"""A job, as everybody sees it: one frozen value, made from a row and made anew after each change."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from tilestep.bot.requests import MIB, ImagineOptions, Reply, UpscaleOptions, Via

JobState = Literal["accepted", "queued", "running", "rendered", "delivered", "failed", "cancelled"]
JobKind = Literal["upscale", "imagine"]

STATES: tuple[JobState, ...] = get_args(JobState)
OVER_STATES: frozenset[JobState] = frozenset({"delivered", "failed", "cancelled"})
OPEN_STATES: frozenset[JobState] = frozenset(STATES) - OVER_STATES

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_TIME_DIGITS, _RANDOM_DIGITS = 11, 9


@dataclass(frozen=True)
class ResultFile:
    """A file in the job's folder. `description`: alt text."""

    name: str
    width_px: int
    height_px: int
    bytes: int
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A row of the table of jobs.

    `options`: what was asked for with every choice made (quality, seed), so that it can be done again exactly.
    `channel_id`: where the result goes; `parent_channel_id`: of a thread. `source_*`: the picture to enlarge, and who
    asked for it or posted it. `parent_job_id`: our job that made the source. `recipe`: everything that made the picture
    (model, prompt, scheduler, size, steps, guidance, seed, versions); upscales inherit it. `attempts`: how often it was
    begun. `posting`: a send was begun, so that a second one has to look for the first. `note`: what the reader of the
    result must know; `error`: why it failed, in words. `result`: files under `data_dir/results/<id>/`. Times are UTC.
    """

    id: str
    kind: JobKind
    channel_id: int
    requester_id: int
    options: UpscaleOptions | ImagineOptions
    state: JobState = "accepted"
    via: Via = "command"
    guild_id: int | None = None
    parent_channel_id: int | None = None
    age_restricted: bool = False
    private: bool = False
    spoiler: bool = False
    upload_limit_bytes: int = 10 * MIB
    source_channel_id: int | None = None
    source_message_id: int | None = None
    source_author_id: int | None = None
    source_filename: str | None = None
    source_description: str | None = None
    source_width_px: int | None = None
    source_height_px: int | None = None
    parent_job_id: str | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    reply: Reply | None = None
    attempts: int = 0
    gpu_ms: float = 0.0
    error: str | None = None
    note: str = ""
    posting: bool = False
    progress_channel_id: int | None = None
    progress_message_id: int | None = None
    result_channel_id: int | None = None
    result_message_id: int | None = None
    result: tuple[ResultFile, ...] = ()
    created_at: datetime = field(default_factory=lambda: utc_now())
    updated_at: datetime = field(default_factory=lambda: utc_now())
    finished_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Delivered, failed or cancelled: nothing more will happen."""
        return self.state in OVER_STATES


def utc_now() -> datetime:
    """This moment; the default clock of the stores."""
    return datetime.now(UTC)


def new_job_id() -> str:
    """20 characters 0-9, a-z that nobody can guess: 11 for the microsecond, so that ids sort by time, 9 by chance."""
    random = secrets.randbelow(36**_RANDOM_DIGITS)
    return _base_36(time.time_ns() // 1000, _TIME_DIGITS) + _base_36(random, _RANDOM_DIGITS)


def _base_36(number: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits
