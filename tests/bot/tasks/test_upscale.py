"""Upscales through the scheduler with the real engine and a tiny network."""

import itertools

import numpy as np
import pytest
from PIL import Image
from tiny_tiles import MODEL, ONE, STEPS, TWO, add_pool, order, pixels, pool_scheduler, settings

from tilestep.bot.gpu import Flow, GpuScheduler, JobCancelled
from tilestep.bot.gpu.gate import RecordingGate
from tilestep.bot.gpu.task import UPSCALE, SharedTurn
from tilestep.bot.tasks.upscale import Tap, TilePool, UpscaleOrder, load_tile_pool
from tilestep.upscaler.engine import EngineLimits
from tilestep.upscaler.errors import CheckpointError, OptionError
from tilestep.upscaler.model.checkpoint import save_checkpoint
from tilestep.upscaler.passes import upscale_array
from tilestep.upscaler.tiling.rows import ArraySource


async def test_pictures_of_several_members_share_batches_and_come_out_as_alone():
    pictures = [pixels(70 + 10 * n, 50, n) for n in range(3)]
    async with pool_scheduler() as gpu:
        add_pool(gpu)
        gpu.pause()
        handles = [gpu.submit_upscale(order(picture), Flow("guild", n)) for n, picture in enumerate(pictures)]
        gpu.resume()
        sinks = [await handle for handle in handles]
        leases = gpu.leases()
    assert any(len(lease.parts) > 1 for lease in leases)
    for picture, sink in zip(pictures, sinks, strict=True):
        np.testing.assert_array_equal(np.clip(sink.picture, 0, 1), upscale_array(MODEL, picture, STEPS))


async def test_every_rider_is_charged_for_its_tiles():
    async with pool_scheduler() as gpu:
        add_pool(gpu)
        gpu.pause()
        small = gpu.submit_upscale(order(pixels(40, 40)), ONE)
        large = gpu.submit_upscale(order(pixels(160, 80)), TWO)
        gpu.resume()
        await small, await large
        used = gpu.statistics().shares.gpu_ms
        leases = gpu.leases()
    assert sum(used.values()) == pytest.approx(sum(lease.gpu_ms for lease in leases), abs=0.001 * len(leases))
    tiles = {job: sum(lease.parts.get(job, 0) for lease in leases) for job in (small.job, large.job)}
    assert tiles[large.job] > 3 * tiles[small.job]
    assert used[UPSCALE, TWO] > used[UPSCALE, ONE] > 0


async def test_cancelling_one_upscale_leaves_the_others_alone():
    picture = pixels(90, 90)
    async with pool_scheduler() as gpu:
        add_pool(gpu)
        gpu.pause()
        kept, given_up = gpu.submit_upscale(order(picture), ONE), gpu.submit_upscale(order(picture), TWO)
        given_up.cancel()
        gpu.resume()
        with pytest.raises(JobCancelled):
            await given_up
        sink = await kept
        assert all(given_up.job not in lease.parts for lease in gpu.leases())
    np.testing.assert_array_equal(np.clip(sink.picture, 0, 1), upscale_array(MODEL, picture, STEPS))


async def test_a_picture_that_cannot_be_read_fails_alone():
    class Torn(ArraySource):
        def read(self, start, stop):
            raise OSError("the file is cut off")

    async with pool_scheduler() as gpu:
        add_pool(gpu)
        good = gpu.submit_upscale(order(pixels(60, 60)), ONE)
        bad = order(pixels(60, 60))
        torn = gpu.submit_upscale(UpscaleOrder(Torn(pixels(60, 60)), bad.sink, STEPS), TWO)
        with pytest.raises(OSError, match="cut off"):
            await torn
        assert (await good).picture.any()


async def test_an_order_that_makes_no_sense_fails_alone():
    async with pool_scheduler() as gpu:
        add_pool(gpu)
        with pytest.raises(OptionError, match="no quality"):
            await gpu.submit_upscale(order(pixels(20, 20), quality="perfect"), ONE)
        with pytest.raises(OptionError, match="scale is 3"):
            await gpu.submit_upscale(order(pixels(20, 20), scale=3), ONE)
        await gpu.submit_upscale(order(pixels(20, 20)), ONE)


async def test_progress_and_passes_of_a_larger_scale():
    seen = []
    picture = pixels(24, 20)
    async with pool_scheduler() as gpu:
        add_pool(gpu)
        handle = gpu.submit_upscale(order(picture, scale=4), ONE, on_progress=seen.append)
        sink = await handle
    assert sink.picture.shape == (80, 96, 3)
    assert seen[-1].done == seen[-1].total
    assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)


async def test_the_facade_upscales_a_picture_in_memory_and_keeps_transparency(tmp_path):
    checkpoint = tmp_path / "tiny.safetensors"
    save_checkpoint(checkpoint, MODEL.network, MODEL.descriptor)
    picture = Image.fromarray(pixels(30, 20))
    async with GpuScheduler(settings(upscaler=checkpoint)) as gpu:
        opaque = await gpu.upscale(picture, ONE, quality="faithful")
        clear = await gpu.upscale(picture.convert("RGBA"), ONE, scale=4, quality="fast")
    assert (opaque.size, opaque.mode) == ((60, 40), "RGB")
    assert (clear.size, clear.mode) == ((120, 80), "RGBA")


