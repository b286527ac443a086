"""What is left of a job that failed: its error with its lines, and nothing that its frames held."""

import gc
import traceback
import weakref

import pytest
from virtual_gpu import ONE, no_thread_works_on, virtual

from tilestep.bot.gpu import outcome
from tilestep.bot.gpu.errors import JobOutOfMemory
from tilestep.bot.gpu.outcome import failure, is_out_of_memory
from tilestep.bot.gpu.task import SharedStep, Task
from tilestep.upscaler import runner


class Big:
    """Stands for a tensor."""


class BrokenTileError(Exception):
    """Unlike a built-in one it can be looked at from afar."""


@pytest.fixture
def without_collector():
    gc.disable()
    yield
    gc.enable()


def broken_task(seen):
    """Fails in a step, in which it holds something big."""

    def run(gate):
        own = Big()
        seen.append(weakref.ref(own))
        with gate.step("decode"):
            try:
                raise KeyError("what led to it")
            except KeyError as error:
                raise BrokenTileError("broken latents") from error

    return Task(run, name="broken")


async def test_a_failed_job_holds_nothing_large_while_its_error_is_still_looked_at(without_collector):
    seen = []
    async with virtual() as gpu:
        handle = gpu.submit(broken_task(seen), ONE)
        with pytest.raises(BrokenTileError) as caught:
            await handle
        await no_thread_works_on("broken")
        assert [big() for big in seen] == [None]
        lines = "".join(traceback.format_exception(caught.value))
        assert "raise BrokenTileError" in lines
        assert "raise KeyError" in lines


async def test_an_error_that_nobody_looks_at_any_more_is_gone_without_the_collector(without_collector):
    seen = []
    async with virtual() as gpu:
        try:
            await gpu.run(broken_task(seen), ONE)
        except BrokenTileError as error:
            seen.append(weakref.ref(error))
        await no_thread_works_on("broken")
        assert [thing() for thing in seen] == [None, None]


async def test_a_shared_step_that_fails_holds_nothing_large(without_collector):
    seen = []

    class Pool:
        kind = "upscale"

        def add(self, job, order):
            self.job = job

        def drop(self, job):
            pass

        def step(self, turn):
            own = Big()
            seen.append(weakref.ref(own))
            return SharedStep({self.job: 1}, errors={self.job: self.failed()})

        def failed(self):
            own = Big()
            seen.append(weakref.ref(own))
            try:
                raise BrokenTileError("a broken tile")
            except BrokenTileError as error:
                return error

        def close(self):
            pass

    async with virtual() as gpu:
        gpu.add_shared("tiles", lambda gate: Pool())
        with pytest.raises(BrokenTileError):
            await gpu.submit_shared("tiles", None, ONE)
        assert [big() for big in seen] == [None, None]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_every_way_to_say_that_memory_is_short_is_told_in_the_same_words(error):
    assert isinstance(failure(error).error, JobOutOfMemory)


def test_other_errors_come_through_unchanged():
    error = ValueError("out of memory of what you asked")
    assert not is_out_of_memory(error)
    assert failure(error).error is error


def test_the_upscaler_knows_the_same_words():
    assert outcome.OUT_OF_MEMORY_WORDS == runner.OUT_OF_MEMORY_WORDS
