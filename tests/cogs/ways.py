"""The ways in to an upscale: button, command, menu, another bot's call. Each gives the refusal, or "" if accepted."""

from discord_world import buttons, picture_bytes

from tilestep.bot.errors import BotError
from tilestep.bot.requests import Actor, Place, SourcePicture, UpscaleOptions, UpscaleRequest
from tilestep.cogs.upscale import UpscaleButton


async def by_button(world, who, size=(24, 16), owner=None, **options):
    """On a message of the bot's own with a picture; the button has no options."""
    import io

    import discord

    assert not options
    view = discord.ui.View(timeout=None).add_item(UpscaleButton.for_message(owner=owner))
    view.stop()
    file = discord.File(io.BytesIO(picture_bytes(*size)), "own.png")
    await world.bot.get_channel(world.channel.id).send(file=file, view=view)
    message = world.channel.last_message
    return await world.told(who.click(message, custom_id=buttons(message)["Upscale 2x"]["custom_id"]))


async def by_command(world, who, size=(24, 16), owner=None, **options):
    """With an attachment of their own."""
    return await world.told(world.upscale(who, size, **options))


async def by_menu(world, who, size=(24, 16), owner=None, **options):
    """On a message of a member."""
    assert not options
    message = await world.post(("in.png", picture_bytes(*size)), by=owner or who)
    return await world.told(who.context_menu(world.channel, "Upscale", message))


async def by_api(world, who, size=(24, 16), owner=None, **options):
    """As another cog of the same bot calls the service."""
    member = await world.bot.get_guild(world.guild.id).fetch_member(who.id)
    actor = Actor(who.id, frozenset(role.id for role in member.roles), guild_id=world.guild.id)
    source = SourcePicture(picture_bytes(*size), "in.png", author_id=(owner or who).id)
    place = Place(world.guild.id, world.channel.id)
    request = UpscaleRequest(actor, place, source, UpscaleOptions(**options), via="api")
    try:
        await world.runtime.service.upscale(request)
    except BotError as error:
        return str(error)
    return ""


WAYS = {"button": by_button, "command": by_command, "menu": by_menu, "api": by_api}
