"""/healthz for whoever watches the process, /metrics for Prometheus. Read only; on loopback unless told otherwise."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tilestep.bot.errors import SettingsError
from tilestep.bot.metrics import collect
from tilestep.bot.runtime import Runtime

RUNTIME = web.AppKey("runtime", Runtime)


async def healthz(request: web.Request) -> web.Response:
    """200 when jobs are taken and done, else 503; the reasons in words."""
    health = await request.app[RUNTIME].service.health()
    body = {"ready": health.ready, "problems": list(health.problems)}
    return web.json_response(body, status=200 if health.ready else 503)


async def metrics(request: web.Request) -> web.Response:
    """Prometheus's text format."""
    body = generate_latest(await collect(request.app[RUNTIME]))
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


@contextlib.asynccontextmanager
async def serve_http(runtime: Runtime, host: str, port: int) -> AsyncIterator[int]:
    """Serves while the block runs; gives the port (0 picks a free one). Raises SettingsError if it cannot be had."""
    app = web.Application()
    app[RUNTIME] = runtime
    app.add_routes([web.get("/healthz", healthz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise SettingsError(
                f"TILESTEP_HTTP_PORT: {host}:{port} cannot be used ({error.strerror}): choose another port."
            ) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
