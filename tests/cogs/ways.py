"""Every way in to a job: button, commands, link, menu, the buttons under new pictures, another bot's call.

Each gives the words of the refusal, or "" where a job came of it. What is wished: `size` and `owner` of the picture to
enlarge, or `drawn` for the one that the bot drew; `scale`, `quality`, `steps`; `prompt`, `image_px`, `count`.
"""

import io

import discord
from discord_world import buttons, picture_bytes

from tilestep.bot.errors import BotError
from tilestep.bot.requests import (
    Actor,
    ImagineOptions,
    ImagineRequest,
    Place,
    SourcePicture,
    UpscaleOptions,
    UpscaleRequest,
)
from tilestep.cogs.upscale import UpscaleButton


async def by_button(world, who, size=(24, 16), owner=None, drawn=False):
    """On a message of the bot's own with a picture; the button has no options."""
    message = world.drawn if drawn else await posted_by_bot(world, size, owner)
    return await told(world, who, who.click(message, custom_id=buttons(message)["Upscale 2x"]["custom_id"]))


async def by_command(world, who, size=(24, 16), **options):
    """With an attachment of their own."""
    return await told(world, who, world.upscale(who, size, **options))


async def by_link(world, who, size=(24, 16), owner=None, drawn=False, **options):
    """To a message of the bot's own."""
    message = world.drawn if drawn else await posted_by_bot(world, size, owner)
    return await told(world, who, who.slash(world.channel, "upscale", link=message.jump_url, **options))


async def by_menu(world, who, size=(24, 16), owner=None, drawn=False):
    """On a message of a member, or on one of the bot's."""
    message = world.drawn if drawn else await world.post(("in.png", picture_bytes(*size)), by=owner or who)
    return await told(world, who, who.context_menu(world.channel, "Upscale", message))


async def by_api(world, who, size=(24, 16), owner=None, drawn=False, **options):
    """As another cog of the same bot calls the service."""
    job_id = (await job_of(world, world.drawn)).id if drawn else None
    source = SourcePicture(picture_bytes(*size), "in.png", author_id=(owner or who).id, job_id=job_id)
    request = UpscaleRequest(await actor(world, who), here(world), source, UpscaleOptions(**options), via="api")
    return await called(world.runtime.service.upscale(request))


async def by_imagine(world, who, prompt="a red fox", image_px=(64, 64), **options):
    """The command."""
    size = "{}x{}".format(*image_px)
    return await told(world, who, who.slash(world.channel, "imagine", prompt=prompt, size=size, **options))


async def by_again(world, who):
    """Under the drawn picture, with its recipe as it is."""
    modal = await who.click(world.drawn, label="Again")
    prompt, _, _ = (item["component"]["custom_id"] for item in modal.modal["components"])
    return await told(world, who, who.submit_modal(modal, {prompt: "a red fox"}))


async def by_new_seed(world, who):
    """Under the drawn picture."""
    return await told(world, who, who.click(world.drawn, label="New seed"))


async def by_image_api(world, who, prompt="a red fox", image_px=(64, 64), **options):
    """As another cog of the same bot calls the service."""
    options = ImagineOptions(prompt, width_px=image_px[0], height_px=image_px[1], **options)
    return await called(
        world.runtime.service.imagine(ImagineRequest(await actor(world, who), here(world), options, "api"))
    )


UPSCALES = {"button": by_button, "command": by_command, "link": by_link, "menu": by_menu, "api": by_api}
DRAWS = {"imagine": by_imagine, "again": by_again, "new seed": by_new_seed, "image api": by_image_api}
WAYS = UPSCALES | DRAWS


async def told(world, who, action):
    before = len(await world.runtime.jobs.open_jobs(requester_id=who.id))
    answered = await action
    after = len(await world.runtime.jobs.open_jobs(requester_id=who.id))
    return "" if after > before else world.words(answered)


async def called(job):
    try:
        await job
    except BotError as error:
        return str(error)
    return ""


async def posted_by_bot(world, size, owner):
    view = discord.ui.View(timeout=None).add_item(UpscaleButton.for_message(owner=owner))
    view.stop()
    file = discord.File(io.BytesIO(picture_bytes(*size)), "own.png")
    return await world.bot.get_channel(world.channel.id).send(file=file, view=view)


async def job_of(world, message):
    return await world.runtime.jobs.find_by_message(message.channel.id, message.id)


async def actor(world, who):
    member = await world.bot.get_guild(world.guild.id).fetch_member(who.id)
    return Actor(who.id, frozenset(role.id for role in member.roles), guild_id=world.guild.id)


def here(world):
    return Place(world.guild.id, world.channel.id)
