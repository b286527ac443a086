"""kill -9 at any point, then a start: every job is finished or its member told, none twice, none lost.

A real process with the real delivery is killed; the server in Discord's place, a process of its own, keeps what it got.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from wire.process import Wire, serving

from tilestep.bot.database import Database
from tilestep.bot.jobs import JobStore

CHILD = Path(__file__).parent / "service" / "child.py"
CHANNEL = 700
KILLED = signal.SIGKILL
KILLS = int(os.environ.get("TILESTEP_KILLS", "300"))


@dataclass
class Bots:
    """Starts one bot after another."""

    process: subprocess.Popen
    accepted: set[str] = field(default_factory=set)

    async def start(self, **order):
        if order.get("jobs"):
            self.accepted.clear()
        print(json.dumps(order), file=self.process.stdin, flush=True)
        return int((await self.until("started")).split()[1])

    async def until(self, word):
        """The next line that begins so."""
        while True:
            line = (await asyncio.to_thread(self.process.stdout.readline)).strip()
            assert line, "the process of the bots has ended"
            assert not line.startswith("ended") or word == "ended", line
            if line.startswith("accepted"):
                self.accepted.add(line.split()[1])
            if line.startswith(word):
                return line

    async def ended(self):
        """The status with which the bot ended."""
        return int((await self.until("ended")).split()[1])

    async def kill(self, child):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, KILLED)
        return await self.ended()


@pytest.fixture(scope="module")
def bots():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = {**os.environ, "PYTHONPATH": str(CHILD.parents[1])}
    with subprocess.Popen([sys.executable, str(CHILD)], **pipes, env=environment) as process:
        assert process.stdout.readline() == "ready\n"
        yield Bots(process)


@pytest.fixture(scope="module")
def port():
    with serving() as port:
        yield port


@pytest.fixture
async def wire(port):
    async with Wire.at(port) as wire:
        await wire.reset()
        await wire.channel(CHANNEL)
        yield wire


async def rows(folder):
    async with Database(f"sqlite+aiosqlite:///{folder / 'tilestep.db'}") as database:
        await database.migrate()
        jobs = JobStore(database)
        found = []
        for member in range(100, 104):
            found += await jobs.history(member, 77, 1000)
        return found


async def check(bots, wire, folder):
    """Every row is over; the channel has one message for each job, and nothing else of ours."""
    jobs = await rows(folder)
    assert bots.accepted <= {job.id for job in jobs}
    messages = await wire.messages(CHANNEL)
    assert len(messages) == len(jobs) > 0
    for job in jobs:
        mine = [message for message in messages if job.id in json.dumps(message)]
        results = [message for message in mine if message["attachments"]]
        assert len(mine) == 1, [message["content"] for message in mine]
        assert (len(results), job.state) in ((1, "delivered"), (0, "failed"), (0, "cancelled"))


async def killed_at(bots, wire, folder, hold, **order):
    child = await bots.start(folder=str(folder), base=wire.base, hold=hold, **order)
    await bots.until(f"at {hold}")
    assert await bots.kill(child) == KILLED
    await bots.start(folder=str(folder), base=wire.base)
    assert await bots.ended() == 0


STAGES = ["accepted", "queued", "running", "rendered", "before delivered"]
FURTHER = ["before queued", "before running", "charged", "progress_message_id", "before rendered", "posting"]
FURTHER += ["delivered"]


@pytest.mark.parametrize("stage", [*STAGES, *(pytest.param(stage, marks=pytest.mark.slow) for stage in FURTHER)])
async def test_a_bot_that_is_killed_at_any_stage_loses_no_job_and_posts_none_twice(bots, wire, tmp_path, stage):
    await killed_at(bots, wire, tmp_path, stage, jobs=2)
    await check(bots, wire, tmp_path)


@pytest.mark.parametrize("stage", ["words", "before failed"])
async def test_a_bot_that_is_killed_while_it_tells_somebody_tells_them_once(bots, wire, tmp_path, stage):
    await killed_at(bots, wire, tmp_path, stage, jobs=1, lose_source=True)
    await check(bots, wire, tmp_path)


@pytest.mark.parametrize("when", ["early", "before", "after"])
async def test_a_bot_that_is_killed_in_the_middle_of_a_send_sends_once(bots, wire, tmp_path, when):
    hold = await wire.fault(do="hold", when=when, skip=1)
    child = await bots.start(folder=str(tmp_path), base=wire.base, jobs=1)
    await wire.arrived(hold)
    assert await bots.kill(child) == KILLED
    await wire.release(hold, drop=True)
    await bots.start(folder=str(tmp_path), base=wire.base)
    assert await bots.ended() == 0
    await check(bots, wire, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(7200)
async def test_hundreds_of_kills_at_random_lose_nothing_and_double_nothing(bots, wire, tmp_path):
    chance, kills, number = random.Random(7), 0, 0
    while kills < KILLS:
        number += 1
        folder = tmp_path / str(number)
        await wire.reset()
        await wire.channel(CHANNEL)
        child = await bots.start(folder=str(folder), base=wire.base, jobs=3)
        for _ in range(3):
            await bots.until("accepted")
        status = KILLED
        while status == KILLED and chance.random() < 0.9:
            await asyncio.sleep(chance.uniform(0, 2))
            status = await bots.kill(child)
            kills += status == KILLED
            child = await bots.start(folder=str(folder), base=wire.base)
        assert await bots.ended() == 0
        await check(bots, wire, folder)
