"""What a member asks for, and who and where they are: frozen values that cogs hand to the service."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Via = Literal["button", "command", "menu", "api"]
ResultFormat = Literal["png", "webp", "jpeg"]
MIB = 1 << 20


@dataclass(frozen=True)
class Actor:
    """Who asks, as Discord knows them at this moment.

    `manages_guild`: the permission Manage Server, in `guild_id`; without a guild it holds nowhere.
    """

    id: int
    role_ids: frozenset[int] = frozenset()
    manages_guild: bool = False
    manages_messages: bool = False
    guild_id: int | None = None

    def moderates(self, guild_id: int | None) -> bool:
        """Whether they may end and delete what others started there."""
        return guild_id is not None and guild_id == self.guild_id and (self.manages_guild or self.manages_messages)


@dataclass(frozen=True)
class Place:
    """Where it was asked and where the result goes. `guild_id` is None in direct messages.

    `parent_channel_id`: the channel that a thread belongs to. `missing_permissions`: what the bot lacks there to post
    a picture, in Discord's words ("Attach Files"). `upload_limit_bytes`: of a file, by the guild's boosts.
    """

    guild_id: int | None
    channel_id: int
    parent_channel_id: int | None = None
    age_restricted: bool = False
    upload_limit_bytes: int = 10 * MIB
    missing_permissions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reply:
    """An interaction that can still be answered, for results that only the member sees; its token lives 15 minutes."""

    application_id: int
    token: str = field(repr=False)
    expires_at: float = 0.0
    """Seconds since 1970."""


@dataclass(frozen=True)
class SourcePicture:
    """The bytes to enlarge and where they came from.

    `message_id` is None for an attachment of a command, which belongs to no message. `author_id`: who asked for the
    picture (our own job) or posted it. `job_id`: our job that made it. `age_restricted`: it lies in such a channel.
    """

    data: bytes = field(repr=False)
    filename: str
    spoiler: bool = False
    description: str | None = None
    channel_id: int | None = None
    message_id: int | None = None
    author_id: int | None = None
    job_id: str | None = None
    age_restricted: bool = False


@dataclass(frozen=True)
class UpscaleOptions:
    """`quality` None: the guild's default. `steps` None: as the preset has it. `seed` None: drawn, and kept."""

    scale: int = 2
    quality: str | None = None
    steps: int | None = None
    format: ResultFormat = "png"
    seed: int | None = None


@dataclass(frozen=True)
class ImagineOptions:
    """None where the model's own default serves. `seed` of the first picture; each further one has the next seed."""

    prompt: str
    negative_prompt: str = ""
    width_px: int | None = None
    height_px: int | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    count: int = 1


@dataclass(frozen=True)
class UpscaleRequest:
    """`private`: only the member is to see progress and result; needs `reply`."""

    actor: Actor
    place: Place
    source: SourcePicture
    options: UpscaleOptions = UpscaleOptions()
    via: Via = "command"
    private: bool = False
    reply: Reply | None = None


@dataclass(frozen=True)
class ImagineRequest:
    actor: Actor
    place: Place
    options: ImagineOptions
    via: Via = "command"
    private: bool = False
    reply: Reply | None = None
