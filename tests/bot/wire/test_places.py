"""Where a result goes when the place that it was asked for is gone, closed, or no longer fit for it."""

import time

import pytest
from deliveries import AT_ONCE, MEMBER, a_job, a_result

from tilestep.bot.delivery import Delivery
from tilestep.bot.errors import Undeliverable
from tilestep.bot.requests import Reply

PARENT, THREAD = 1001, 1002
PUBLIC_THREAD, PRIVATE_THREAD = 11, 12


@pytest.fixture
async def delivery(client, wire):
    await wire.channel(PARENT)
    return Delivery(client, retry=AT_ONCE)


def in_thread(**facts):
    return a_job(THREAD, parent_channel_id=PARENT, **facts)


async def channel_types(wire):
    """Of each message: the channel, or "dm"."""
    return [int(m["channel_id"]) if int(m["channel_id"]) in (PARENT, THREAD) else "dm" for m in await wire.messages()]


async def test_a_source_that_was_deleted_is_not_missed(delivery, wire, tmp_path):
    await delivery.post(a_job(PARENT, source_channel_id=PARENT, source_message_id=5), a_result(tmp_path))
    assert await channel_types(wire) == [PARENT]


async def test_a_source_elsewhere_is_not_replied_to(delivery, wire, tmp_path):
    await delivery.post(a_job(PARENT, source_channel_id=THREAD, source_message_id=5), a_result(tmp_path))
    [message] = await wire.messages()
    assert "message_reference" not in message


async def test_without_the_right_to_reply_it_comes_as_a_message(delivery, wire, tmp_path):
    await wire.channel(PARENT, reads=False)
    await delivery.post(a_job(PARENT, source_channel_id=PARENT, source_message_id=5), a_result(tmp_path))
    [message] = await wire.messages()
    assert "message_reference" not in message
    assert [status for *_, status in await wire.requests("POST", "/messages")] == [403, 200]


async def test_an_archived_thread_opens_again_by_the_message(delivery, wire, tmp_path):
    await wire.channel(THREAD, type=PUBLIC_THREAD, parent_id=PARENT, archived=True)
    posted = await delivery.post(in_thread(), a_result(tmp_path))
    assert (posted.channel_id, posted.elsewhere) == (THREAD, "")


async def test_a_thread_that_stays_archived_is_opened_where_that_is_allowed(delivery, wire, tmp_path):
    await wire.channel(THREAD, type=PUBLIC_THREAD, parent_id=PARENT)
    await wire.fault(status=400, code=50083)
    posted = await delivery.post(in_thread(), a_result(tmp_path))
    assert posted.channel_id == THREAD
    assert len(await wire.requests("PATCH", f"/channels/{THREAD}")) == 1


async def test_from_a_locked_thread_it_goes_to_the_parent_and_says_why(delivery, wire, tmp_path):
    await wire.channel(THREAD, type=PUBLIC_THREAD, parent_id=PARENT, archived=True, locked=True)
    posted = await delivery.post(in_thread(), a_result(tmp_path))
    [message] = await wire.messages()
    assert posted.channel_id == PARENT
    assert f"asked for in <#{THREAD}>" in posted.elsewhere
    assert "thread is archived and I may not open it again" in posted.elsewhere
    assert posted.elsewhere in message["content"]


async def test_from_a_private_thread_it_goes_to_the_member_alone(delivery, wire, tmp_path):
    await wire.channel(THREAD, type=PRIVATE_THREAD, parent_id=PARENT, archived=True, locked=True)
    posted = await delivery.post(in_thread(), a_result(tmp_path))
    assert await channel_types(wire) == ["dm"]
    assert "in a direct message" in posted.elsewhere


async def test_from_a_thread_that_is_gone_it_goes_to_the_member_alone(delivery, wire, tmp_path):
    await delivery.post(in_thread(), a_result(tmp_path))
    assert await channel_types(wire) == ["dm"]


async def test_a_crash_after_the_send_to_another_place_posts_nothing_twice(delivery, wire, tmp_path):
    job = in_thread(posting=True)
    first = await delivery.post(job, a_result(tmp_path))
    await wire.forget_nonces()
    second = await delivery.post(job, a_result(tmp_path))
    assert second.message_id == first.message_id
    assert await channel_types(wire) == ["dm"]


@pytest.mark.parametrize(
    ("code", "why", "later"),
    [
        (50013, "I may not post pictures there", True),
        (50001, "I cannot see that channel any more", True),
        (10003, "that channel is gone", False),
        (200000, "AutoMod stopped it", False),
        (50008, "Discord refused it there", False),
    ],
)
async def test_from_a_channel_that_refuses_it_goes_to_the_member_or_waits(delivery, wire, tmp_path, code, why, later):
    await wire.channel(PARENT, refuse=[404 if code == 10003 else 403, code])
    posted = await delivery.post(a_job(PARENT), a_result(tmp_path))
    assert why in posted.elsewhere
    assert await channel_types(wire) == ["dm"]
    await wire.close_dms(MEMBER)
    with pytest.raises(Undeliverable, match=f"(?s){why}.*no direct messages from me") as caught:
        await delivery.post(a_job(PARENT), a_result(tmp_path))
    assert caught.value.again_later is later


