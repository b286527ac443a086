"""A result is there once, whatever happens on the way: crashes, cut connections, answers that are no answers."""

import asyncio
import hashlib
from dataclasses import replace

import pytest
from deliveries import AT_ONCE, MEMBER, a_job, a_result

from tilestep.bot.delivery import Delivery
from tilestep.bot.errors import Undeliverable

CHANNEL = 1001


@pytest.fixture
async def delivery(client, wire):
    await wire.channel(CHANNEL)
    return Delivery(client, retry=AT_ONCE)


async def test_the_picture_arrives_byte_by_byte_as_a_reply_to_its_source(delivery, wire, tmp_path):
    source = await wire.member_posts(CHANNEL, MEMBER)
    job = a_job(CHANNEL, source_channel_id=CHANNEL, source_message_id=source)
    result = a_result(tmp_path)
    posted = await delivery.post(job, result)
    [message] = await wire.messages(CHANNEL)
    [attachment] = message["attachments"]
    data = result.pictures[0].path.read_bytes()
    assert attachment["sha256"] == hashlib.sha256(data).hexdigest()
    assert attachment["filename"] == f"cat_2x-{job.id}.png"
    assert attachment["description"] == "Noise 0"
    assert int(message["message_reference"]["message_id"]) == source
    assert not message["message_reference"]["fail_if_not_exists"]
    assert (posted.message_id, posted.channel_id) == (int(message["id"]), CHANNEL)
    assert (posted.attachment_bytes, posted.format, posted.elsewhere) == ((len(data),), "png", "")
    assert message["nonce"] == job.id


async def test_ten_pictures_are_one_message_in_their_order(delivery, wire, tmp_path):
    job = a_job(CHANNEL)
    posted = await delivery.post(job, a_result(tmp_path, count=10))
    [message] = await wire.messages(CHANNEL)
    assert [file["filename"] for file in message["attachments"]] == [f"cat_2x-{job.id}-{n}.png" for n in range(10)]
    assert len(posted.attachment_bytes) == 10


async def test_a_first_send_looks_for_nothing(delivery, wire, tmp_path):
    await delivery.post(a_job(CHANNEL), a_result(tmp_path))
    assert await wire.requests("GET", "/messages") == []


@pytest.mark.parametrize("nonces", ["known", "forgotten"])
async def test_a_crash_between_the_send_and_the_row_posts_nothing_twice(client, wire, tmp_path, nonces):
    await wire.channel(CHANNEL)
    job, result = a_job(CHANNEL), a_result(tmp_path)
    first = await Delivery(client, retry=AT_ONCE).post(job, result)
    for _ in range(120):
        await wire.member_posts(CHANNEL, MEMBER, f"talk of cat_2x-{job.id}.png")
    if nonces == "forgotten":
        await wire.forget_nonces()
    again = Delivery(client, retry=AT_ONCE)
    second = await again.post(marked(job), result)
    assert (second.message_id, second.attachment_bytes) == (first.message_id, first.attachment_bytes)
    assert len(await wire.messages(CHANNEL)) == 1
    assert len(await wire.requests("POST", "/messages")) == 1


async def test_a_result_of_the_result_is_not_taken_for_it(client, wire, tmp_path, delivery):
    first = a_job(CHANNEL)
    name = f"cat_2x-{first.id}.png"
    heir = a_job(CHANNEL, source_filename=name, parent_job_id=first.id)
    await delivery.post(heir, a_result(tmp_path))
    await delivery.post(marked(first), a_result(tmp_path))
    names = [message["attachments"][0]["filename"] for message in await wire.messages(CHANNEL)]
    assert names == [f"cat_2x-{heir.id}.png", name]


async def test_where_old_messages_cannot_be_read_the_nonce_still_holds(delivery, wire, tmp_path):
    await wire.channel(CHANNEL, reads=False)
    job = a_job(CHANNEL)
    first = await delivery.post(job, a_result(tmp_path))
    second = await delivery.post(marked(job), a_result(tmp_path))
    assert first.message_id == second.message_id
    assert len(await wire.messages(CHANNEL)) == 1


@pytest.mark.parametrize("nonces", ["known", "forgotten"])
async def test_an_answer_that_is_lost_is_not_asked_for_twice(delivery, wire, tmp_path, nonces):
    job, result = a_job(CHANNEL), a_result(tmp_path)
    fault = await wire.fault(do="hold", when="after")
    posting = asyncio.create_task(delivery.post(job, result))
    await wire.arrived(fault)
    if nonces == "forgotten":
        await wire.forget_nonces()
    await wire.release(fault, drop=True)
    posted = await posting
    [message] = await wire.messages(CHANNEL)
    assert posted.message_id == int(message["id"])


async def test_a_connection_cut_in_mid_upload_is_tried_again(delivery, wire, tmp_path):
    result = a_result(tmp_path, side_px=1200)
    await wire.fault(do="cut", when="early", read_bytes=100_000, times=2)
    await delivery.post(a_job(CHANNEL), result)
    [message] = await wire.messages(CHANNEL)
    assert message["attachments"][0]["size"] == result.pictures[0].path.stat().st_size
    assert [status for _, _, status in await wire.requests("POST", "/messages")] == [0, 0, 200]


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_fault_of_discord_is_waited_out(delivery, wire, tmp_path, status, when):
    await wire.fault(status=status, when=when)
    await delivery.post(a_job(CHANNEL), a_result(tmp_path))
    assert len(await wire.messages(CHANNEL)) == 1


async def test_a_429_is_waited_out_as_told(delivery, wire, tmp_path):
    await wire.fault(status=429, retry_after=0.01, times=3)
    await delivery.post(a_job(CHANNEL), a_result(tmp_path))
    assert [status for _, _, status in await wire.requests("POST", "/messages")] == [429, 429, 429, 200]


async def test_when_discord_stays_away_the_result_waits(delivery, wire, tmp_path):
    await wire.fault(status=503, times=4)
    with pytest.raises(Undeliverable, match="cannot be reached at the moment") as caught:
        await delivery.post(a_job(CHANNEL), a_result(tmp_path))
    assert caught.value.again_later
    assert len(await wire.requests("POST", "/messages")) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["picture-0.png"]


async def test_what_somebody_deleted_meanwhile_is_not_posted_anew(delivery, wire, tmp_path):
    job = a_job(CHANNEL)
    posted = await delivery.post(job, a_result(tmp_path))
    assert await delivery.delete_message(CHANNEL, posted.message_id)
    with pytest.raises(Undeliverable, match="deleted it since"):
        await delivery.post(marked(job), a_result(tmp_path))
    assert await wire.messages(CHANNEL) == []


async def test_deleting_what_is_gone_is_no_failure_and_what_is_refused_is_one(delivery, wire):
    assert await delivery.delete_message(CHANNEL, 5)
    await wire.fault(method="DELETE", path="*", status=403, code=50013)
    assert not await delivery.delete_message(CHANNEL, 5)


async def test_words_are_told_once(client, wire, delivery):
    job = a_job(CHANNEL)
    assert await delivery.tell(job, "The picture is no picture.")
    await wire.forget_nonces()
    assert await Delivery(client, retry=AT_ONCE).tell(job, "The picture is no picture.")
    [message] = await wire.messages(CHANNEL)
    assert message["content"] == f"<@{MEMBER}> The picture is no picture.\n-# Job {job.id}"
    assert await delivery.tell(job, "Other words.")
    assert len(await wire.messages(CHANNEL)) == 2


def marked(job):
    """The job as its row is once a send was begun."""
    return replace(job, posting=True)
