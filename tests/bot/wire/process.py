"""Starts the small server in a process of its own, and speaks to it.

    async with Wire.start() as wire:
        await wire.channel(1001)                     # a text channel of guild 77
        source = await wire.member_posts(1001, 42)   # somebody's message; gives its id
        hold = await wire.fault(do="hold", when="after", method="POST", path="/channels/*/messages")
        ...                                          # start what posts
        await wire.arrived(hold)                     # it is posted, and the answer is held back
        ...                                          # kill -9 it
        await wire.release(hold, drop=True)          # the connection ends without an answer
        [message] = await wire.messages(1001)

Faults: `when` "early" (the body not yet read; `read_bytes` of it are, before a cut), "before" (read, nothing done),
"after" (done, not answered); `do` "status" (`status`, `code`, `retry_after` of a 429), "cut", "hold"; `skip` requests
pass first, then `times` are met. Another process is pointed here by `discord.http.Route.BASE = wire.base`; any token
logs in. Messages have Discord's own fields, plus "nonce", "allowed_mentions" and each attachment's "sha256". A hold
"before" that is dropped stores nothing. `forget_nonces` is what a few minutes do.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

SERVER = Path(__file__).parent / "server.py"
MESSAGES = "/channels/*/messages"


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """The server in a process of its own; gives its port."""
    with subprocess.Popen([sys.executable, str(SERVER), "--port", "0"], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.kill()


@dataclass(frozen=True)
class Wire:
    """The running server. `base`: what discord.py takes for Discord."""

    port: int
    session: aiohttp.ClientSession

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v10"

    @classmethod
    @contextlib.asynccontextmanager
    async def start(cls) -> AsyncIterator[Wire]:
        """Serves until the block ends."""
        with serving() as port:
            async with cls.at(port) as wire:
                yield wire

    @classmethod
    @contextlib.asynccontextmanager
    async def at(cls, port: int) -> AsyncIterator[Wire]:
        """Speaks to a server that runs already."""
        async with aiohttp.ClientSession() as session:
            yield cls(port, session)

    async def reset(self) -> None:
        """Forgets everything: channels, messages, faults."""
        await self._ask("DELETE", "world")

    async def channel(self, channel_id: int, **facts: Any) -> None:
        """Makes a channel, or changes its facts: fields of world.Channel."""
        await self._ask("PUT", "channels", {"id": channel_id, **facts})

    async def delete_channel(self, channel_id: int) -> None:
        await self._ask("DELETE", f"channels/{channel_id}")

    async def close_dms(self, user_id: int) -> None:
        """The user takes no direct messages."""
        await self._ask("PUT", f"closed/{user_id}")

    async def token(self, token: str, channel_id: int) -> None:
        """An interaction that can be answered."""
        await self._ask("PUT", "tokens", {"token": token, "channel_id": channel_id})

    async def expire(self, token: str) -> None:
        await self._ask("DELETE", f"tokens/{token}")

    async def member_posts(self, channel_id: int, author_id: int, content: str = "look") -> int:
        facts = {"channel_id": channel_id, "author_id": author_id, "content": content}
        return int((await self._ask("POST", "messages", facts))["id"])

    async def messages(self, channel_id: int | None = None, author: str = "tilestep") -> list[dict[str, Any]]:
        """What the bot posted and is still there, oldest first; of all channels where none is named."""
        found: list[dict[str, Any]] = await self._ask("GET", "messages")
        return [
            message
            for message in found
            if message["author"]["username"] == author and channel_id in (None, int(message["channel_id"]))
        ]

    async def file(self, attachment: dict[str, Any]) -> bytes:
        """The bytes that were uploaded."""
        async with self.session.get(f"http://127.0.0.1:{self.port}/control/files/{attachment['id']}") as answer:
            return await answer.read()

    async def requests(self, method: str = "", path: str = "") -> list[tuple[str, str, int]]:
        """Method, path and status of what was asked, in order; status 0 for a cut connection."""
        log = [tuple(line) for line in await self._ask("GET", "requests")]
        return [line for line in log if line[0].startswith(method) and path in line[1]]

    async def fault(self, **facts: Any) -> int:
        """Sets a fault, see above; gives its number."""
        return int((await self._ask("POST", "faults", {"path": MESSAGES, "method": "POST", **facts}))["id"])

    async def arrived(self, fault: int, within_s: float = 60.0) -> int:
        """Waits until a request has met the fault; gives how many did."""
        return int((await self._ask("GET", f"faults/{fault}/arrived?within_s={within_s}"))["hits"])

    async def release(self, fault: int, drop: bool = False) -> None:
        """Lets what is held go on, or cuts its connection."""
        await self._ask("POST", f"faults/{fault}/release", {"drop": drop})

    async def forget_nonces(self) -> None:
        await self._ask("DELETE", "nonces")

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        url = f"http://127.0.0.1:{self.port}/control/{path}"
        async with self.session.request(method, url, json=body) as answer:
            answer.raise_for_status()
            return await answer.json()
