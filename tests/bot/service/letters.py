"""Discord in memory, as the service sees it (`Messages`): what was posted, told and shown, and faults on demand."""

import asyncio
import itertools
from dataclasses import dataclass, field
from pathlib import Path

from tilestep.bot.job import Job
from tilestep.bot.ports import JobProgress, Posted, Result


@dataclass
class Posting:
    """A result that lies in a channel."""

    job: Job
    result: Result
    bytes: tuple[bytes, ...]
    message_id: int


@dataclass
class Letters:
    """`faults`: raised by the next posts, one each. `gate`: posts wait for it. `silent`: nobody can be told."""

    posts: list[Posting] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)
    shown: list[tuple[str, JobProgress]] = field(default_factory=list)
    ended: list[tuple[str, str]] = field(default_factory=list)
    deleted: list[tuple[int, int]] = field(default_factory=list)
    faults: list[BaseException] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    sending: asyncio.Event = field(default_factory=asyncio.Event)
    silent: bool = False

    def __post_init__(self) -> None:
        self._ids = itertools.count(5000)
        self.gate.set()

    async def show_progress(self, job: Job, progress: JobProgress) -> int | None:
        self.shown.append((job.id, progress))
        return job.progress_message_id or next(self._ids)

    async def end_progress(self, job: Job, words: str = "") -> None:
        self.ended.append((job.id, words))

    async def post(self, job: Job, result: Result) -> Posted:
        self.sending.set()
        await self.gate.wait()
        if self.faults:
            raise self.faults.pop(0)
        known = next((post for post in self.posts if post.job.id == job.id), None)
        if known is None or not job.posting:
            data = tuple(Path(picture.path).read_bytes() for picture in result.pictures)
            known = Posting(job, result, data, next(self._ids))
            self.posts.append(known)
        return Posted(job.channel_id, known.message_id)

    async def tell(self, job: Job, words: str) -> bool:
        self.told.append((job.id, words))
        return not self.silent

    async def delete_message(self, channel_id: int, message_id: int) -> bool:
        self.deleted.append((channel_id, message_id))
        self.posts = [post for post in self.posts if post.message_id != message_id]
        return True

    def of(self, job_id: str) -> list[Posting]:
        """What was posted for a job."""
        return [post for post in self.posts if post.job.id == job_id]

    def words_for(self, job_id: str) -> list[str]:
        """What its member was told."""
        return [words for number, words in self.told if number == job_id]
