"""Between Discord's interactions and the service: who asks, where, and how they are answered.

This is the one place where an error becomes words: a `TilestepError` is told as it is, anything else as one plain
sentence with a number that the log has too.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import discord
from discord import app_commands

from tilestep.bot.errors import Refused
from tilestep.bot.requests import Actor, Place, Reply
from tilestep.bot.runtime import Runtime
from tilestep.cogs import words
from tilestep.upscaler.errors import TilestepError

log = logging.getLogger(__name__)

Interaction = discord.Interaction[Any]

TOKEN_LIFE_S, ON_THE_WAY_S, MODAL_LIFE_S = 15 * 60.0, 5.0, 6 * 3600.0
MODAL, _THIS_RUN = "tilestep:modal:", secrets.token_hex(4)
SILENT = discord.AllowedMentions.none()
GONE = (10008, 10015, 10062, 40060)
"""Discord's codes for an interaction or a message that can no longer be answered."""

NEEDED = ("view_channel", "attach_files", "embed_links", "read_message_history")

runtimes: WeakKeyDictionary[Any, Runtime] = WeakKeyDictionary()
"""Of each bot that has one of our extensions loaded; kept by `plugin`."""

modals: WeakKeyDictionary[Any, WeakSet[discord.ui.Modal]] = WeakKeyDictionary()
"""Of each bot: those that may still be open."""


def runtime_of(interaction: Interaction) -> Runtime:
    """Raises Refused while none of our extensions is loaded."""
    runtime = runtimes.get(interaction.client)
    if runtime is None:
        raise Refused("off", words.SWITCHED_OFF)
    return runtime


def actor_of(interaction: Interaction) -> Actor:
    """Who asks, with the rights that Discord sent along with this very interaction."""
    user = interaction.user
    if interaction.guild_id is None or not isinstance(user, discord.Member):
        return Actor(user.id)
    rights = interaction.permissions
    return Actor(
        user.id,
        frozenset(role.id for role in user.roles),
        manages_guild=rights.manage_guild,
        manages_messages=rights.manage_messages,
        guild_id=interaction.guild_id,
    )


def place_of(interaction: Interaction, private: bool = False) -> Place:
    """Where it was asked. A private answer needs no permission of the bot, and may be as large as the member's own."""
    channel, guild = interaction.channel, interaction.guild
    upload_limit = guild.filesize_limit if guild and not private else interaction.filesize_limit
    return Place(
        guild_id=interaction.guild_id,
        channel_id=interaction.channel_id or 0,
        parent_channel_id=channel.parent_id if isinstance(channel, discord.Thread) else None,
        age_restricted=is_age_restricted(channel),
        upload_limit_bytes=upload_limit,
        missing_permissions=() if private else missing_permissions(interaction),
    )


def is_age_restricted(channel: Any) -> bool:
    """Threads are as restricted as their channel; direct messages never are."""
    return bool(channel.is_nsfw()) if hasattr(channel, "is_nsfw") else False


def missing_permissions(interaction: Interaction) -> tuple[str, ...]:
    """What the bot lacks to post a picture here, as Discord's own settings call it."""
    if interaction.guild_id is None:
        return ()
    threaded = isinstance(interaction.channel, discord.Thread)
    needed = ("send_messages_in_threads" if threaded else "send_messages", *NEEDED)
    rights = interaction.app_permissions
    return tuple(permission_name(name) for name in needed if not getattr(rights, name))


def permission_name(name: str) -> str:
    """'attach_files' -> 'Attach Files'."""
    return name.replace("_", " ").title().replace(" In ", " in ")


def reply_of(interaction: Interaction) -> Reply:
    """The way to answer this interaction later, for results that only the member is to see.

    The time of its end is by this machine's clock, with which it is compared later.
    """
    return Reply(interaction.application_id, interaction.token, time.time() + TOKEN_LIFE_S - ON_THE_WAY_S)


async def answer(
    interaction: Interaction,
    text: str,
    *,
    view: discord.ui.View | None = None,
    embed: discord.Embed | None = None,
) -> None:
    """Tells the person alone, whatever has been said or deferred before."""
    extras: dict[str, Any] = {"allowed_mentions": SILENT}
    if view is not None:
        extras["view"] = view
    if embed is not None:
        extras["embed"] = embed
    response = interaction.response
    if not response.is_done():
        await response.send_message(text, ephemeral=True, **extras)
    elif response.type is discord.InteractionResponseType.deferred_channel_message:
        await interaction.edit_original_response(content=text, **extras)
    else:
        await interaction.followup.send(text, ephemeral=True, **extras)


async def ask(interaction: Interaction, modal: discord.ui.Modal) -> None:
    """Opens a modal; it is forgotten after hours, when the bot ends, or with the last of our extensions.

    Filling it in is an interaction of its own, so it may take longer than the life of this one.
    """
    modal.timeout, modal.custom_id = MODAL_LIFE_S, f"{MODAL}{_THIS_RUN}:{secrets.token_hex(8)}"
    modals.setdefault(interaction.client, WeakSet()).add(modal)
    await interaction.response.send_modal(modal)


def is_of_earlier_run(interaction: Interaction) -> bool:
    """Whether it is a form of ours that was opened before the bot was started again: nothing else answers that."""
    data: Any = interaction.data or {}
    custom_id = str(data.get("custom_id", ""))
    is_form = interaction.type is discord.InteractionType.modal_submit and custom_id.startswith(MODAL)
    return is_form and not custom_id.startswith(f"{MODAL}{_THIS_RUN}:")


async def think(interaction: Interaction) -> None:
    """An ephemeral "thinking ...", within Discord's three seconds; `answer` fills it."""
    await interaction.response.defer(ephemeral=True, thinking=True)


@asynccontextmanager
async def answering(interaction: Interaction) -> AsyncIterator[None]:
    """Whatever goes wrong inside is told to the person, and goes no further than the log."""
    try:
        yield
    except Exception as error:
        text = explain(error)
        try:
            await answer(interaction, text)
        except discord.HTTPException as late:
            level = logging.INFO if late.code in GONE else logging.WARNING
            log.log(level, "could not answer interaction %s: %s", interaction.id, late)


def explain(error: BaseException) -> str:
    """The error in words for people. What nobody foresaw is logged, with the number that the person is given."""
    if isinstance(error, app_commands.CommandInvokeError | app_commands.TransformerError) and error.__cause__:
        error = error.__cause__
    if isinstance(error, TilestepError):
        return words.clip(str(error))
    if isinstance(error, app_commands.NoPrivateMessage):
        return words.GUILD_ONLY
    if isinstance(error, app_commands.AppCommandError):
        return words.clip(words.sentence(str(error)))
    number = secrets.token_hex(4)
    log.error("fault %s", number, exc_info=error)
    return words.fault(number)


def plain_list(names: Iterable[str]) -> str:
    """'A', 'A and B', 'A, B and C'."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
