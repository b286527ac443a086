"""What people read, in one place, except for refusals and errors, which carry their own words.

Short sentences; quantities with their unit; Discord's own markdown for times and names. Text that members wrote goes
through `quoted` or `as_code`, so that it can neither mention anybody nor break out of its block.
"""

from __future__ import annotations

import datetime as dt

import discord

from tilestep.bot.jobs import Job
from tilestep.bot.ports import JobProgress
from tilestep.bot.progress import as_code, time_left
from tilestep.bot.requests import UpscaleOptions

MOST_CHARACTERS = 2000
LABEL_CHARACTERS = 80
SHORT = 60

SWITCHED_OFF = "Tilestep is switched off in this bot at present: try again later."
IMAGINE_OFF = "Making new pictures is switched off in this bot at present."
GUILD_ONLY = "This works in a server only."
FORM_TOO_OLD = "This form is from before the bot was started again: open it anew."
STRAY = "This control belongs to another version of the bot: use the command again."
STALE_CHOICE = "This choice is too old: open the message's menu again, then Apps > Upscale."
NOT_THIS_MESSAGE = "This button does not belong to this message: use the one under the picture."
NOTHING_GIVEN = "Attach a picture, or give the link of a message in which I posted one."
BOTH_GIVEN = "Give either a picture or a link, not both."
BAD_LINK = "That is no link to a message: right-click (or hold) a message of mine and choose Copy Message Link."
OTHER_SERVER = "That message is in another server: use the command there."
NOT_VISIBLE = "There is no such message here, or you may not see it."
NOT_MINE = (
    "That message is not mine, and reading what others post takes a special permission from Discord (Message Content) "
    "that I do without. Right-click (or hold) the message instead, and choose **Apps > Upscale**."
)
WAS_RESTRICTED = "This picture was made while the channel was age-restricted: use it in a channel that is."
NO_PICTURE = "That message has no picture that I can read: PNG, JPEG, WebP or TIFF, as an attachment."
PICTURE_GONE = (
    "The picture is gone: it is no longer kept, and the message has lost it. Attach it to the command instead."
)
WHICH = "Which picture shall be upscaled?"
WHICH_HINT = "Choose a picture"
UPSCALE_LABEL = "Upscale 2x"
BAD_SIZE = "A size is width x height in pixels, as in 768x512."
CANCELLED = "Cancelled."
OVER_ALREADY = "It is over already: there is nothing to cancel."
DELETED = "Deleted."
NO_RECIPE = "No recipe is kept for this picture."
SURE_FORGET = (
    "This erases your jobs, prompts and kept pictures, in all servers, and cancels what you have under way. What was "
    "posted in channels stays there: *Delete* under it takes it away."
)
FORGOTTEN = (
    "Done: your jobs, prompts and pictures are erased. What is left is how much computing time you have used today, "
    "until 0:00 UTC, and what servers' admins keep: whom they blocked, and who changed a limit."
)
LIMITS_TITLE = "Limits of this server"
LIMITS_HINT = "Change a limit"
LIMITS_FOOTER = "The bot's operator may set lower ones; then those hold."
HINTS = {"allowed_role_ids": "None chosen: every role", "allowed_channel_ids": "None chosen: every channel"}
VALUE = "New value"
SURE_RESET = "Put all limits of this server back to the defaults?"
ALL_RESET = "All limits are back at their defaults."
VALUE_WITHOUT_SETTING = "Give a setting with the value, and either a value or reset."
NO_AUDIT = "Nobody has changed a limit here yet."
PAUSED = "Paused: no new jobs are taken, and those under way wait."
RESUMED = "Jobs are taken again."
NO_MODEL = "There is no text-to-image model. Give the command a name to load one."
QUEUE_TITLE = "Queue"
QUEUE_PAUSED = "The bot's owner has paused it: jobs wait, and no new ones are taken."
NEEDS_MANAGE_SERVER = "This needs the permission Manage Server."
NEEDS_OWNER = "Only the owner of this bot may do this."


def clip(text: str, most: int = MOST_CHARACTERS) -> str:
    """At most `most` characters, ending in an ellipsis if something is missing."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def sentence(text: str) -> str:
    """Begins with a capital and ends with a full stop."""
    text = " ".join(text.split()) or "Something went wrong"
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def fault(number: str) -> str:
    """For what is our own mistake."""
    return f"Something went wrong on my side. It is in the log as `{number}`: tell the bot's owner if it happens again."


def quoted(text: str, most: int = 1000) -> str:
    """Members' text as a block of its own, in which nothing is markdown and nobody is mentioned."""
    calm = clip(text.replace("`", "ʼ").strip() or " ", most)
    return f"```\n{calm}\n```"


def no_upscale(why: str) -> str:
    """Label of a button that is disabled."""
    return clip(f"{UPSCALE_LABEL}: {why[:1].lower()}{why[1:].rstrip('.')}", LABEL_CHARACTERS)


def title(job: Job, bare: bool = False) -> str:
    """A job in a few words: 'Upscale 2x of `photo.png`'. `bare`: without anything that somebody wrote."""
    options = job.options
    if isinstance(options, UpscaleOptions):
        name = f" of {as_code(job.source_filename, SHORT)}" if job.source_filename and not bare else ""
        return f"Upscale {options.scale}x{name}"
    if bare:
        return "Imagine, in an age-restricted channel"
    count = f"{options.count} pictures of " if options.count > 1 else ""
    return f"Imagine {count}{as_code(options.prompt, SHORT)}"


def accepted(job: Job, progress: JobProgress | None) -> str:
    """For the one who asked; the result follows in the channel."""
    where = "only you will see it" if job.private else "the result is posted here"
    return f"Accepted: {where}.{waiting(progress)}"


def waiting(progress: JobProgress | None) -> str:
    """' 3 jobs are ahead, about 2 min left.', as far as it is known."""
    if progress is None:
        return ""
    parts = []
    if progress.ahead:
        parts.append(f"{progress.ahead} {'job is' if progress.ahead == 1 else 'jobs are'} ahead")
    if left := time_left(progress.seconds_left):
        parts.append(left)
    return f" {', '.join(parts).capitalize()}." if parts else ""


def when(moment: dt.datetime, style: discord.utils.TimestampStyle = "R") -> str:
    """Discord shows it in the reader's own time."""
    return discord.utils.format_dt(moment, style)


def picture_option(number: int, filename: str, width_px: int | None, height_px: int | None) -> tuple[str, str]:
    """Label and description of a picture in a select."""
    size = f"{width_px} x {height_px}" if width_px and height_px else "size not known"
    return clip(f"{number}. {filename}", 100), size


def cancelled_by_limits(count: int) -> str:
    """After a change of limits that waiting jobs do not pass."""
    jobs = "1 waiting job was" if count == 1 else f"{count} waiting jobs were"
    return f"{jobs} over it and cancelled; whoever asked was told."


def blocked(member_id: int, changed: bool) -> str:
    """After `/tilestep block`."""
    if not changed:
        return f"<@{member_id}> was blocked already."
    return f"<@{member_id}> is blocked here: no new jobs, and those under way are cancelled."


def unblocked(member_id: int, changed: bool) -> str:
    """After `/tilestep unblock`."""
    return f"<@{member_id}> is not blocked any more." if changed else f"<@{member_id}> was not blocked."


def model_loading(name: str) -> str:
    """After `/tilestep model` with a name."""
    return (
        f"{as_code(name, 200)} is being loaded; use the command without a name to see how far it is. "
        "To have it after a restart too, set TILESTEP_MODEL."
    )
