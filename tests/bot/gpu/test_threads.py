"""Threads of tasks: one for each that runs, used again, gone in the end."""

import threading
import weakref
from queue import SimpleQueue

from virtual_gpu import ONE, virtual

from tilestep.bot.gpu.task import Task
from tilestep.bot.gpu.threads import ThreadPool


class Held:
    """Stands for what a piece of work holds on to."""


def run_together(pool, count):
    """The threads of so many pieces of work that wait for each other, once all are idle again."""
    barrier, told = threading.Barrier(count), SimpleQueue()

    def work():
        barrier.wait(5)
        told.put(threading.get_ident())

    threads = {pool.run("work", work) for _ in range(count)}
    found = {told.get(timeout=5) for _ in range(count)}
    assert found == {thread.ident for thread in threads}
    wait_for_idle(threads)
    return threads


def wait_for_idle(threads):
    deadline = threading.Event()
    while any(thread.name == "work" for thread in threads):
        deadline.wait(0.001)


def test_work_at_the_same_time_has_threads_of_its_own_which_are_used_again():
    pool = ThreadPool()
    first = run_together(pool, 3)
    assert len(first) == 3
    assert run_together(pool, 3) == first
    assert run_together(pool, 4) > first
    pool.close()


def test_threads_end_with_the_pool_idle_or_not():
    pool, go_on = ThreadPool(), threading.Event()
    idle = run_together(pool, 1).pop()
    busy = [pool.run("work", lambda: go_on.wait(5)) for _ in range(2)]
    assert idle in busy
    pool.close()
    go_on.set()
    for thread in busy:
        thread.join(5)
        assert not thread.is_alive()


def test_an_idle_thread_holds_nothing_of_its_work():
    pool = ThreadPool()
    held = Held()
    seen = weakref.ref(held)
    thread = pool.run("work", lambda held=held: None)
    del held
    wait_for_idle([thread])
    assert seen() is None
    pool.close()


async def test_tasks_one_after_another_run_in_one_thread_that_ends_with_the_scheduler():
    seen = set()
    async with virtual() as gpu:
        for _ in range(5):
            await gpu.run(Task(lambda gate: seen.add(threading.current_thread())), ONE)
            await gpu.until_idle()
    for thread in seen:
        thread.join(5)
    assert not any(thread.is_alive() for thread in seen)
    assert len(seen) <= 2  # the next task may come before the thread is idle
