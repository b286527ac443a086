"""The demo's page in the browser: SimCord's preview, kept fresh by itself and patient with whoever clicks.

A preview shows the state after the last action, and refuses an action that was prepared on an older state or that meets
another one. People don't see states: here actions take turns, each is judged by the state it meets (by a bot that was
restarted too), and what the bot does by itself appears within half a second. A preview has no Apps menu either: a reply
`Apps > NAME` opens it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import simcord
from simcord.backend.access import can_access_message

LOOK_S = 0.5
APPS = re.compile(r"apps\s*>\s*(\S.*)", re.IGNORECASE)


@contextlib.asynccontextmanager
async def live_page(env: simcord.Env, preview: Any, turns: asyncio.Lock) -> AsyncIterator[Any]:
    """Serves `preview` (of `env.preview(...)`) while the block runs; time passes in that Discord as it does here.

    Whoever else works on `env` meanwhile holds `turns`.
    """
    async with preview as page:
        _take_turns(page, turns)
        watching = asyncio.create_task(_keep_fresh(env, page, turns))
        try:
            yield page
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching


def _take_turns(page: Any, turns: asyncio.Lock) -> None:
    """What is clicked is checked again by the preview; only the numbers of the state it was clicked on are not."""
    act = page._action

    async def in_turn(context_id: str | None, body: Any) -> Any:
        if not isinstance(body, Mapping):
            return await act(context_id, body)
        async with turns:
            now = {"published_revision": page._get_page(context_id).revision, "bot_generation": page.env._generation}
            body = {**body, **{name: now[name] for name in now if name in body}}
            done = await act(context_id, body)
            if body.get("kind") == "send_message" and not done["rejected"]:
                await _open_menu(page, page._get_page(context_id).viewer, body)
            return done

    page._action = in_turn


async def _open_menu(page: Any, viewer: Any, sent: Mapping[str, Any]) -> None:
    menu = APPS.fullmatch(str(sent.get("content", "")).strip())
    target = next((m for m in page.channel.history() if str(m.id) == str(sent.get("reply_to_id"))), None)
    if menu and target is not None:
        with contextlib.suppress(simcord.SetupError):  # no such entry
            await viewer.context_menu(page.channel, menu[1].capitalize(), target)


async def _keep_fresh(env: simcord.Env, page: Any, turns: asyncio.Lock) -> None:
    """A refresh disturbs whoever reads or types, so there is one only after something happened."""
    clock, shown = asyncio.get_running_loop().time, 0
    then = clock()
    while True:
        await asyncio.sleep(LOOK_S)
        async with turns:
            with contextlib.suppress(simcord.SetupError, TimeoutError):
                now = clock()
                await env.advance_time(now - then)
                then = now
                happened = len(env.backend.transcript)
                if happened != shown:
                    _turn_to_the_newest(env, page)
                    await page.refresh()
                    shown = happened


def _turn_to_the_newest(env: simcord.Env, page: Any) -> None:
    """A page scrolls to its target when that changes: as it should when an answer has come."""
    sent = env.backend.messages.get(page.channel.id, {}).values()
    for opened in page._pages.values():
        seen = [m.id for m in sent if can_access_message(env, page.channel.id, m, opened.viewer, history=True)]
        opened.target_id = max(seen, default=None)
