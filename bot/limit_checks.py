"""The reasons for a refusal, one group a function: each yields the name of a limit and the words, in order of weight.

The limits are the guild's, capped by the operator's already.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator

from tilestep.bot.blocked_words import first_blocked
from tilestep.bot.guild_limits import QUALITIES, SCALES, Ask, GuildLimits, Size
from tilestep.bot.load import EVERYWHERE, queue_full, too_many_jobs
from tilestep.bot.settings import Settings

MEGA = 1_000_000
MOST_NAMED = 5

Reason = tuple[str, str]
"""The name of the limit, and the words."""


def of_people(ask: Ask, limits: GuildLimits) -> Iterator[Reason]:
    """Who and where."""
    place, actor = ask.place, ask.actor
    if ask.blocked:
        yield "blocked", "The admins of this server have blocked you from this bot: ask them."
    if place.missing_permissions:
        lacking = _list(place.missing_permissions, "and")
        yield "permission", f"I cannot post pictures in this channel: an admin has to give me {lacking} here."
    channel = place.parent_channel_id or place.channel_id
    if place.guild_id and limits.allowed_channel_ids and channel not in limits.allowed_channel_ids:
        yield (
            "allowed_channel_ids",
            f"This does not work in <#{channel}>: go to {_any_of('#', limits.allowed_channel_ids)}.",
        )
    if place.guild_id and limits.allowed_role_ids and not actor.role_ids & limits.allowed_role_ids:
        yield (
            "allowed_role_ids",
            f"Your roles do not allow this here: you need {_any_of('@&', limits.allowed_role_ids)}.",
        )
    if ask.source_age_restricted and not place.age_restricted:
        yield "age_restricted", "This picture is from an age-restricted channel: use it in one of those."
    author = ask.source_author_id
    if limits.who_may_click == "owner" and author is not None and author != actor.id:
        yield "who_may_click", f"Only who asked for a picture may have it enlarged here: <@{author}> can do it."


def of_work(ask: Ask, limits: GuildLimits, settings: Settings) -> Iterator[Reason]:
    """What is to be done."""
    if word := first_blocked(ask.prompt, limits.blocked_words):
        yield "blocked_words", f'The prompt has "{word}", which is not allowed here: leave it out.'
    if ask.kind == "imagine":
        yield from of_image(ask, limits, settings)
        return
    scales = [scale for scale in SCALES if scale <= limits.max_scale]
    if ask.scale not in scales:
        yield "max_scale", f"A scale of {ask.scale}x is not possible here: choose {_either(f'{s}x' for s in scales)}."
    quality = ask.quality or limits.usual_quality
    allowed = QUALITIES[: QUALITIES.index(limits.best_quality) + 1]
    if quality not in QUALITIES:
        yield "best_quality", f'There is no quality "{quality}": choose {_either(allowed)}.'
    elif quality not in allowed:
        yield "best_quality", f'The quality "{quality}" is more than is allowed here: choose {_either(allowed)}.'
    if ask.steps is not None and not 0 <= ask.steps <= limits.max_steps:
        yield "max_steps", f"{ask.steps} steps are not possible here: choose 0 to {limits.max_steps}."
    if ask.input_px:
        yield from of_size(ask.input_px, ask.scale, limits)


def of_size(input_px: Size, scale: int, limits: GuildLimits) -> Iterator[Reason]:
    """Whether a picture of this size may be enlarged by `scale`, one of SCALES. The size that is named would pass."""
    (width, height), most_in, most_out = input_px, limits.max_input_megapixels, limits.max_output_megapixels
    fitting = _fitting(input_px, min(most_in, most_out / scale**2) * MEGA)
    pixels, result_pixels = width * height, width * height * scale**2
    if pixels > most_in * MEGA:
        yield (
            "max_input_megapixels",
            f"The picture has {_megapixels(pixels)} megapixels ({width}x{height}), up to {most_in:g} are allowed here: "
            f"for {scale}x send one of at most {fitting}.",
        )
    if result_pixels > most_out * MEGA:
        smaller = [f"{other}x" for other in SCALES if other < scale and pixels * other**2 <= most_out * MEGA]
        choice = f"choose {_either(smaller)}, or " if smaller else ""
        yield (
            "max_output_megapixels",
            f"{scale}x of {width}x{height} makes {_megapixels(result_pixels)} megapixels, up to {most_out:g} "
            f"are allowed here: {choice}send a picture of at most {fitting}.",
        )
    if scale > limits.max_scale:
        yield "max_scale", f"{scale}x is not possible here, {limits.max_scale}x is the largest scale allowed."


def of_size_in_brief(input_px: Size, scale: int, limits: GuildLimits) -> str:
    """What `of_size` says first, in a few words."""
    code = next((code for code, _ in of_size(input_px, scale, limits)), "")
    pixels = input_px[0] * input_px[1]
    if code == "max_input_megapixels":
        return f"this has {_megapixels(pixels)} megapixels, up to {limits.max_input_megapixels:g} are taken"
    if code == "max_output_megapixels":
        made = _megapixels(pixels * scale**2)
        return f"makes {made} megapixels, up to {limits.max_output_megapixels:g} are allowed"
    return f"{limits.max_scale}x is the largest scale allowed" if code else ""


def of_image(ask: Ask, limits: GuildLimits, settings: Settings) -> Iterator[Reason]:
    """Size, steps and number of new pictures; the longest side and the number are the operator's alone."""
    if ask.image_px:
        width, height = ask.image_px
        most_px, most = settings.max_image_side_px, limits.max_output_megapixels
        if max(width, height) > most_px or min(width, height) < 1:
            yield (
                "max_image_side_px",
                f"A picture of {width}x{height} is not possible here: choose sides of 1 to {most_px} pixels.",
            )
        elif width * height > most * MEGA:
            yield (
                "max_output_megapixels",
                f"{width}x{height} makes {_megapixels(width * height)} megapixels, up to {most:g} are allowed here: "
                f"choose at most {_fitting(ask.image_px, most * MEGA)}.",
            )
    most_steps, most_pictures = limits.max_image_steps, settings.max_image_count
    if ask.image_steps is not None and not 1 <= ask.image_steps <= most_steps:
        yield "max_image_steps", f"{ask.image_steps} steps are not possible here: choose 1 to {most_steps}."
    if not 1 <= ask.count <= most_pictures:
        yield "max_image_count", f"{ask.count} pictures at once are not possible here: choose 1 to {most_pictures}."


