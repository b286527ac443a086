"""Pictures from Discord's own file servers: nowhere else, and never more bytes than asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Protocol

import aiohttp
from yarl import URL

from tilestep.bot.errors import FetchError

DISCORD = frozenset({"https://cdn.discordapp.com", "https://media.discordapp.net"})
TIMEOUT_S = 30.0
AT_ONCE = 8
CHUNK_BYTES = 1 << 16
MAX_REDIRECTS = 3
MIB = 1 << 20

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FOREIGN = "Only pictures on Discord's own servers are fetched: upload the picture to Discord and use that."
_EXPIRED = "The picture is no longer there, or its link has expired: send it again, or pick the message it is in."
_BROKE_OFF = "The connection to Discord's file server broke off: try again."
_SLOW = "Discord's file server did not send the picture within {:g} seconds: try again."
_BUSY = "Discord's file server answers {}: try again in a minute."


class Fetcher(Protocol):
    """Where the bytes of attachments come from."""

    async def fetch(self, url: str, limit_bytes: int) -> bytes:
        """The file's bytes, at most `limit_bytes`. Raises FetchError in words."""
        ...


class HttpFetcher:
    """Fetches with aiohttp; at most `AT_ONCE` files at a time, so that memory stays bounded.

    `origins`: scheme, host and port of the servers that may be asked, redirects included. A `session` that is handed in
    stays the caller's.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession | None = None,
        origins: Collection[str] = DISCORD,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._session, self._own = session, session is None
        self._origins, self._timeout_s = frozenset(origins), timeout_s
        self._places = asyncio.Semaphore(AT_ONCE)

    async def fetch(self, url: str, limit_bytes: int) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_s), self._places:
                return await self._follow(url, limit_bytes)
        except TimeoutError as error:
            raise FetchError(_SLOW.format(self._timeout_s)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise FetchError(_BROKE_OFF) from error

    async def close(self) -> None:
        """Ends the connections, where they are our own."""
        if self._own and self._session is not None:
            await self._session.close()
            self._session = None

    async def _follow(self, url: str, limit_bytes: int) -> bytes:
        address = self._checked(url)
        for _ in range(1 + MAX_REDIRECTS):
            answer = await self._ask(address, limit_bytes)
            if isinstance(answer, bytes):
                return answer
            address = self._checked(answer, address)
        raise FetchError(_BUSY.format("with nothing but redirects"))

    async def _ask(self, address: URL, limit_bytes: int) -> bytes | str:
        """The bytes, or where else they are."""
        async with self._client().get(
            address, allow_redirects=False, auto_decompress=False, headers={"Accept-Encoding": "identity"}
        ) as response:
            if response.status in _REDIRECTS:
                return response.headers.get("Location", "")
            _check(response, limit_bytes)
            return await _read(response, limit_bytes)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    def _checked(self, url: str, base: URL | None = None) -> URL:
        """The address, if it is one of those that may be asked."""
        try:
            address = URL(url) if base is None else base.join(URL(url))
            allowed = address.user is None and str(address.origin()) in self._origins
        except (ValueError, TypeError):
            allowed = False
        if not allowed:
            raise FetchError(_FOREIGN)
        return address


def _check(response: aiohttp.ClientResponse, limit_bytes: int) -> None:
    """Raises FetchError for what the headers already rule out."""
    if response.status in (401, 403, 404, 410):
        raise FetchError(_EXPIRED)
    if response.status != 200:
        raise FetchError(_BUSY.format(response.status))
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FetchError(_BUSY.format("with a compressed file that was not asked for"))
    if (response.content_length or 0) > limit_bytes:
        raise _too_large(limit_bytes)


async def _read(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        if len(data) + len(chunk) > limit_bytes:
            response.close()
            raise _too_large(limit_bytes)
        data += chunk
    if not data:
        raise FetchError("The file is empty: send the picture again.")
    return bytes(data)


def _too_large(limit_bytes: int) -> FetchError:
    return FetchError(f"The file is larger than the {limit_bytes / MIB:.4g} MiB that are taken: send a smaller one.")
