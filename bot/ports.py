"""What the service asks of the world outside: posting to Discord. `delivery.py` answers with discord.py.

Kept as protocols so that the service knows no Discord types, and another front end could answer them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from tilestep.bot.jobs import Job

Stage = Literal["waiting", "working", "posting"]


@dataclass(frozen=True)
class ResultPicture:
    """A finished picture on disk. `description`: alt text."""

    path: Path
    width_px: int
    height_px: int
    description: str


@dataclass(frozen=True)
class Result:
    """What is to be posted. `pictures`: first the grid, where there is one; `note`: what the reader must know."""

    pictures: tuple[ResultPicture, ...]
    spoiler: bool = False
    note: str = ""


@dataclass(frozen=True)
class Posted:
    """Where it went. `elsewhere`: why it is not where it was asked for, in words."""

    channel_id: int
    message_id: int
    attachment_bytes: tuple[int, ...] = ()
    format: str = "png"
    elsewhere: str = ""


@dataclass(frozen=True)
class JobProgress:
    """How a job stands, for people. `seconds_left` None where nobody can say yet; `preview`: a small PNG or JPEG."""

    stage: Stage
    done: int = 0
    total: int = 0
    ahead: int = 0
    seconds_left: float | None = None
    preview: bytes | None = field(default=None, repr=False)


class Messages(Protocol):
    """Discord, for the service. Nothing here touches the GPU or the database."""

    async def show_progress(self, job: Job, progress: JobProgress) -> int | None:
        """Posts or edits the one progress message; gives its id. Never raises for what Discord refuses."""

    async def end_progress(self, job: Job, words: str = "") -> None:
        """Deletes the progress message, or leaves `words` on it. Never raises for what Discord refuses."""

    async def post(self, job: Job, result: Result) -> Posted:
        """Posts the result once, also when called again after a crash. Raises Undeliverable in words."""

    async def tell(self, job: Job, words: str) -> bool:
        """Tells the member that asked: in the channel, as a reply; privately for a private job. False if impossible."""

    async def delete_message(self, channel_id: int, message_id: int) -> bool:
        """True if it is gone now."""


@dataclass(frozen=True)
class Health:
    """Whether things work, for /healthz and `doctor`."""

    ready: bool
    problems: Sequence[str] = ()
