"""Every limit of a server, through every way in: one job that is refused, in words, and one just inside that is not."""

import pytest
from ways import WAYS, by_api, by_command

TEN_THOUSAND_PIXELS = 0.01

pytestmark = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


async def test_largest_picture_taken_in(world, way):
    await world.limit(max_input_megapixels=TEN_THOUSAND_PIXELS)
    refused = await way(world, world.alice, size=(101, 100))
    assert "0.01" in refused
    assert "101x100" in refused
    assert not await way(world, world.alice, size=(100, 100))


async def test_largest_result(world, way):
    await world.limit(max_output_megapixels=TEN_THOUSAND_PIXELS)
    assert "0.01" in await way(world, world.alice, size=(51, 50))
    assert not await way(world, world.alice, size=(50, 50))


async def test_allowed_roles(world, way):
    await world.limit(allowed_role_ids=frozenset({world.artists.id}))
    assert f"<@&{world.artists.id}>" in await way(world, world.alice)
    await world.give_role(world.alice, world.artists)
    assert not await way(world, world.alice)


async def test_allowed_channels(world, way):
    await world.limit(allowed_channel_ids=frozenset({world.other_channel.id}))
    assert f"<#{world.other_channel.id}>" in await way(world, world.alice)
    await world.limit(allowed_channel_ids=frozenset({world.channel.id}))
    assert not await way(world, world.alice)


async def test_jobs_at_once(world, way):
    await world.limit(jobs_at_once=2)
    async with world.busy():
        assert not await by_api(world, world.alice)
        assert not await way(world, world.alice)
        assert "2 of your jobs" in await way(world, world.alice)
        assert not await way(world, world.ben)


async def test_gpu_seconds_a_day(world, way):
    await world.limit(gpu_seconds_per_day=10)
    await by_api(world, world.alice)
    await world.done()
    (job,) = await world.jobs()
    await world.runtime.jobs.charge(job.id, 9000 - job.gpu_ms)
    assert not await way(world, world.alice)
    await world.done()
    await world.runtime.jobs.charge(job.id, 1000)
    assert "10" in await way(world, world.alice)


async def test_who_may_enlarge_somebodys_picture(world, way):
    await world.limit(who_may_click="owner")
    if way is by_command:
        first = await world.result(world.ben)
        refused = await world.told(world.alice.slash(world.channel, "upscale", link=first.jump_url))
    else:
        refused = await way(world, world.alice, owner=world.ben)
    assert f"<@{world.ben.id}>" in refused
    assert not await way(world, world.alice, owner=world.alice)


async def test_largest_scale_and_best_quality(world, way):
    await world.limit(max_scale=2, best_quality="balanced")
    if way in (by_command, by_api):
        assert "2x" in await way(world, world.alice, scale=4)
        assert "balanced" in await way(world, world.alice, quality="best")
        assert not await way(world, world.alice, scale=2, quality="balanced")
    else:
        await world.limit(default_quality="best")
        assert not await way(world, world.alice)
        assert {job.options.quality for job in await world.jobs()} == {"balanced"}


async def test_blocked_members(world, way):
    await world.admin.slash(world.channel, "tilestep block", member=world.alice)
    assert "blocked" in await way(world, world.alice)
    await world.admin.slash(world.channel, "tilestep unblock", member=world.alice)
    assert not await way(world, world.alice)


async def test_a_pause_by_the_operator(world, way):
    world.runtime.service.pause()
    assert "paused" in await way(world, world.alice)
    world.runtime.service.resume()
    assert not await way(world, world.alice)
