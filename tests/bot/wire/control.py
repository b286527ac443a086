"""The tests' side of the small server, under /control: set things up, set faults, look at what was posted."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from world import Channel


class Control:
    """Routes over one Server."""

    def __init__(self, server: Any) -> None:
        self.server = server

    @property
    def world(self) -> Any:
        return self.server.world

    async def channel(self, request: web.Request) -> web.Response:
        facts = await request.json()
        known = self.world.channels.get(facts["id"])
        channel = known or Channel(facts["id"])
        for name, value in facts.items():
            setattr(channel, name, value)
        self.world.channels[channel.id] = channel
        return web.json_response({})

    async def drop_channel(self, request: web.Request) -> web.Response:
        self.world.channels.pop(int(request.match_info["id"]), None)
        return web.json_response({})

    async def close_user(self, request: web.Request) -> web.Response:
        self.world.closed_users.add(int(request.match_info["id"]))
        return web.json_response({})

    async def token(self, request: web.Request) -> web.Response:
        facts = await request.json()
        self.world.tokens[facts["token"]] = facts["channel_id"]
        return web.json_response({})

    async def drop_token(self, request: web.Request) -> web.Response:
        self.world.tokens.pop(request.match_info["token"], None)
        return web.json_response({})

    async def post(self, request: web.Request) -> web.Response:
        facts = await request.json()
        channel = self.world.channel(facts["channel_id"])
        return web.json_response(self.world.make(channel, facts, [], author=facts["author_id"]))

    async def messages(self, request: web.Request) -> web.Response:
        everything = [m for c in self.world.channels.values() for m in c.messages.values()]
        everything += self.world.originals.values()
        return web.json_response(sorted(everything, key=lambda message: int(message["id"])))

    async def file(self, request: web.Request) -> web.Response:
        return web.Response(body=self.world.files[int(request.match_info["id"])])

    async def requests(self, request: web.Request) -> web.Response:
        return web.json_response(self.server.log)

    async def fault(self, request: web.Request) -> web.Response:
        return web.json_response({"id": self.server.faults.add(await request.json()).id})

    async def arrived(self, request: web.Request) -> web.Response:
        fault = self.server.faults.all[int(request.match_info["id"])]
        await asyncio.wait_for(fault.arrived.wait(), float(request.query.get("within_s", 60)))
        return web.json_response({"hits": fault.hits})

    async def release(self, request: web.Request) -> web.Response:
        fault = self.server.faults.all[int(request.match_info["id"])]
        fault.drop = (await request.json()).get("drop", False)
        fault.released.set()
        return web.json_response({"hits": fault.hits})

    async def reset(self, request: web.Request) -> web.Response:
        self.server.forget()
        return web.json_response({})

    async def forget_nonces(self, request: web.Request) -> web.Response:
        self.world.nonces.clear()
        return web.json_response({})


def add_routes(app: web.Application, server: Any) -> None:
    """`server` has `world`, `faults` and `log`."""
    control = Control(server)
    app.add_routes(
        [
            web.put("/control/channels", control.channel),
            web.delete("/control/channels/{id}", control.drop_channel),
            web.put("/control/closed/{id}", control.close_user),
            web.put("/control/tokens", control.token),
            web.delete("/control/tokens/{token}", control.drop_token),
            web.post("/control/messages", control.post),
            web.get("/control/messages", control.messages),
            web.get("/control/files/{id}", control.file),
            web.get("/control/requests", control.requests),
            web.post("/control/faults", control.fault),
            web.get("/control/faults/{id}/arrived", control.arrived),
            web.post("/control/faults/{id}/release", control.release),
            web.delete("/control/nonces", control.forget_nonces),
            web.delete("/control/world", control.reset),
        ]
    )
