"""The bounded queue and the order in which jobs start."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilestep.bot.gpu.errors import QueueFull
from tilestep.bot.gpu.fairness import FairSettings
from tilestep.bot.gpu.task import Claim, Flow
from tilestep.bot.gpu.waiting import QueueLimits, WaitingRoom


def room_with(*flows, limits=None, settings=None, kind="image"):
    room = WaitingRoom(limits, settings)
    for job, flow in enumerate(flows):
        room.enter(Claim(job, Flow(*flow), kind), 0)
    return room


def jobs(room, kind="image", now_us=0):
    return [claim.job for claim in room.order(kind, now_us)]


def run(room, fits, weighs=lambda claim: True):
    claim = room.next(["image"], 0, fits, weighs)
    if claim is not None:
        room.start(claim.job)
    return claim and claim.job


def test_members_and_guilds_start_in_turn():
    room = room_with(("large", 1), ("large", 1), ("large", 2), ("large", 3), ("small", 9), ("small", 9))
    assert jobs(room) == [0, 4, 2, 5, 3, 1]


def test_who_has_just_had_a_turn_is_last_even_with_older_work():
    room = room_with(("g", 1), ("g", 1), ("g", 2))
    room.start(0)
    room.finish(0)
    assert jobs(room) == [2, 1]


def test_a_member_in_several_guilds_starts_no_more_than_others():
    room = room_with(("a", 1), ("b", 1), ("b", 2))
    room.start(0)
    assert jobs(room) == [2, 1]


def test_weights_count_running_jobs():
    room = room_with(
        *[("a", n) for n in range(6)], *[("b", n) for n in range(10, 16)], settings=FairSettings(guild_weights={"a": 2})
    )
    assert [job < 6 for job in jobs(room)[:6]].count(True) == 4


def test_priority_orders_own_jobs_and_age_beats_it():
    room = room_with(("g", 1), settings=FairSettings(aging_us=100))
    room.enter(Claim(1, Flow("g", 1), priority=2), 0)
    assert jobs(room) == [1, 0]
    room.enter(Claim(2, Flow("g", 1), priority=2), 250)
    assert jobs(room, now_us=250) == [1, 0, 2]
    room.set_priority(2, 9)
    assert jobs(room, now_us=250) == [2, 1, 0]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (QueueLimits(per_member=2), "You have 2 jobs"),
        (QueueLimits(per_guild=2), "This server has 2 jobs"),
        (QueueLimits(total=2), "The queue is full"),
    ],
)
def test_every_bound_says_which_it_is_and_passes_when_a_job_is_over(limits, words):
    room = room_with(("g", 1), ("g", 1), limits=limits)
    with pytest.raises(QueueFull, match=words):
        room.enter(Claim(2, Flow("g", 1)), 0)
    room.start(0)
    room.finish(0)
    room.enter(Claim(2, Flow("g", 1)), 0)
    assert len(room) == 2


def test_a_members_bound_holds_across_guilds():
    room = room_with(("a", 1), limits=QueueLimits(per_member=1))
    with pytest.raises(QueueFull, match="You have 1 job "):
        room.enter(Claim(1, Flow("b", 1)), 0)


def test_work_that_does_not_fit_is_passed_by_only_so_often():
    flows = [("g", n) for n in range(12)]
    room = room_with(*flows, limits=QueueLimits(overtakes=3))
    started = [run(room, fits=lambda claim: claim.job != 0) for _ in range(5)]
    assert started == [1, 2, 3, None, None]
    assert run(room, fits=lambda claim: True) == 0


def test_work_that_weighs_nothing_passes_a_held_door():
    room = room_with(("g", 0), ("g", 1), limits=QueueLimits(overtakes=0))
    assert run(room, fits=lambda claim: claim.job == 1) is None
    assert run(room, fits=lambda claim: claim.job == 1, weighs=lambda claim: claim.job == 0) == 1


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=30))
def test_the_forecast_order_is_the_order_in_which_jobs_start(flows):
    room = room_with(*flows, limits=QueueLimits(per_member=30))
    forecast = jobs(room)
    assert sorted(forecast) == list(range(len(flows)))
    assert [run(room, fits=lambda claim: True) for _ in flows] == forecast
