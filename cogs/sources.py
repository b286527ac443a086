"""Pictures that can be upscaled: in a message, behind a link, made by a job of ours. Nothing here decides who may."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import discord

from tilestep.bot.errors import FetchError, NoSuchJob
from tilestep.bot.jobs import Job
from tilestep.bot.requests import MIB, SourcePicture
from tilestep.bot.runtime import Runtime
from tilestep.cogs import words
from tilestep.cogs.context import Interaction, is_age_restricted, runtime_of
from tilestep.upscaler.errors import OptionError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".webp", ".tif", ".tiff"})
TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/tiff"})
EMBED_HOSTS = frozenset({"cdn.discordapp.com", "media.discordapp.net"})
MOST_PICTURES = 25
LINK = re.compile(
    r"<?https://(?:(?:ptb|canary)\.)?discord(?:app)?\.com/channels/(?P<guild>\d{1,19}|@me)/(?P<channel>\d{1,19})/"
    r"(?P<message>\d{1,19})/?>?"
)

OWN_BUTTON = re.compile(r"tilestep:up:-:[0-9]:(?P<owner>\d{1,19})")
OWN_RESULT = re.compile(r"<@(?P<owner>\d{1,19})> ")


@dataclass(frozen=True)
class Picture:
    """A picture that has not been read yet. `path`: our own file, better than what was posted; `url`: Discord's."""

    filename: str
    url: str = ""
    path: Path | None = None
    width_px: int | None = None
    height_px: int | None = None
    spoiler: bool = False
    description: str | None = None
    channel_id: int | None = None
    message_id: int | None = None
    author_id: int | None = None
    job_id: str | None = None
    age_restricted: bool = False

    @property
    def size_px(self) -> tuple[int, int] | None:
        """Width and height as Discord or the job's row has them; not to be trusted."""
        return (self.width_px, self.height_px) if self.width_px and self.height_px else None

    async def read(self, runtime: Runtime) -> SourcePicture:
        """Fetches the bytes within the operator's cap. Raises FetchError in words."""
        limit_bytes = runtime.settings.max_source_mib * MIB
        data = await asyncio.to_thread(_file_bytes, self.path, limit_bytes)
        if data is None:
            if not self.url:
                raise FetchError(words.PICTURE_GONE)
            data = await runtime.fetcher.fetch(self.url, limit_bytes)
        return SourcePicture(
            data,
            self.filename,
            self.spoiler,
            self.description,
            self.channel_id,
            self.message_id,
            self.author_id,
            self.job_id,
            self.age_restricted,
        )


def of_attachment(attachment: discord.Attachment, spoiler: bool = False) -> Picture:
    """An attachment, of a command or of a message."""
    return Picture(
        attachment.filename,
        attachment.url,
        width_px=attachment.width,
        height_px=attachment.height,
        spoiler=spoiler or attachment.is_spoiler(),
        description=attachment.description,
    )


def in_message(message: discord.Message) -> list[Picture]:
    """The pictures of a message, forwarded ones too, in the order that Discord shows them; 25 at most."""
    holders: list[discord.Message | discord.MessageSnapshot] = [message, *message.message_snapshots]
    found = [of_attachment(a) for holder in holders for a in holder.attachments if looks_like_picture(a)]
    found += [_of_embed(embed) for holder in holders for embed in holder.embeds if _is_discords(embed.image.url)]
    restricted = is_age_restricted(message.channel)
    return [
        replace(
            picture,
            channel_id=message.channel.id,
            message_id=message.id,
            author_id=message.author.id,
            age_restricted=restricted,
        )
        for picture in found[:MOST_PICTURES]
    ]


async def of_message(interaction: Interaction, message: discord.Message) -> list[Picture]:
    """The pictures of any message that the member sees; of a result of ours with how they were made."""
    user = interaction.client.user
    if user is None or message.author.id != user.id:
        return in_message(message)
    runtime = runtime_of(interaction)
    job = await runtime.jobs.find_by_message(message.channel.id, message.id)
    return of_job(runtime, job, message) if job else of_own(message)


def of_own(message: discord.Message, owner_id: int | None = None) -> list[Picture]:
    """Those of a message that the bot itself has sent and no row knows, or no row any more."""
    owner_id = owner_id or owner_of(message)
    return [replace(picture, author_id=owner_id) for picture in in_message(message)]


