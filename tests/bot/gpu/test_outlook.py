"""How jobs stand, asked often: times left are found seldom, places always."""

import asyncio
from dataclasses import dataclass, field

from virtual_gpu import ONE

from tilestep.bot.gpu.clock import ManualClock
from tilestep.bot.gpu.fairness import FairPolicy
from tilestep.bot.gpu.gate import Progress
from tilestep.bot.gpu.jobs import Job
from tilestep.bot.gpu.lease import Lease
from tilestep.bot.gpu.memory import MemoryNeed
from tilestep.bot.gpu.options import GpuSettings
from tilestep.bot.gpu.outlook import Outlook
from tilestep.bot.gpu.seats import Account
from tilestep.bot.gpu.task import Claim
from tilestep.bot.gpu.waiting import WaitingRoom


@dataclass(frozen=True)
class Watched(GpuSettings):
    """Each forecast asks once for each kind of work that there is."""

    asked: list[str] = field(default_factory=list)

    def at_once_of(self, kind):
        self.asked.append(kind)
        return 1


class Scene:
    """One job that is half done, after 50 ms, and as many that wait as were asked for."""

    def __init__(self):
        self.now_s = 100.0
        self.settings, policy, self.room = Watched(), FairPolicy(), WaitingRoom()
        self.outlook = Outlook(self.settings, Lease(policy, ManualClock()), self.room, policy, lambda: self.now_s)
        self.jobs = {}
        running = self.enter("known")
        self.room.start(running.claim.job)
        running.state, running.progress = "running", Progress(5, 10, "denoise")
        running.account = Account(running.claim, gpu_us=50_000)

    def enter(self, name):
        claim = Claim(len(self.jobs) + 1, ONE)
        self.room.enter(claim, 0)
        job = Job(claim, name, MemoryNeed(), None, None, 1.0, self.now_s, asyncio.get_running_loop().create_future())
        self.jobs[claim.job] = job
        return job

    def look(self):
        return list(self.outlook.statuses(self.jobs.values(), self.jobs))


async def test_a_forecast_is_made_at_most_every_quarter_of_a_second_whatever_comes_meanwhile():
    scene = Scene()
    for _ in range(8):
        scene.enter("never seen before")
        scene.look()
        scene.now_s += 0.03
    assert len(scene.settings.asked) == 1
    scene.now_s += 0.25
    scene.look()
    assert len(scene.settings.asked) == 2


async def test_places_are_those_of_this_moment_and_times_left_of_the_last_forecast():
    scene = Scene()
    assert [(job.ahead, job.left_ms) for job in scene.look()] == [(0, 50)]
    scene.jobs[1].progress = Progress(9, 10, "denoise")
    for _ in range(2):
        scene.enter("never seen before")
    assert [(job.ahead, job.left_ms) for job in scene.look()] == [(0, 50), (0, None), (1, None)]


async def test_nothing_is_forecast_where_nothing_is_known():
    scene = Scene()
    del scene.jobs[1]
    scene.room.finish(1)
    scene.enter("never seen before")
    assert [job.left_ms for job in scene.look()] == [None]
    assert scene.settings.asked == []
