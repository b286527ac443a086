"""What our messages in a channel say: progress, the lines under a result, and why something went wrong or elsewhere.

Text of strangers is shown as code, where Discord makes neither mentions nor links of it. Small lines begin with `-# `.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tilestep.bot.job import Job
from tilestep.bot.naming import plain_text
from tilestep.bot.ports import JobProgress, Result
from tilestep.bot.requests import ImagineOptions, UpscaleOptions

MAX_CONTENT = 2000
BAR_CHARACTERS = 16
PROMPT_CHARACTERS = 300
DIRECT, PARENT = "dm", "parent"


def progress_text(job: Job, progress: JobProgress) -> str:
    """The progress message: what is being done, how far it is, and how long it will take."""
    lines = [f"{who(job)}{doing(job)}", _standing(progress), progress_mark(job.id)]
    return "\n".join(lines)


def progress_mark(job_id: str) -> str:
    """The last line of a progress message, by which it is found again."""
    return f"-# Progress of job {job_id}"


def result_text(job: Job, result: Result, notes: Iterable[str] = (), elsewhere: str = "") -> str:
    """What stands above the pictures: whose they are, how they were made, and what the reader must know."""
    lines = [f"{who(job)}{done(job)}", elsewhere, f"-# {' · '.join(facts(job, result))}"]
    lines += [f"-# {line}" for line in dict.fromkeys([result.note, *notes]) if line]
    return fitting("\n".join(line for line in lines if line))


def told_text(job: Job, words: str) -> str:
    """Words about a job, with its name for questions."""
    return fitting(f"{who(job)}{words}", f"\n-# Job {job.id}")


def elsewhere_text(job: Job, kind: str, why: str) -> str:
    """Why the result is not where it was asked for; empty where it is. `kind`: DIRECT or PARENT."""
    if kind not in (DIRECT, PARENT) or not why:
        return ""
    if job.private:
        return f"It is here because {why}."
    where = "in a direct message" if kind == DIRECT else "in the channel that the thread belongs to"
    return f"It was asked for in <#{job.channel_id}>. It is here, {where}, because {why}."


def who(job: Job) -> str:
    """The member it is for; nobody is pinged."""
    return "" if job.private else f"<@{job.requester_id}> "


def doing(job: Job) -> str:
    if isinstance(job.options, UpscaleOptions):
        return f"Upscaling {job.options.scale}x"
    return "Making a picture" if job.options.count == 1 else f"Making {job.options.count} pictures"


def done(job: Job) -> str:
    """What was made: the scale, or the prompt."""
    if isinstance(job.options, UpscaleOptions):
        return f"Upscaled {job.options.scale}x"
    return as_code(job.options.prompt, PROMPT_CHARACTERS)


def facts(job: Job, result: Result) -> Iterator[str]:
    """Sizes, quality, steps, seed, computing time (on whatever device there is) and the job's id, each in words."""
    yield _sizes(job, result)
    if isinstance(job.options, UpscaleOptions):
        yield from _present({"quality {}": job.options.quality, "{} steps": job.options.steps})
    else:
        yield from _image_facts(job, job.options)
    if job.options.seed is not None:
        yield f"seed {job.options.seed}"
    if job.gpu_ms > 0:
        yield f"{job.gpu_ms / 1000:.1f} s of computing"
    yield f"job {job.id}"


def bar(done: int, total: int) -> str:
    """`done` of `total` as a row of blocks; never full before everything is done."""
    filled = 0 if total <= 0 else min(done * BAR_CHARACTERS // total, BAR_CHARACTERS)
    return "▰" * filled + "▱" * (BAR_CHARACTERS - filled)


def time_left(seconds: float | None) -> str:
    """An estimate as people say it; empty where there is none."""
    if seconds is None:
        return ""
    if seconds < 8:
        return "a few seconds left"
    if seconds < 90:
        return f"about {round(seconds / 5) * 5} s left"
    minutes = round(seconds / 60)
    return f"about {minutes} min left" if minutes < 90 else f"about {minutes // 60} h {minutes % 60} min left"


def as_code(text: str, limit: int) -> str:
    """A stranger's text on one line, as code: nothing in it is a mention, a link or a heading."""
    plain = plain_text(text).replace("`", "'") or " "
    return f"`{plain if len(plain) <= limit else plain[: limit - 1] + '…'}`"


def fitting(text: str, ending: str = "") -> str:
    """The text, shortened to what a message may hold, with its ending whole."""
    room = MAX_CONTENT - len(ending)
    return (text if len(text) <= room else text[: room - 1] + "…") + ending


def _standing(progress: JobProgress) -> str:
    left = time_left(progress.seconds_left)
    if progress.stage == "waiting":
        place = "Next in line" if progress.ahead <= 0 else f"Waiting, {progress.ahead} ahead"
        return ", ".join(filter(None, [place, left]))
    if progress.stage == "posting":
        return f"{bar(1, 1)} done, being posted"
    percent = f" {100 * progress.done // progress.total} %" if progress.total > 0 else ""
    return f"{bar(progress.done, progress.total)}{percent}" + (f", {left}" if left else "")


def _sizes(job: Job, result: Result) -> str:
    picture = result.pictures[-1]
    now = f"{picture.width_px}x{picture.height_px}"
    if job.source_width_px and job.source_height_px and isinstance(job.options, UpscaleOptions):
        return f"{job.source_width_px}x{job.source_height_px} to {now}"
    return now


def _image_facts(job: Job, options: ImagineOptions) -> Iterator[str]:
    recipe: Mapping[str, Any] = job.recipe
    yield from _present(
        {
            "model {}": as_code(str(recipe["model"]), 60) if recipe.get("model") else None,
            "{} steps": options.steps or recipe.get("steps"),
            "guidance {}": options.guidance if options.guidance is not None else recipe.get("guidance"),
        }
    )


def _present(facts: Mapping[str, object]) -> Iterator[str]:
    return (words.format(fact) for words, fact in facts.items() if fact is not None)
