"""What the small server does wrong, as told by a test."""

from __future__ import annotations

import asyncio
import fnmatch
from dataclasses import dataclass, field
from typing import Literal

When = Literal["early", "before", "after"]
Do = Literal["status", "cut", "hold"]


class Dropped(Exception):  # noqa: N818
    """The connection is to be cut without an answer."""


@dataclass
class Fault:
    """Meets requests of `method` whose path matches the pattern `path`; the first `skip` pass, then `times` are met.

    `when`: "early" before the body is read (after `read_bytes` of it), "before" what was asked is done, "after" it
    was done. `do`: "status" answers so, "cut" cuts the connection, "hold" waits until it is released.
    """

    id: int
    method: str = "*"
    path: str = "*"
    when: When = "before"
    do: Do = "status"
    status: int = 503
    code: int = 0
    retry_after: float = 0.0
    read_bytes: int = 0
    skip: int = 0
    times: int = 1
    hits: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    drop: bool = False

    def meets(self, method: str, path: str) -> bool:
        return self.method in ("*", method) and fnmatch.fnmatch(path, self.path)

    async def hold(self) -> None:
        self.arrived.set()
        await self.released.wait()
        if self.drop:
            raise Dropped


class Faults:
    """The faults that are set, in order; one request meets at most one."""

    def __init__(self) -> None:
        self.all: dict[int, Fault] = {}

    def add(self, facts: dict[str, object]) -> Fault:
        fault = Fault(len(self.all) + 1, **facts)  # type: ignore[arg-type]
        self.all[fault.id] = fault
        return fault

    def take(self, method: str, path: str) -> Fault | None:
        for fault in self.all.values():
            if fault.times <= 0 or not fault.meets(method, path):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.times -= 1
            fault.hits += 1
            return fault
        return None
