"""The longer texts: help, privacy, limits, audit, recipe, queue. Each fits into one message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tilestep.bot.guild_limits import GuildLimits
from tilestep.bot.guilds import BLOCKED, AuditEntry
from tilestep.bot.limit_fields import FIELDS
from tilestep.bot.model import ModelState
from tilestep.bot.progress import as_code, time_left
from tilestep.bot.queue_view import QueuedJob, QueueView
from tilestep.bot.settings import Settings
from tilestep.cogs.changes import label, shown
from tilestep.cogs.words import NO_AUDIT, NO_MODEL, QUEUE_PAUSED, UPSCALE_LABEL, clip, quoted, title, when

RECIPE_LABELS = {
    "model": "Model",
    "seed": "Seed",
    "steps": "Steps",
    "guidance": "Guidance",
    "scheduler": "Sampler",
}


def help_text(settings: Settings) -> str:
    """`/tilestep help`, with the commands' names as they are here."""
    upscale, imagine, queue, group = (settings.command(n) for n in ("upscale", "imagine", "queue", "tilestep"))
    lines = (
        f"**Upscale**: click *{UPSCALE_LABEL}* under a picture of mine, or use `/{upscale}` with a picture of yours,",
        "or open the menu of any message and choose *Apps > Upscale*.\n",
        f"**New pictures**: `/{imagine}`. Under a picture, *Recipe* shows how it was made, *Again* takes the same",
        "recipe with your changes, and *New seed* makes another of the kind.\n",
        f"**Waiting**: `/{queue}` shows your jobs, how long they take, and what you have used today. Cancel there.\n",
        "**Only for you**: choose `private` in a command.\n",
        f"**Your data**: `/{group} privacy` and `/{group} forget-me`.\n",
        f"**For admins**: `/{group} limits` sets who may do how much in this server, and `/{group} block` keeps",
        f"somebody out. `/{group} audit` shows who changed what.",
    )
    return " ".join(lines).replace("\n ", "\n")


def privacy_text(settings: Settings) -> str:
    """`/tilestep privacy`: what is kept and for how long, as the operator has set it."""
    group = settings.command("tilestep")
    pictures = "deleted as soon as they are posted"
    if settings.keep_results_days:
        pictures = f"kept for {days(settings.keep_results_days)}, so that they can be upscaled further"
    lines = (
        "**What is kept**\n- A picture that you give me: until your job is over; where a server keeps originals, as",
        "long as the finished one, but never with `private`.\n",
        f"- Finished pictures: {pictures}. What was posted in a channel stays there until it is deleted there.\n",
        "- Your jobs (your user id, prompts, names and descriptions of pictures, settings, times): for",
        f"{days(settings.keep_jobs_days)}.\n",
        "- How much computing time you have used today, until 0:00 UTC.\n",
        "- This server's settings, whom its admins blocked, and who changed what: until I am removed from it.\n",
        "Nothing is passed on, and nobody's messages are read.\n",
        f"**To erase it**: `/{group} forget-me` deletes your jobs, prompts and pictures, and my copies of what others",
        "made of your pictures. It does not delete what was posted in channels, today's computing time, and what a",
        "server's admins keep: whom they blocked and who changed a limit. When I am removed from a server, everything",
        "of that server is deleted.",
    )
    return " ".join(lines).replace("\n ", "\n")


def days(count: float) -> str:
    """'12 hours', '1 day', '7 days'."""
    if count < 1:
        return f"{max(1, round(24 * count))} hours"
    return "1 day" if count == 1 else f"{count:g} days"


def recipe(values: Mapping[str, Any]) -> str:
    """How a picture was made, to be read and copied."""
    parts = [f"**Prompt**\n{quoted(str(values.get('prompt', '')), 900)}"]
    if negative := values.get("negative_prompt"):
        parts.append(f"**Negative prompt**\n{quoted(str(negative), 500)}")
    facts = {label: values.get(key) for key, label in RECIPE_LABELS.items()}
    if values.get("width_px") and values.get("height_px"):
        facts["Size"] = f"{values['width_px']}x{values['height_px']}"
    parts.append(
        " · ".join(f"{label}: {as_code(str(value), 100)}" for label, value in facts.items() if value is not None)
    )
    return clip("\n".join(part for part in parts if part))


