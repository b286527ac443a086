"""/queue, and cancelling there, on the answer and on the progress message."""

from discord_world import buttons


async def test_an_empty_queue_shows_what_has_been_used(world):
    answered = await world.alice.slash(world.channel, "queue")
    text = answered.response.embeds[0].description
    assert "no jobs" in text
    assert "0 of 600 s" in text
    assert "0 of 3" in text


async def test_my_jobs_are_cancelled_from_the_queue(world):
    async with world.busy():
        await world.upscale()
        await world.upscale(world.ben)
        shown = (await world.alice.slash(world.channel, "queue")).response
        assert "Upscale 2x of `in.png`" in shown.embeds[0].description
        assert set(buttons(shown)) == {"Refresh", "Cancel 1"}
        await world.alice.click(shown, label="Cancel 1")
        assert "no jobs" in shown.embeds[0].description
        assert [job.state for job in await world.jobs()] == ["cancelled"]
    assert [job.state for job in await world.jobs(world.ben)] == ["delivered"]


async def test_the_queue_is_refreshed(world):
    shown = (await world.alice.slash(world.channel, "queue")).response
    async with world.busy():
        await world.upscale()
        await world.alice.click(shown, label="Refresh")
        assert "in.png" in shown.embeds[0].description


async def test_the_answer_to_a_command_cancels_it(world):
    async with world.busy():
        answered = await world.upscale()
        await world.alice.click(answered.response, label="Cancel")
        assert answered.response.content == "Cancelled."
        assert [job.state for job in await world.jobs()] == ["cancelled"]


async def test_the_progress_message_is_cancelled_by_its_member_and_by_moderators_only(world):
    async with world.busy():
        for who in (world.alice, world.mod):
            await world.upscale()
            progress = await world.progress_message()
            refused = await world.ben.click(progress, label="Cancel")
            assert world.words(refused)
            assert (await world.jobs())[0].state not in ("cancelled", "delivered")
            await who.click(progress, label="Cancel")
            assert (await world.jobs())[0].state == "cancelled"
