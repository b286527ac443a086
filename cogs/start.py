"""From a click or a command to a job: refuse early, read the picture, hand it to the service, say what was accepted."""

from __future__ import annotations

from dataclasses import replace

from tilestep.bot.jobs import Job
from tilestep.bot.requests import ImagineOptions, ImagineRequest, UpscaleOptions, UpscaleRequest, Via
from tilestep.cogs import words
from tilestep.cogs.context import Interaction, actor_of, answer, place_of, reply_of, runtime_of
from tilestep.cogs.sources import Picture
from tilestep.cogs.views import cancel_view


async def upscale(
    interaction: Interaction, picture: Picture, options: UpscaleOptions, via: Via, private: bool = False
) -> Job:
    """Needs an interaction that is deferred. Raises what the service raises, in words, before any GPU time is spent."""
    runtime = runtime_of(interaction)
    actor, place = actor_of(interaction), place_of(interaction, private)
    if place.guild_id is None and picture.age_restricted:
        place = replace(
            place, age_restricted=True
        )  # one's own result, which was sent there because it may not lie open
    await runtime.service.check_upscale(
        actor,
        place,
        via=via,
        scale=options.scale,
        quality=options.quality,
        source_author_id=picture.author_id,
        source_age_restricted=picture.age_restricted,
        size=picture.size_px,
    )
    request = UpscaleRequest(
        actor=actor,
        place=place,
        source=await picture.read(runtime),
        options=options,
        via=via,
        private=private,
        reply=reply_of(interaction) if private else None,
    )
    return await runtime.service.upscale(request)


async def imagine(interaction: Interaction, options: ImagineOptions, via: Via, private: bool = False) -> Job:
    """As `upscale`, for new pictures."""
    request = ImagineRequest(
        actor=actor_of(interaction),
        place=place_of(interaction, private),
        options=options,
        via=via,
        private=private,
        reply=reply_of(interaction) if private else None,
    )
    return await runtime_of(interaction).service.imagine(request)


async def say_accepted(interaction: Interaction, job: Job) -> None:
    """Fills a command's "thinking ..."; a private job's reply is left to its progress and result."""
    if not job.private:
        progress = runtime_of(interaction).service.progress(job.id)
        await answer(interaction, words.accepted(job, progress), view=cancel_view(job))