async def test_a_token_that_is_refused_loses_no_result(delivery, wire, tmp_path):
    await wire.channel(PARENT, refuse=[401, 0])
    with pytest.raises(Undeliverable, match="the bot's token") as caught:
        await delivery.post(a_job(PARENT), a_result(tmp_path))
    assert caught.value.again_later
    await wire.fault(path="/users/@me/channels", status=401)
    with pytest.raises(Undeliverable, match="the bot's token"):
        await delivery.post(private("dead"), a_result(tmp_path))
    assert await wire.messages() == []


async def test_what_was_asked_in_a_direct_message_comes_there(delivery, wire, tmp_path):
    await wire.channel(3003, type=1, guild_id=None, recipient_id=MEMBER)
    posted = await delivery.post(a_job(3003, guild_id=None, age_restricted=True), a_result(tmp_path))
    assert (posted.channel_id, posted.elsewhere) == (3003, "")


async def test_an_age_restricted_result_comes_to_its_channel(delivery, wire, tmp_path):
    await wire.channel(PARENT, nsfw=True)
    await wire.channel(THREAD, type=PUBLIC_THREAD, parent_id=PARENT)
    await delivery.post(a_job(PARENT, age_restricted=True), a_result(tmp_path))
    await delivery.post(in_thread(age_restricted=True), a_result(tmp_path))
    assert await channel_types(wire) == [PARENT, THREAD]


@pytest.mark.parametrize("place", ["channel", "thread", "locked thread"])
async def test_an_age_restricted_result_comes_to_no_channel_that_is_not(delivery, wire, tmp_path, place):
    locked = place == "locked thread"
    await wire.channel(THREAD, type=PUBLIC_THREAD, parent_id=PARENT, archived=locked, locked=locked)
    job = a_job(PARENT, age_restricted=True) if place == "channel" else in_thread(age_restricted=True)
    posted = await delivery.post(job, a_result(tmp_path))
    assert await channel_types(wire) == ["dm"]
    assert "no longer age-restricted" in posted.elsewhere
    await wire.close_dms(MEMBER)
    with pytest.raises(Undeliverable):
        await delivery.post(in_thread(age_restricted=True), a_result(tmp_path))
    assert await channel_types(wire) == ["dm"]


def private(token="abc", seconds=900.0, **facts):
    return a_job(PARENT, private=True, reply=Reply(9, token, time.time() + seconds), **facts)


async def test_a_private_result_is_the_answer_to_the_command(delivery, wire, tmp_path):
    await wire.token("abc", PARENT)
    job = private()
    posted = await delivery.post(job, a_result(tmp_path))
    [message] = await wire.messages()
    assert message["attachments"][0]["filename"] == f"cat_2x-{job.id}.png"
    assert posted.message_id == int(message["id"])
    assert await wire.requests("POST", "/messages") == []
    again = await delivery.post(job, a_result(tmp_path))
    assert again.message_id == posted.message_id
    assert len((await wire.messages())[0]["attachments"]) == 1


async def test_a_private_result_fits_too(delivery, wire, tmp_path):
    await wire.channel(PARENT, limit_bytes=270_000)
    await wire.token("abc", PARENT)
    assert (await delivery.post(private(), a_result(tmp_path, side_px=320))).format == "webp"


@pytest.mark.parametrize("seconds", [900.0, 1.0, -900.0], ids=["token died early", "nearly over", "over"])
async def test_a_private_result_that_is_late_goes_to_the_member_alone(delivery, wire, tmp_path, seconds):
    posted = await delivery.post(private(seconds=seconds), a_result(tmp_path))
    [message] = await wire.messages()
    assert await channel_types(wire) == ["dm"]
    assert "15 minutes" in posted.elsewhere
    assert posted.elsewhere in message["content"]


async def test_a_private_result_of_a_closed_member_goes_nowhere(delivery, wire, tmp_path):
    await wire.close_dms(MEMBER)
    with pytest.raises(Undeliverable, match=r"15 minutes.*no direct messages"):
        await delivery.post(private(), a_result(tmp_path))
    assert await wire.messages() == []


async def test_words_follow_the_same_way_but_leave_the_thread_for_the_member_alone(delivery, wire):
    await wire.channel(THREAD, type=PUBLIC_THREAD, parent_id=PARENT, archived=True, locked=True)
    assert await delivery.tell(in_thread(), "It failed.")
    assert await channel_types(wire) == ["dm"]


async def test_private_words_are_the_answer_to_the_command_or_a_direct_message(delivery, wire):
    await wire.token("abc", PARENT)
    assert await delivery.tell(private(), "It failed.")
    assert await delivery.tell(private("dead"), "It failed.")
    assert await channel_types(wire) == [PARENT, "dm"]
    await wire.close_dms(MEMBER)
    assert not await delivery.tell(private("dead"), "It failed again.")
