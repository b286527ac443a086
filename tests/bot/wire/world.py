"""What the small server remembers: channels, messages, uploaded bytes, nonces, and tokens of interactions.

Behaves as Discord documents it where delivery can tell: a nonce is remembered by author for NONCE_S, an archived
thread opens again on a message unless it is locked, a limit counts for each file, a reply needs the right to read.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

BOT_ID = 9_000_000_000_000_001
NONCE_S = 300.0
EPOCH_MS = 1_420_070_400_000
TEXT, DM, THREADS = 0, 1, (10, 11, 12)


class Refusal(Exception):  # noqa: N818
    """An answer that is no success, with Discord's code and words."""

    def __init__(self, status: int, code: int, words: str) -> None:
        super().__init__(words)
        self.status, self.code = status, code


@dataclass(frozen=True)
class Upload:
    """One file of a request."""

    filename: str
    data: bytes


@dataclass
class Channel:
    """`refuse`: [status, code] for whoever posts here. `limit_bytes`: of each file. `reads`: may see old messages."""

    id: int
    type: int = TEXT
    guild_id: int | None = 77
    parent_id: int | None = None
    nsfw: bool = False
    archived: bool = False
    locked: bool = False
    limit_bytes: int = 10 << 20
    refuse: list[int] | None = None
    reads: bool = True
    recipient_id: int | None = None
    messages: dict[int, dict[str, Any]] = field(default_factory=dict)

    def payload(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"id": str(self.id), "type": self.type, "name": f"channel-{self.id}", "position": 0}
        if self.type == DM:
            return facts | {"recipients": [user(self.recipient_id or 0)]}
        facts |= {"guild_id": str(self.guild_id), "nsfw": self.nsfw, "permission_overwrites": []}
        if self.type in THREADS:
            facts |= {"parent_id": str(self.parent_id), "owner_id": "1", "thread_metadata": self._metadata()}
            facts |= {"message_count": 0, "member_count": 1}
        return facts

    def _metadata(self) -> dict[str, Any]:
        return {
            "archived": self.archived,
            "locked": self.locked,
            "auto_archive_duration": 1440,
            "archive_timestamp": now(),
        }


