"""Every limit of a server, by every way in: one job that is refused, in words, and one just inside that is not."""

import pytest
from limit_table import CASES, CELLS, NOT_MET
from ways import UPSCALES, WAYS, by_api

from tilestep.bot.limit_fields import FIELDS


@pytest.mark.parametrize(("way", "case"), CELLS)
async def test_outside_is_refused_in_words_and_just_inside_is_accepted(gallery, way, case):
    assert case.words in await on(case.outside, gallery, way)
    assert await on(case.inside, gallery, way) == ""


async def on(side, world, way):
    """What Alice is told who comes that way while things stand like that."""
    await world.fresh()
    wish = {name: getattr(world, value) if name == "owner" else value for name, value in side.wish.items()}
    for _ in range(side.open_jobs):
        assert not await by_api(world, world.alice)
    if side.blocked:
        await world.runtime.guilds.block(world.guild.id, world.alice.id, by=world.admin.id)
    await world.limit(**(side.limits(world) if callable(side.limits) else side.limits))
    if side.paused:
        world.runtime.service.pause()
    before = world.runtime.gpu.statistics().served_ms
    said = await WAYS[way](world, world.alice, **wish)
    assert world.runtime.gpu.statistics().served_ms == before
    return said


def test_every_limit_is_tried_by_every_way_or_it_is_said_why_not():
    for limit in {*FIELDS, *CASES}:
        tried = [way for case in CASES.get(limit, ()) for way in case.ways]
        named = NOT_MET.get(limit, {})
        assert sorted([*tried, *named]) == sorted(WAYS), limit


@pytest.mark.parametrize("way", UPSCALES)
async def test_who_names_no_quality_gets_the_usual_one_or_the_best_allowed(gallery, way):
    await gallery.fresh()
    await gallery.limit(best_quality="faithful", default_quality="best")
    assert not await WAYS[way](gallery, gallery.alice)
    (job,) = await gallery.runtime.jobs.open_jobs(requester_id=gallery.alice.id)
    assert job.options.quality == "faithful"


async def test_who_names_no_steps_gets_the_models_own_or_as_many_as_are_allowed(gallery):
    await gallery.fresh()
    await gallery.limit(max_image_steps=3)
    assert not await WAYS["imagine"](gallery, gallery.alice)
    (job,) = await gallery.runtime.jobs.open_jobs(requester_id=gallery.alice.id)
    assert job.options.steps == 3