def looks_like_picture(attachment: discord.Attachment) -> bool:
    """By type or name, only to tell pictures from other files; what it is shows when it is read."""
    kind = (attachment.content_type or "").partition(";")[0].strip().lower()
    return kind in TYPES or Path(attachment.filename).suffix.lower() in SUFFIXES


def of_job(runtime: Runtime, job: Job, message: discord.Message | None) -> list[Picture]:
    """The single pictures of a delivered job, without the grid: from disk while they are kept, else the message's."""
    posted = [a for a in message.attachments if looks_like_picture(a)] if message else []
    pictures = []
    for place, file in enumerate(job.result):
        url = posted[place].url if place < len(posted) else ""
        picture = Picture(
            file.name,
            url,
            runtime.files.path(job.id, file.name),
            file.width_px,
            file.height_px,
            job.spoiler,
            file.description,
            job.result_channel_id,
            job.result_message_id,
            job.requester_id,
            job.id,
            job.age_restricted,
        )
        pictures.append(picture)
    return pictures[1:] if len(pictures) > 1 else pictures


async def behind_link(interaction: Interaction, link: str) -> list[Picture]:
    """The pictures of a message of this bot, which the member may see. Raises OptionError and NoSuchJob."""
    match = LINK.fullmatch(link.strip())
    if match is None:
        raise OptionError(words.BAD_LINK)
    guild_id = None if match["guild"] == "@me" else int(match["guild"])
    if guild_id != interaction.guild_id:
        raise OptionError(words.OTHER_SERVER)
    channel = await _visible_channel(interaction, int(match["channel"]))
    try:
        message = await channel.fetch_message(int(match["message"]))
    except discord.HTTPException as error:
        raise NoSuchJob(words.NOT_VISIBLE) from error
    if interaction.client.user is None or message.author.id != interaction.client.user.id:
        raise OptionError(words.NOT_MINE)
    return await of_message(interaction, message)


async def _visible_channel(interaction: Interaction, channel_id: int) -> discord.abc.Messageable:
    """The channel or thread, if this member may read it. Raises NoSuchJob."""
    if channel_id == interaction.channel_id and isinstance(interaction.channel, discord.abc.Messageable):
        return interaction.channel
    try:
        channel = interaction.client.get_channel(channel_id) or await interaction.client.fetch_channel(channel_id)
    except discord.HTTPException as error:
        raise NoSuchJob(words.NOT_VISIBLE) from error
    if not isinstance(channel, discord.abc.Messageable) or not await _may_read(interaction, channel):
        raise NoSuchJob(words.NOT_VISIBLE)
    return channel


async def _may_read(interaction: Interaction, channel: discord.abc.Messageable) -> bool:
    member = interaction.user
    guild = getattr(channel, "guild", None)
    if guild is None or guild.id != interaction.guild_id or not isinstance(member, discord.Member):
        return False
    rights: discord.Permissions = channel.permissions_for(member)  # type: ignore[attr-defined]
    if not (rights.view_channel and rights.read_message_history):
        return False
    if isinstance(channel, discord.Thread) and channel.is_private() and not rights.manage_threads:
        try:
            await channel.fetch_member(member.id)
        except discord.HTTPException:
            return False
    return True


def owner_of(message: discord.Message) -> int | None:
    """Whose picture it is: named by its button, or by the command that it answers, or as our results begin."""
    named = (OWN_BUTTON.fullmatch(button.custom_id or "") for button in _buttons(message))
    if owner := next((match["owner"] for match in named if match), None):
        return int(owner)
    if message.interaction_metadata is not None:
        return message.interaction_metadata.user.id
    began = OWN_RESULT.match(message.content)
    return int(began["owner"]) if began else None


def _buttons(message: discord.Message) -> Iterator[discord.Button]:
    for row in message.components:
        yield from (item for item in getattr(row, "children", ()) if isinstance(item, discord.Button))


def _of_embed(embed: discord.Embed) -> Picture:
    url = embed.image.url or ""
    name = Path(urlsplit(url).path).name or "picture"
    return Picture(name, url, width_px=embed.image.width, height_px=embed.image.height)


def _is_discords(url: str | None) -> bool:
    return bool(url) and urlsplit(url).hostname in EMBED_HOSTS


def _file_bytes(path: Path | None, limit_bytes: int) -> bytes | None:
    """None where there is no such file any more."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            data = file.read(limit_bytes + 1)
    except OSError:
        return None
    return data if len(data) <= limit_bytes else None