class World:
    """Everything that was posted, in memory."""

    def __init__(self) -> None:
        self.channels: dict[int, Channel] = {}
        self.closed_users: set[int] = set()
        self.tokens: dict[str, int] = {}
        self.originals: dict[str, dict[str, Any]] = {}
        self.files: dict[int, bytes] = {}
        self.nonces: dict[str, tuple[float, dict[str, Any]]] = {}
        self._last_id = 0

    def new_id(self) -> int:
        self._last_id = max(self._last_id + 1, (int(time.time() * 1000) - EPOCH_MS) << 22)
        return self._last_id

    def channel(self, channel_id: int) -> Channel:
        if channel_id not in self.channels:
            raise Refusal(404, 10003, "Unknown Channel")
        return self.channels[channel_id]

    def message(self, channel_id: int, message_id: int) -> dict[str, Any]:
        message = self.channel(channel_id).messages.get(message_id)
        if message is None:
            raise Refusal(404, 10008, "Unknown Message")
        return message

    def dm(self, user_id: int) -> Channel:
        for channel in self.channels.values():
            if channel.recipient_id == user_id:
                return channel
        channel = Channel(self.new_id(), DM, None, recipient_id=user_id)
        self.channels[channel.id] = channel
        return channel

    def post(self, channel_id: int, body: dict[str, Any], uploads: list[Upload]) -> dict[str, Any]:
        channel = self.channel(channel_id)
        self._allow(channel, body, uploads)
        nonce = body.get("nonce")
        if nonce is not None and body.get("enforce_nonce") and (known := self._known(str(nonce))):
            return known
        message = self.make(channel, body, uploads)
        if nonce is not None:
            self.nonces[str(nonce)] = (time.monotonic(), message)
        return message

    def make(
        self, channel: Channel, body: dict[str, Any], uploads: list[Upload], author: int = BOT_ID
    ) -> dict[str, Any]:
        message = {
            "id": str(self.new_id()),
            "channel_id": str(channel.id),
            "author": user(author),
            "content": body.get("content") or "",
            "timestamp": now(),
            "edited_timestamp": None,
            "tts": False,
            "mention_everyone": False,
            "mentions": [],
            "mention_roles": [],
            "attachments": self._attach(channel.id, body.get("attachments", []), uploads, []),
            "embeds": body.get("embeds", []),
            "components": body.get("components", []),
            "pinned": False,
            "type": 0,
            "flags": body.get("flags", 0),
            "nonce": body.get("nonce"),
            "allowed_mentions": body.get("allowed_mentions"),
        }
        if body.get("message_reference"):
            message["message_reference"] = body["message_reference"]
        channel.messages[int(message["id"])] = message
        return message

    def edit(self, message: dict[str, Any], body: dict[str, Any], uploads: list[Upload]) -> dict[str, Any]:
        channel = self.channel(int(message["channel_id"]))
        self._check_sizes(channel, uploads)
        for key in ("content", "embeds", "components", "flags", "allowed_mentions"):
            if key in body:
                message[key] = body[key]
        if "attachments" in body:
            message["attachments"] = self._attach(channel.id, body["attachments"], uploads, message["attachments"])
        message["edited_timestamp"] = now()
        return message

    def original(self, token: str) -> dict[str, Any]:
        if token not in self.tokens:
            raise Refusal(404, 10015, "Unknown Webhook")
        if token not in self.originals:
            self.originals[token] = self.make(Channel(self.tokens[token]), {"flags": 64}, [])
        return self.originals[token]

    def history(self, channel_id: int, query: dict[str, str]) -> list[dict[str, Any]]:
        channel = self.channel(channel_id)
        if not channel.reads:
            return []
        after, before = int(query.get("after", 0)), int(query.get("before", 1 << 63))
        found = sorted(key for key in channel.messages if after < key < before)
        limit = int(query.get("limit", 50))
        chosen = found[:limit] if "after" in query else found[-limit:]
        return [channel.messages[key] for key in reversed(chosen)]

    def change_channel(self, channel_id: int, body: dict[str, Any]) -> dict[str, Any]:
        channel = self.channel(channel_id)
        if channel.locked:
            raise Refusal(403, 50013, "Missing Permissions")
        channel.archived = body.get("archived", channel.archived)
        return channel.payload()

    def _known(self, nonce: str) -> dict[str, Any] | None:
        at, message = self.nonces.get(nonce, (0.0, {}))
        if not message or time.monotonic() - at > NONCE_S:
            return None
        if int(message["id"]) not in self.channel(int(message["channel_id"])).messages:
            raise Refusal(404, 10008, "Unknown Message")
        return message

    def _allow(self, channel: Channel, body: dict[str, Any], uploads: list[Upload]) -> None:
        if channel.refuse:
            raise Refusal(channel.refuse[0], channel.refuse[1], "refused by the test")
        if channel.type == DM and channel.recipient_id in self.closed_users:
            raise Refusal(403, 50007, "Cannot send messages to this user")
        if body.get("message_reference") and not channel.reads:
            raise Refusal(403, 160002, "Cannot reply without permission to read message history")
        self._refer(channel, body.get("message_reference"))
        if channel.archived and channel.locked:
            raise Refusal(400, 50083, "Thread is archived")
        self._check_sizes(channel, uploads)
        channel.archived = False

    def _refer(self, channel: Channel, reference: dict[str, Any] | None) -> None:
        if not reference or not reference.get("fail_if_not_exists", True):
            return
        if int(reference["message_id"]) not in channel.messages:
            raise Refusal(400, 50035, "Invalid Form Body: Unknown message")

    def _check_sizes(self, channel: Channel, uploads: list[Upload]) -> None:
        if any(len(upload.data) > channel.limit_bytes for upload in uploads):
            raise Refusal(413, 40005, "Request entity too large")

    def _attach(
        self, channel_id: int, wanted: list[dict[str, Any]], uploads: list[Upload], old: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        kept = {item["id"]: item for item in old}
        return [
            kept.get(str(entry["id"])) or self._store(channel_id, uploads[int(entry["id"])], entry) for entry in wanted
        ]

    def _store(self, channel_id: int, upload: Upload, entry: dict[str, Any]) -> dict[str, Any]:
        key = self.new_id()
        self.files[key] = upload.data
        url = f"https://cdn.discordapp.com/attachments/{channel_id}/{key}/{upload.filename}"
        return {
            "id": str(key),
            "filename": upload.filename,
            "description": entry.get("description"),
            "size": len(upload.data),
            "url": url,
            "proxy_url": url,
            "sha256": hashlib.sha256(upload.data).hexdigest(),
        }


def user(user_id: int) -> dict[str, Any]:
    """A user as Discord shows one."""
    bot = user_id == BOT_ID
    return {
        "id": str(user_id),
        "username": "tilestep" if bot else f"member-{user_id}",
        "discriminator": "0",
        "global_name": None,
        "avatar": None,
        "bot": bot,
    }


def now() -> str:
    return datetime.now(UTC).isoformat()
