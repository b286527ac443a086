"""Addresses that are not Discord's and servers that misbehave: each ends in words, and no connection stays open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from plain_words import check_words

from tilestep.bot.errors import FetchError
from tilestep.bot.fetch import HttpFetcher

LIMIT_BYTES = 1000
SOON_S = 0.25
PATIENT_S = 60.0
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    """A server on loopback that reads a request and then writes what `answer` writes; gives its origin."""
    handlers: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await server.wait_closed()


async def refused(answer: Answer, timeout_s: float = PATIENT_S) -> str:
    """The words for a download from such a server."""
    async with serving(answer) as origin:
        words = await refused_address(f"{origin}/picture.png", {origin}, timeout_s)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return words


async def refused_address(url: str, origins: set[str] | None = None, timeout_s: float = PATIENT_S) -> str:
    fetcher = HttpFetcher(origins=origins, timeout_s=timeout_s) if origins else HttpFetcher(timeout_s=timeout_s)
    try:
        with pytest.raises(FetchError) as caught:
            await fetcher.fetch(url, LIMIT_BYTES)
    finally:
        await fetcher.close()
    check_words(str(caught.value))
    return str(caught.value)


def saying(*parts: bytes) -> Answer:
    """Writes the parts and closes the connection."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return answer


def then_silence(*parts: bytes) -> Answer:
    """Writes the parts and keeps the connection open."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        await saying(*parts)(writer)
        await asyncio.Event().wait()

    return answer


def head(status: str = "200 OK", **headers: object) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def without_end(writer: asyncio.StreamWriter) -> None:
    writer.write(head())
    while True:
        writer.write(bytes(1 << 16))
        await writer.drain()


def chunks(*sizes: int) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (size, b"a" * size) for size in sizes)


OVERSIZED = {
    **{f"{count} bytes, as announced": saying(head(Content_Length=count), bytes(count)) for count in (1001, 5000)},
    **{f"{count} bytes that never come": then_silence(head(Content_Length=count)) for count in (1001, 2**40, 2**62)},
    **{f"{count} bytes, not announced": saying(head(), bytes(count)) for count in (1001, 1 << 16, 1 << 20)},
    **{
        f"pieces of {size} bytes": saying(head(Transfer_Encoding="chunked"), chunks(*[size] * 1100), b"0\r\n\r\n")
        for size in (1, 7, 999, 1001)
    },
    "without end": without_end,
    "one piece without end": then_silence(head(Transfer_Encoding="chunked"), b"ffffffff\r\n", bytes(1 << 17)),
    "announced both ways": saying(head(Transfer_Encoding="chunked"), chunks(1000, 1000), b"0\r\n\r\n"),
    "with a name and a type": saying(
        head(Content_Length=4000, Content_Type="image/png", Content_Disposition="attachment"), bytes(4000)
    ),
    "after an early hint": saying(head("103 Early Hints"), head(Content_Length=4000), bytes(4000)),
}
SLOW = {
    "no word": then_silence(),
    "half a head": then_silence(b"HTTP/1.1 200 OK\r\nContent-"),
    "a head and nothing": then_silence(head(Content_Length=10)),
    "part of what was announced": then_silence(head(Content_Length=10), b"12345"),
    "part of what was not announced": then_silence(head(), b"12345"),
    "a piece and no end": then_silence(head(Transfer_Encoding="chunked"), chunks(5)),
}


@pytest.mark.parametrize("answer", OVERSIZED.values(), ids=OVERSIZED.keys())
async def test_no_more_is_read_than_the_limit(answer: Answer) -> None:
    assert "larger than" in await refused(answer)


@pytest.mark.parametrize("answer", SLOW.values(), ids=SLOW.keys())
async def test_a_server_that_takes_too_long_is_given_up(answer: Answer) -> None:
    assert "seconds" in await refused(answer, SOON_S)


BROKEN = {
    "nothing": saying(),
    "no http": saying(b"\x89PNG\r\n\x1a\n" * 20),
    "half a head": saying(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "a head with control characters": saying(b"HTTP/1.1 200 OK\r\nA\x00B: \x01\r\n\r\n"),
    "a long head": saying(b"HTTP/1.1 200 OK\r\n" + b"A: " + b"b" * 100_000 + b"\r\n\r\n"),
    "a length that is no number": saying(head(Content_Length="many"), b"123"),
    "a length below zero": saying(head(Content_Length=-5), b"123"),
    "less than announced": saying(head(Content_Length=500), b"123"),
    "less than announced by one": saying(head(Content_Length=4), b"123"),
    "a piece cut short": saying(head(Transfer_Encoding="chunked"), b"ff\r\nabc"),
    "a piece of no size": saying(head(Transfer_Encoding="chunked"), b"zz\r\nabc\r\n0\r\n\r\n"),
    "no last piece": saying(head(Transfer_Encoding="chunked"), chunks(5)),
    "an empty file": saying(head(Content_Length=0)),
    "an empty file of pieces": saying(head(Transfer_Encoding="chunked"), b"0\r\n\r\n"),
    "a compressed bomb": saying(head(Content_Encoding="gzip", Content_Length=20), bytes(20)),
    "an unknown compression": saying(head(Content_Encoding="zstd", Content_Length=20), bytes(20)),
    **{
        f"status {status}": saying(head(status, Content_Length=9), b"<html>...")
        for status in (
            "204 No Content",
            "206 Partial Content",
            "400 Bad Request",
            "401 Unauthorized",
            "403 Forbidden",
            "404 Not Found",
            "410 Gone",
            "415 Unsupported Media Type",
            "429 Too Many Requests",
            "500 Internal Server Error",
            "502 Bad Gateway",
            "503 Service Unavailable",
        )
    },
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
async def test_a_server_that_fails_or_lies_is_told_in_words(answer: Answer) -> None:
    await refused(answer)


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "410 Gone"])
async def test_an_expired_link_is_told_as_that(status: str) -> None:
    assert "expired" in await refused(saying(head(status, Content_Length=0)))


FOREIGN = [
    "http://cdn.discordapp.com/a.png",
    "https://cdn.discordapp.com:8443/a.png",
    "https://discord.com/a.png",
    "https://discordapp.com/a.png",
    "https://cdn.discordapp.com.evil.example/a.png",
    "https://evil.example/cdn.discordapp.com/a.png",
    "https://evil.example/?https://cdn.discordapp.com/a.png",
    "https://evil.example#https://cdn.discordapp.com",
    "https://cdn.discordapp.com@evil.example/a.png",
    "https://user:word@cdn.discordapp.com/a.png",
    "https://cdn.discordapp.com\\@evil.example/a.png",
    "https://xcdn.discordapp.com/a.png",
    "https://cdn.discordapp.com./a.png",
    "https://cdn-discordapp.com/a.png",
    "https://cdn.discordаpp.com/a.png",
    "https://127.0.0.1/a.png",
    "https://localhost/a.png",
    "https://[::1]/a.png",
    "https://169.254.169.254/latest/meta-data/",
    "https://0x7f000001/",
    "https://2130706433/",
    "ftp://cdn.discordapp.com/a.png",
    "file:///etc/passwd",
    "data:image/png;base64,AAAA",
    "javascript:alert(1)",
    "//cdn.discordapp.com/a.png",
    "/a.png",
    "cdn.discordapp.com/a.png",
    "https://",
    "https:///a.png",
    "https://cdn.discordapp.com:99999/a.png",
    "https://[cdn.discordapp.com/a.png",
    "",
    " ",
    "\0",
    "not an address",
]


@pytest.mark.parametrize("url", FOREIGN)
async def test_only_discords_own_servers_are_asked(url: str) -> None:
    assert "Discord's own servers" in await refused_address(url)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize("url", [*FOREIGN[4:9], *FOREIGN[15:19], "http://127.0.0.1:1/a.png"])
async def test_a_redirect_to_another_host_is_not_followed(url: str, status: str) -> None:
    assert "Discord's own servers" in await refused(saying(head(status, Location=url, Content_Length=0)))


async def test_a_redirect_without_an_address_ends_in_words() -> None:
    await refused(saying(head("302 Found", Content_Length=0)))


async def test_redirects_in_a_circle_end() -> None:
    assert "redirects" in await refused(saying(head("302 Found", Location="/again", Content_Length=0)))