def limits_list(limits: GuildLimits, settings: Settings) -> str:
    """Every limit with its value, a line each."""
    return clip("\n".join(f"{label(name)}: **{clip(shown(limits, name, settings), 300)}**" for name in FIELDS), 4000)


def one_limit(limits: GuildLimits, name: str, settings: Settings) -> str:
    """A limit's value and default."""
    now, usual = shown(limits, name, settings), shown(GuildLimits(), name, settings)
    return clip(f"{label(name)}: **{now}**" + (" (the default)" if now == usual else f"; by default {usual}"))


def audit(entries: Iterable[AuditEntry]) -> str:
    """Who changed what, the newest first."""
    return fitting(_change(entry) for entry in entries) or NO_AUDIT


def _change(entry: AuditEntry) -> str:
    who = f"{when(entry.at)} <@{entry.by}>"
    if entry.setting == BLOCKED:
        return f"{who}: blocked <@{entry.after}>" if entry.after else f"{who}: unblocked <@{entry.before}>"
    return f"{who}: {label(entry.setting)}, {clip(entry.before, 100)} → {clip(entry.after, 100)}"


def fitting(lines: Iterable[str], most: int = 1900) -> str:
    """As many whole lines as one message takes."""
    kept, room = [], most
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join(kept)


def model(state: ModelState, serving: str | None) -> str:
    """`/tilestep model`."""
    if state.status == "none" or state.name is None:
        return NO_MODEL
    name = as_code(state.name, 200)
    if state.status == "loading":
        now = f" Until then, pictures come from {as_code(serving, 200)}." if serving else ""
        return f"{name} is being loaded.{now}"
    if state.status == "failed":
        return clip(f"{name} could not be loaded: {state.error}")
    return clip(f"Pictures come from {name}." + (f" The last change failed: {state.error}" if state.error else ""))


def queue(view: QueueView, most_jobs: int, age_restricted: bool = False) -> str:
    """`/queue`: my jobs, then what I have used, then how busy it is. `age_restricted`: it is read in such a channel."""
    titles = [title(queued.job, bare=queued.job.age_restricted and not age_restricted) for queued in view.jobs]
    jobs = [
        f"{number}. {text}: {_standing(queued)}"
        for number, (text, queued) in enumerate(zip(titles, view.jobs, strict=True), start=1)
    ]
    lines = jobs[:most_jobs] or ["You have no jobs under way."]
    if len(jobs) > most_jobs:
        lines.append(f"… and {len(jobs) - most_jobs} more.")
    used, most = round(view.gpu_seconds_today), round(view.gpu_seconds_per_day)
    lines += [
        "",
        f"**Jobs at once**: {len(view.jobs)} of {view.jobs_at_once}",
        f"**Computing time today**: {used} of {most} s, counted anew {when(view.resets_at)}",
        f"**All together**: {view.running} under way, {view.waiting} waiting" + _here(view),
    ]
    if view.paused:
        lines.append(QUEUE_PAUSED)
    return clip("\n".join(lines), 4000)


def _here(view: QueueView) -> str:
    return f"; {view.guild_jobs} of them from this server" if view.guild_id is not None else ""


def _standing(queued: QueuedJob) -> str:
    progress = queued.progress
    if progress is None:
        return "goes on in a moment"
    parts = [{"waiting": "waiting", "working": "under way", "posting": "being posted"}[progress.stage]]
    if progress.stage == "waiting" and progress.ahead:
        parts = [f"{progress.ahead} ahead"]
    if progress.stage == "working" and progress.total:
        parts = [f"{100 * progress.done // progress.total} %"]
    return ", ".join([*parts, *filter(None, [time_left(progress.seconds_left)])])
