"""A bot in a process that can be killed: python child.py (PYTHONPATH=tests/bot), one order in JSON a line on its input.

Everything is imported once; each order is done by a fork of this process, whose end is told before the next is read. An
order: `folder` and `base` (the server that stands in for Discord), `jobs` to be accepted first, `hold`: the stage at
which the whole process stands still to be killed, `lose_source`: the jobs can not be done. What is told, a line each:
"started PID", "at STAGE", "accepted ID", "ended STATUS".
"""

import asyncio
import json
import os
import sys
import threading
from pathlib import Path

import discord
import torch
from small_bot import HERE, SmallBot, wish

from tilestep.bot.delivery import Delivery
from tilestep.bot.jobs import JobStore
from tilestep.bot.posting import Retry

CHANNEL = HERE.channel_id


def say(text):
    os.write(1, f"{text}\n".encode())


class StagedJobs(JobStore):
    """Stands still for ever at one stage, and the whole process with it: before or after a change of state."""

    hold = None

    def reach(self, stage):
        if stage == self.hold:
            say(f"at {stage}")
            threading.Event().wait()

    async def add(self, job, source=None, nothing_over=None):
        await super().add(job, source, nothing_over)
        self.reach("accepted")

    async def move(self, job_id, to, *, expect, **fields):
        self.reach(f"before {to}")
        moved = await super().move(job_id, to, expect=expect, **fields)
        self.reach("words" if fields.get("error") else to)
        return moved

    async def update(self, job_id, **fields):
        await super().update(job_id, **fields)
        for name in fields:
            self.reach(name)

    async def charge(self, job_id, gpu_ms):
        await super().charge(job_id, gpu_ms)
        self.reach("charged")


class ChildBot(SmallBot):
    store = StagedJobs

    def __init__(self, order):
        super().__init__(Path(order["folder"]))
        self.order = order

    async def __aenter__(self):
        discord.http.Route.BASE = self.order["base"]
        self.client = discord.Client(intents=discord.Intents.none())
        await self.client.login("any")
        self.letters = Delivery(self.client, retry=Retry(tries=6, first_s=0.05))
        StagedJobs.hold = self.order.get("hold")
        return await super().__aenter__()

    async def __aexit__(self, *error):
        await self.service.stop()
        await self._stack.aclose()
        await self.client.close()


async def work(order):
    """Accepts, goes on with what is open, and ends when nothing is."""
    async with ChildBot(order) as bot:
        bot.gpu.pause()
        for member in range(order.get("jobs", 0)):
            job = await bot.service.upscale(wish(member=100 + member))
            say(f"accepted {job.id}")
            if order.get("lose_source"):
                await bot.jobs.drop_source(job.id)
        bot.gpu.resume()
        await bot.service.start()
        for job in await bot.jobs.open_jobs():
            await bot.service.wait(job.id)


def main():
    torch.set_num_threads(1)
    say("ready")
    for line in sys.stdin:
        child = os.fork()
        if not child:
            status = 1
            try:
                asyncio.run(work(json.loads(line)))
                status = 0
            finally:
                sys.stderr.flush()
                os._exit(status)
        say(f"started {child}")
        say(f"ended {os.waitpid(child, 0)[1]}")


if __name__ == "__main__":
    main()
