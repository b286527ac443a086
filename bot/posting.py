"""How a result gets to Discord, as plain policy: names, nonces, what an answer means, how long to wait, what fits.

`delivery.py` acts on it. Codes are those of Discord's API documentation ("Opcodes and Status Codes", JSON error codes).
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from enum import Enum

from tilestep.bot.job import Job
from tilestep.bot.naming import plain_text, result_name
from tilestep.bot.requests import MIB, ResultFormat, UpscaleOptions

DM_LIMIT_BYTES = 10 * MIB
"""Of a file in a direct message, where no server's boosts count."""
SIZE_STEPS = tuple(int(mib * MIB) for mib in (100, 50, 25, 20 / 1.048576, 10, 8, 4, 2, 1, 0.5, 0.25))
"""Limits for a file that Discord has or had (20 MB among them), and below them halves."""
WHY_CHARACTERS = 200
_OUR_ENDING = re.compile(r"(_\d+x)?-[0-9a-z]{20}(-\d+)?$")


class Verdict(Enum):
    """What an answer of Discord asks for."""

    AGAIN = "the same, later"
    SMALLER = "smaller files"
    NO_REPLY = "without the reference to the source"
    ARCHIVED = "a thread that is opened again"
    DELETED = "nothing: it was there, and somebody deleted it"
    ELSEWHERE = "another place"


@dataclass(frozen=True)
class Retry:
    """Waits `first_s`, doubled each time up to `longest_s`; `tries` in all. With the defaults about four minutes."""

    tries: int = 10
    first_s: float = 1.0
    longest_s: float = 60.0

    def wait_s(self, tried: int, told_s: float | None = None) -> float | None:
        """How long after the try of this number (from 1), no shorter than Discord has `told_s`; None: no more tries."""
        if tried >= self.tries:
            return None
        own = min(self.first_s * 2.0 ** (tried - 1), self.longest_s)
        return max(own, told_s or 0.0)


def verdict(status: int, code: int) -> Verdict:
    """What to do after an answer of this HTTP status and JSON error code."""
    if status == 413 or code == 40005:
        return Verdict.SMALLER
    if status == 429 or status >= 500:
        return Verdict.AGAIN
    return _BY_CODE.get(code, Verdict.ELSEWHERE)


_BY_CODE = {
    160002: Verdict.NO_REPLY,
    50083: Verdict.ARCHIVED,
    160005: Verdict.ARCHIVED,
    10008: Verdict.DELETED,
}
_WHY = {
    10003: "that channel is gone",
    50001: "I cannot see that channel any more",
    50013: "I may not post pictures there",
    50007: "you take no direct messages from me",
    50083: "that thread is archived and I may not open it again",
    160005: "that thread is locked",
    200000: "the server's AutoMod stopped it",
}
_MAY_PASS = frozenset({50001, 50013, 50083, 160005})


def why(code: int, text: str, missing: tuple[str, ...] = ()) -> str:
    """Why Discord refuses to post somewhere, as the end of a sentence. `missing`: permissions in Discord's words."""
    words = _WHY.get(code) or f"Discord refused it there ({plain_text(text)[:WHY_CHARACTERS] or code})"
    return f"{words} (missing permission: {', '.join(missing)})" if missing and code in (50001, 50013) else words


def may_pass(code: int) -> bool:
    """Whether somebody may mend the reason: give a permission, open a thread."""
    return code in _MAY_PASS


def smaller_limit(refused_bytes: int) -> int | None:
    """The next limit to try after a file of this size was too large; None: it is hopeless."""
    return next((limit for limit in SIZE_STEPS if limit < refused_bytes), None)


def result_nonce(job: Job) -> str:
    """Of the result, whatever its format and place: only one of them may come to be. 20 characters of 25."""
    return job.id


def progress_nonce(job: Job) -> str:
    return f"{job.id}-p"


def words_nonce(job: Job, words: str) -> str:
    """Of a message with these words about the job."""
    return f"{job.id}-{zlib.crc32(words.encode()) & 0xFFFF:04x}"


def file_name(job: Job, number: int, count: int, format: ResultFormat) -> str:
    """Of picture `number` (from 0) of `count`: ends in the job's id, by which a message is recognised later.

    Names from our own results lose the old job's ending.
    """
    source = re.sub(r"\.[^.]*$", "", job.source_filename or job.kind)
    mark = f"{job.options.scale}x" if isinstance(job.options, UpscaleOptions) else ""
    ident = job.id if count == 1 else f"{job.id}-{number}"
    return result_name(_OUR_ENDING.sub("", source) + ".png", ident, format, mark)


def carries(name: str, job_id: str) -> bool:
    """Whether a file of this name was posted for the job."""
    return re.search(rf"-{re.escape(job_id)}(-\d+)?\.\w+$", name) is not None


def wanted_format(job: Job) -> ResultFormat:
    """What was asked for; new images are PNG."""
    return job.options.format if isinstance(job.options, UpscaleOptions) else "png"
