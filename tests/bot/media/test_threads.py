"""Blocking work beside the event loop: bounded in time and number."""

from __future__ import annotations

import asyncio
import threading

import pytest
from plain_words import join_threads

from tilestep.bot.threads import NAME, PLACES, Overdue, Patience, run_bounded

LONG_S = 60.0


def ours() -> int:
    return sum(thread.name.startswith(NAME) for thread in threading.enumerate())


async def test_the_result_comes_back_and_so_do_errors() -> None:
    def fail(patience: Patience) -> None:
        raise KeyError("x")

    assert await run_bounded(lambda patience: 42, LONG_S) == 42
    with pytest.raises(KeyError, match="x"):
        await run_bounded(fail, LONG_S)
    await asyncio.to_thread(join_threads)


async def test_work_that_overruns_is_given_up_and_ends_at_its_next_look() -> None:
    ended = threading.Event()

    def forever(patience: Patience) -> None:
        try:
            while True:
                patience.check()
        finally:
            ended.set()

    with pytest.raises(Overdue) as caught:
        await run_bounded(forever, 0.05)
    assert caught.value.started
    assert await asyncio.to_thread(ended.wait, LONG_S)


async def test_work_that_is_cancelled_ends_at_its_next_look() -> None:
    started, ended = threading.Event(), threading.Event()

    def forever(patience: Patience) -> None:
        started.set()
        while not patience.over:
            pass
        ended.set()

    task = asyncio.create_task(run_bounded(forever, LONG_S))
    await asyncio.to_thread(started.wait, LONG_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, LONG_S)


async def test_stuck_work_keeps_its_place_and_never_more_threads_than_places_exist() -> None:
    go_on = threading.Event()
    stuck = [asyncio.create_task(run_bounded(lambda patience: go_on.wait(), 0.05)) for _ in range(PLACES + 3)]
    outcomes = await asyncio.gather(*stuck, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Overdue] * (PLACES + 3)
    assert [outcome.started for outcome in outcomes if isinstance(outcome, Overdue)].count(True) == PLACES
    assert ours() == PLACES
    go_on.set()
    assert await run_bounded(lambda patience: "free again", LONG_S) == "free again"
    await asyncio.to_thread(join_threads)


async def test_the_loop_goes_on_while_work_blocks() -> None:
    go_on = threading.Event()
    task = asyncio.create_task(run_bounded(lambda patience: go_on.wait(LONG_S), LONG_S))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    assert await task
    await asyncio.to_thread(join_threads)


def test_a_loop_that_ends_first_does_not_hear_of_it() -> None:
    go_on = threading.Event()

    async def give_up() -> None:
        with pytest.raises(Overdue):
            await run_bounded(lambda patience: go_on.wait(), 0.05)

    asyncio.run(give_up())
    go_on.set()
    join_threads()
