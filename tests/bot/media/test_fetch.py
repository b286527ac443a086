"""Fetching from a server that behaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from tilestep.bot.errors import FetchError
from tilestep.bot.fetch import AT_ONCE, HttpFetcher

BODY = bytes(range(256)) * 400


class Files:
    """A file server that counts how many it sends at once."""

    def __init__(self) -> None:
        self.sending = self.most = 0
        self.headers: dict[str, str] = {}
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def file(self, request: web.Request) -> web.Response:
        self.headers = dict(request.headers)
        self.sending += 1
        self.most = max(self.most, self.sending)
        await self.go_on.wait()
        self.sending -= 1
        return web.Response(body=BODY)

    async def moved(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("/file.png?ex=1&is=2&hm=3")


@pytest.fixture
async def files() -> Files:
    return Files()


@pytest.fixture
async def origin(files: Files) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes([web.get("/file.png", files.file), web.get("/moved.png", files.moved)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def fetcher(origin: str) -> AsyncIterator[HttpFetcher]:
    fetcher = HttpFetcher(origins={origin})
    yield fetcher
    await fetcher.close()


async def test_a_file_comes_whole_up_to_the_very_limit(fetcher: HttpFetcher, origin: str) -> None:
    assert await fetcher.fetch(f"{origin}/file.png", len(BODY)) == BODY
    with pytest.raises(FetchError):
        await fetcher.fetch(f"{origin}/file.png", len(BODY) - 1)


async def test_a_redirect_within_the_server_is_followed(fetcher: HttpFetcher, origin: str) -> None:
    assert await fetcher.fetch(f"{origin}/moved.png", len(BODY)) == BODY


async def test_nothing_compressed_is_asked_for(fetcher: HttpFetcher, origin: str, files: Files) -> None:
    await fetcher.fetch(f"{origin}/file.png", len(BODY))
    assert files.headers["Accept-Encoding"] == "identity"
    assert "Cookie" not in files.headers


async def test_so_many_files_at_once_and_no_more(fetcher: HttpFetcher, origin: str, files: Files) -> None:
    await asyncio.gather(*(fetcher.fetch(f"{origin}/file.png", len(BODY)) for _ in range(3 * AT_ONCE)))
    assert files.most <= AT_ONCE


async def test_a_fetch_can_be_cancelled(fetcher: HttpFetcher, origin: str, files: Files) -> None:
    files.go_on.clear()
    task = asyncio.create_task(fetcher.fetch(f"{origin}/file.png", len(BODY)))
    while not files.sending:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    files.go_on.set()
    assert await fetcher.fetch(f"{origin}/file.png", len(BODY)) == BODY


async def test_a_session_that_is_handed_in_stays_open(origin: str) -> None:
    async with aiohttp.ClientSession() as session:
        fetcher = HttpFetcher(session, {origin})
        assert await fetcher.fetch(f"{origin}/file.png", len(BODY)) == BODY
        await fetcher.close()
        assert not session.closed


async def test_nobody_there_is_told_in_words() -> None:
    fetcher = HttpFetcher(origins={"http://127.0.0.1:9"})
    with pytest.raises(FetchError, match="broke off"):
        await fetcher.fetch("http://127.0.0.1:9/a.png", 100)
    await fetcher.close()
