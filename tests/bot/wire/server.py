"""A small HTTP server in place of Discord: the REST routes that delivery needs, with faults at will.

    python tests/bot/wire/server.py --port 0        # prints its port, then serves until it is ended

`process.py` starts it and speaks to it; its docstring lists what can be asked. /api/v10 is Discord's, /control the
tests'. Whatever delivery has no need of answers 404, loudly.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import control
from aiohttp import web
from faults import Dropped, Fault, Faults
from world import BOT_ID, Refusal, Upload, World, user

API = "/api/v10"
NO_CONTENT = object()


@dataclass
class Ask:
    """One request: the numbers and names in its path, its query, its JSON and its files."""

    args: list[str]
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    uploads: list[Upload] = field(default_factory=list)

    def number(self, index: int) -> int:
        return int(self.args[index])


Handler = Callable[[World, Ask], Any]


def application() -> dict[str, Any]:
    facts = {"id": str(BOT_ID), "name": "tilestep", "description": "", "icon": None, "bot_public": True}
    return facts | {"bot_require_code_grant": False, "owner": user(1), "team": None, "verify_key": "0", "flags": 0}


def delete_message(world: World, ask: Ask) -> object:
    world.message(ask.number(0), ask.number(1))
    del world.channel(ask.number(0)).messages[ask.number(1)]
    return NO_CONTENT


MESSAGES, MESSAGE = r"/channels/(\d+)/messages", r"/channels/(\d+)/messages/(\d+)"
ORIGINAL = r"/webhooks/\d+/([^/]+)/messages/@original"
ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", r"/users/@me", lambda world, ask: user(BOT_ID)),
    ("GET", r"/oauth2/applications/@me", lambda world, ask: application()),
    ("POST", r"/users/@me/channels", lambda world, ask: world.dm(int(ask.body["recipient_id"])).payload()),
    ("GET", r"/channels/(\d+)", lambda world, ask: world.channel(ask.number(0)).payload()),
    ("PATCH", r"/channels/(\d+)", lambda world, ask: world.change_channel(ask.number(0), ask.body)),
    ("GET", MESSAGES, lambda world, ask: world.history(ask.number(0), ask.query)),
    ("POST", MESSAGES, lambda world, ask: world.post(ask.number(0), ask.body, ask.uploads)),
    ("GET", MESSAGE, lambda world, ask: world.message(ask.number(0), ask.number(1))),
    (
        "PATCH",
        MESSAGE,
        lambda world, ask: world.edit(world.message(ask.number(0), ask.number(1)), ask.body, ask.uploads),
    ),
    ("DELETE", MESSAGE, delete_message),
    ("GET", ORIGINAL, lambda world, ask: world.original(ask.args[0])),
    ("PATCH", ORIGINAL, lambda world, ask: world.edit(world.original(ask.args[0]), ask.body, ask.uploads)),
]


class Server:
    """Answers for one world."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.world = World()
        self.faults = Faults()
        self.log: list[list[Any]] = []

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        control.add_routes(app, self)
        app.router.add_route("*", API + "/{path:.*}", self.serve)
        return app

    async def serve(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix(API)
        fault = self.faults.take(request.method, path)
        try:
            answer = await self._answer(request, path, fault)
        except Refusal as refusal:
            answer = as_json({"code": refusal.code, "message": str(refusal)}, refusal.status)
        except Dropped:
            self.log.append([request.method, path, 0])
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=499)
        self.log.append([request.method, path, answer.status])
        return answer

    async def _answer(self, request: web.Request, path: str, fault: Fault | None) -> web.Response:
        if early := await self._act(fault, "early", request):
            return early
        handler, ask = self._route(request.method, path)
        ask.query = dict(request.query)
        ask.body, ask.uploads = await read(request)
        if before := await self._act(fault, "before", request):
            return before
        made = handler(self.world, ask)
        if after := await self._act(fault, "after", request):
            return after
        return web.Response(status=204) if made is NO_CONTENT else as_json(made)

    def _route(self, method: str, path: str) -> tuple[Handler, Ask]:
        for verb, pattern, handler in ROUTES:
            if verb == method and (match := re.fullmatch(pattern, path)):
                return handler, Ask(list(match.groups()))
        raise Refusal(404, 0, f"the small server has no {method} {path}")

    async def _act(self, fault: Fault | None, when: str, request: web.Request) -> web.Response | None:
        if fault is None or fault.when != when:
            return None
        if fault.do == "hold":
            await fault.hold()
            return None
        fault.arrived.set()
        if fault.do == "cut":
            if fault.read_bytes and when == "early":
                await request.content.readexactly(fault.read_bytes)
            raise Dropped
        return refused(fault)


def as_json(made: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """discord.py takes for JSON only what says so in these very words, without a charset."""
    kind = {"Content-Type": "application/json"}
    return web.Response(body=json.dumps(made).encode(), status=status, headers=kind | (headers or {}))


def refused(fault: Fault) -> web.Response:
    """The answer of a fault; a 429 as Discord words it."""
    if fault.status != 429:
        return as_json({"code": fault.code, "message": "as the test wants it"}, fault.status)
    body = {"message": "You are being rate limited.", "retry_after": fault.retry_after, "global": False}
    return as_json(body, 429, {"Via": "1.1 small", "Retry-After": str(fault.retry_after)})


async def read(request: web.Request) -> tuple[dict[str, Any], list[Upload]]:
    """The JSON and the files of a request, whichever way it was sent."""
    if not request.content_type.startswith("multipart/"):
        text = await request.text()
        return (json.loads(text) if text else {}), []
    body: dict[str, Any] = {}
    uploads: dict[int, Upload] = {}
    async for part in await request.multipart():
        if part.name == "payload_json":
            body = json.loads(await part.text())
        elif part.name:
            index = int(part.name.removeprefix("files[").removesuffix("]"))
            uploads[index] = Upload(part.filename or "", bytes(await part.read(decode=False)))
    return body, [uploads[index] for index in sorted(uploads)]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    runner = web.AppRunner(Server().app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", parser.parse_args().port).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