def of_load(ask: Ask, limits: GuildLimits, settings: Settings) -> Iterator[Reason]:
    """What the member has under way and has used, and how much waits."""
    if ask.open_jobs >= limits.jobs_at_once:
        yield "jobs_at_once", too_many_jobs(ask.open_jobs, limits.jobs_at_once)
    if ask.open_jobs_everywhere >= settings.max_jobs_at_once:
        yield "jobs_at_once", too_many_jobs(ask.open_jobs_everywhere, settings.max_jobs_at_once, EVERYWHERE)
    if ask.gpu_seconds_today >= limits.gpu_seconds_per_day:
        yield "gpu_seconds_per_day", _used_up(ask.gpu_seconds_today, limits.gpu_seconds_per_day, "here")
    if ask.gpu_seconds_everywhere >= settings.max_gpu_seconds_per_day:
        used = ask.gpu_seconds_everywhere
        yield "gpu_seconds_per_day", _used_up(used, settings.max_gpu_seconds_per_day, EVERYWHERE)
    if ask.jobs_waiting >= settings.queue_limit:
        yield "queue", queue_full(ask.jobs_waiting, settings.queue_limit)


def _used_up(used_s: float, most_s: float, where: str) -> str:
    return (
        f"You have used {used_s:.0f} s of computing time today, and {most_s:g} s a day are allowed {where}: "
        "the count starts again at 0:00 UTC."
    )


def _megapixels(pixels: int) -> str:
    """Rounded up, so that it never looks as if it were within a limit that it passes."""
    return f"{math.ceil(pixels / 10_000) / 100:g}"


def _fitting(size: Size, pixels: float) -> str:
    """The largest size of this shape with so many pixels."""
    width, height = size
    shrink = math.sqrt(pixels / (width * height))
    fitting_width = max(1, math.floor(width * shrink))
    fitting_height = max(1, min(math.floor(height * shrink), math.floor(pixels / fitting_width)))
    return f"{min(fitting_width, math.floor(pixels))}x{fitting_height}"


def _either(choices: Iterable[object]) -> str:
    """`2x`, `2x or 4x`, `2x, 4x or 8x`."""
    return _list(map(str, choices), "or")


def _list(words: Iterable[str], between: str) -> str:
    *first, last = words
    return f"{', '.join(first)} {between} {last}" if first else last


def _any_of(kind: str, ids: Collection[int]) -> str:
    """Roles or channels as Discord shows them; nobody is mentioned by it, since answers mention nobody."""
    named = [f"<{kind}{number}>" for number in sorted(ids)[:MOST_NAMED]]
    return _either([*named, "another one of them"] if len(ids) > MOST_NAMED else named)
