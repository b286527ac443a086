"""What can go wrong between a member's wish and a posted picture.

    TilestepError
    └── BotError
        ├── Refused           a limit or a permission says no, before any GPU time was spent
        ├── FetchError        a picture could not be fetched from Discord
        ├── NoSuchJob         no job of that name, or not the member's business
        ├── Undeliverable     the result cannot be posted, now or ever
        ├── DatabaseError     the database cannot be used: not reachable, full, or of a newer version
        ├── ModelUnavailable  new pictures cannot be made at present; upscaling can
        └── SettingsError     the operator's settings make no sense

The text of each is what the person reads: one line, what is wrong and what would pass. `upscaler.errors` and
`bot.gpu.errors` hold the rest of the tree; whatever is not in it is a fault of ours, and is told as such.
"""

from __future__ import annotations

from tilestep.upscaler.errors import TilestepError


class BotError(TilestepError):
    """Root of the bot's errors."""


class Refused(BotError):  # noqa: N818
    """`code` names the limit (a field of GuildLimits, or "blocked", "paused", "queue", "disk", "permission" ...)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class FetchError(BotError):
    """The picture could not be fetched: gone, too large, not from Discord, or the connection failed."""


class NoSuchJob(BotError):  # noqa: N818
    """There is no such job, or it belongs to somebody else."""


class Undeliverable(BotError):  # noqa: N818
    """The result cannot be posted. `again_later`: the reason may pass (an archived thread, a missing permission)."""

    def __init__(self, message: str, again_later: bool = False) -> None:
        super().__init__(message)
        self.again_later = again_later


class DatabaseError(BotError):
    """The database cannot be used at present, or not by this version; the text says why."""


class ModelUnavailable(BotError):  # noqa: N818
    """No text-to-image model is loaded; the text says why."""


class SettingsError(BotError):
    """An environment variable has a value that cannot be; the text names it and what it may be."""