async def test_a_missing_checkpoint_fails_the_upscale_in_words_and_nothing_else(tmp_path):
    async with GpuScheduler(settings(upscaler=tmp_path / "none.safetensors")) as gpu:
        for _ in range(2):
            with pytest.raises(CheckpointError, match="There is no checkpoint"):
                await gpu.upscale(Image.fromarray(pixels(8, 8)), ONE)


def test_who_has_had_too_much_gives_no_new_tiles_while_others_can_fill_the_batch():
    pool = TilePool(MODEL, EngineLimits(max_batch=2, quantum_seconds=100.0))
    for job in (1, 2):
        pool.add(job, order(pixels(200, 200, job)))
    turn = SharedTurn(owed=1, quantum_ms=100_000, indebted=frozenset({2}))
    served = [pool.step(turn).parts for _ in range(6)]
    assert all(2 not in parts for parts in served)


def test_who_has_had_too_much_begins_no_further_tile_though_its_rows_are_read():
    pool = TilePool(MODEL, EngineLimits(max_batch=2, quantum_seconds=100.0))
    for job in (1, 2):
        pool.add(job, order(pixels(200, 200, job)))
    while not (pool.step(SharedTurn(owed=1, quantum_ms=100_000)).parts).get(2):
        pass
    turn = SharedTurn(owed=1, quantum_ms=100_000, indebted=frozenset({2}))
    served = [pool.step(turn).parts.get(2, 0) for _ in range(20)]
    assert sum(served) <= 6
    assert not any(served[-10:])


def test_the_last_tiles_of_a_small_picture_come_before_those_of_who_had_too_much():
    pool = TilePool(MODEL, EngineLimits(max_batch=8, quantum_seconds=100.0))
    pool.add(1, order(pixels(20, 20)))
    for job in (2, 3, 4):
        pool.add(job, order(pixels(100, 100, job)))
    turn = SharedTurn(owed=1, quantum_ms=100_000, indebted=frozenset({2, 3, 4}))
    assert pool.step(turn).parts.keys() == {1}


def test_a_picture_whose_tiles_are_all_begun_ends_though_it_has_had_too_much():
    pool = TilePool(MODEL, EngineLimits(max_batch=2, quantum_seconds=100.0))
    pool.add(1, order(pixels(200, 200)))
    pool.add(2, order(pixels(20, 20)))
    pool.step(SharedTurn(owed=1, quantum_ms=100_000))
    turn = SharedTurn(owed=1, quantum_ms=100_000, indebted=frozenset({2}))
    assert any(2 in pool.step(turn).results for _ in range(20))


def test_batches_stay_full_when_only_those_who_had_too_much_have_tiles():
    pool = TilePool(MODEL, EngineLimits(max_batch=2, quantum_seconds=100.0))
    pool.add(1, order(pixels(200, 200)))
    turn = SharedTurn(owed=1, quantum_ms=100_000, indebted=frozenset({1}))
    assert pool.step(turn).parts[1] == 2


def test_an_idle_pool_has_nothing_to_do():
    assert TilePool(MODEL).step(SharedTurn(0, 50)) is None


def test_batches_follow_the_quantum_of_every_turn_while_tiles_are_under_way():
    pool = TilePool(MODEL, EngineLimits(max_batch=16))
    pool.add(1, order(pixels(300, 300), quality="fast"))
    plenty, nothing = 1e12, 1e-3
    script = [plenty] * 4 + [nothing] * 3 + [plenty] * 5
    sizes = [pool.step(SharedTurn(1, quantum_ms)).parts[1] for quantum_ms in script]
    assert sizes == [4, 8, 16, 16, 1, 1, 1, 2, 4, 8, 16, 16]


def test_a_quantum_that_changes_at_every_turn_does_not_change_the_picture():
    picture = pixels(90, 70)
    pool, wanted = TilePool(MODEL, EngineLimits(max_batch=16)), order(picture)
    pool.add(1, wanted)
    quanta = itertools.cycle([1e12, 1e-3, 1e12])
    while not pool.step(SharedTurn(1, next(quanta))).results:
        pass
    np.testing.assert_array_equal(np.clip(wanted.sink.picture, 0, 1), upscale_array(MODEL, picture, STEPS))


def test_loading_is_a_step_of_its_own(tmp_path):
    checkpoint = tmp_path / "tiny.safetensors"
    save_checkpoint(checkpoint, MODEL.network, MODEL.descriptor)
    gate = RecordingGate()
    load_tile_pool(gate, checkpoint, "cpu")
    assert gate.phases == ["load"]


def test_a_tap_is_the_picture_itself_but_for_being_ready():
    tap = Tap(ArraySource(pixels(7, 5)))
    assert (tap.width, tap.height, tap.channels, tap.ready(5)) == (7, 5, 3, True)
    tap.open = False
    assert not tap.ready(1)
    assert tap.read(0, 2).shape == (2, 7, 3)


async def test_closing_while_the_device_stands_still_ends_all_orders():
    async with pool_scheduler() as gpu:
        add_pool(gpu)
        gpu.pause()
        handles = [gpu.submit_upscale(order(pixels(40, 40)), Flow("guild", n)) for n in range(3)]
        await handles[0].begun()
        gpu.resume()
        gpu.pause()
    assert all(handle.done for handle in handles)
    for handle in handles:
        with pytest.raises(JobCancelled):
            await handle
