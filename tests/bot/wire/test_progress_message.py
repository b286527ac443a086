"""One progress message a job: posted once, edited, and gone at the end or left with a word; never a reason to fail."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from deliveries import AT_ONCE, MEMBER, a_job

from tilestep.bot.delivery import Delivery
from tilestep.bot.ports import JobProgress
from tilestep.bot.requests import Reply

CHANNEL = 1001
WAITING, HALF = JobProgress("waiting", ahead=3), JobProgress("working", 5, 10)
JPEG, PNG = b"\xff\xd8\xff first", b"\x89PNG second"


@pytest.fixture
async def deliveries(client, wire):
    """Makes one more, as a restart does."""
    await wire.channel(CHANNEL)
    return lambda: Delivery(client, retry=AT_ONCE)


@pytest.fixture
async def delivery(deliveries):
    return deliveries()


async def test_it_is_one_message_that_is_edited_and_then_gone(delivery, wire):
    source = await wire.member_posts(CHANNEL, MEMBER)
    job = a_job(CHANNEL, source_channel_id=CHANNEL, source_message_id=source)
    first = await delivery.show_progress(job, WAITING)
    [message] = await wire.messages(CHANNEL)
    assert "3 ahead" in message["content"]
    assert int(message["message_reference"]["message_id"]) == source
    assert await delivery.show_progress(job, HALF) == first == int(message["id"])
    [message] = await wire.messages(CHANNEL)
    assert "50 %" in message["content"]
    assert message["allowed_mentions"] == {"parse": []}
    await delivery.end_progress(job)
    assert await wire.messages(CHANNEL) == []


async def test_a_preview_stays_until_there_is_a_newer_one(delivery, wire):
    job = a_job(CHANNEL, spoiler=True)
    await delivery.show_progress(job, replace(HALF, preview=JPEG))
    await delivery.show_progress(job, HALF)
    assert await previews(wire) == [("SPOILER_preview.jpg", JPEG)]
    await delivery.show_progress(job, replace(HALF, preview=PNG))
    assert await previews(wire) == [("SPOILER_preview.png", PNG)]


async def test_the_last_word_is_left_without_the_preview(delivery, wire):
    job = a_job(CHANNEL)
    await delivery.show_progress(job, replace(HALF, preview=JPEG))
    await wire.fault(method="PATCH", path="*", status=503, times=2)
    await delivery.end_progress(job, "Cancelled.")
    [message] = await wire.messages(CHANNEL)
    assert message["content"] == f"<@{MEMBER}> Cancelled.\n-# Job {job.id}"
    assert (message["attachments"], message["components"]) == ([], [])


async def test_after_a_restart_the_message_of_the_row_is_edited(deliveries, wire):
    job = a_job(CHANNEL)
    first = await deliveries().show_progress(job, WAITING)
    row = replace(job, progress_channel_id=CHANNEL, progress_message_id=first)
    again = deliveries()
    assert await again.show_progress(row, HALF) == first
    await deliveries().end_progress(row)
    assert await wire.messages(CHANNEL) == []


async def test_a_message_that_no_row_knows_of_is_found_after_a_crash(deliveries, wire):
    job = a_job(CHANNEL)
    job = replace(job, created_at=job.created_at - timedelta(minutes=1))
    first = await deliveries().show_progress(job, WAITING)
    await wire.forget_nonces()
    assert await deliveries().show_progress(job, HALF) == first
    assert len(await wire.messages(CHANNEL)) == 1


@pytest.mark.parametrize("row", ["knows", "does not"])
async def test_a_message_that_somebody_deleted_does_not_come_back(delivery, wire, row):
    job = a_job(CHANNEL)
    first = await delivery.show_progress(job, WAITING)
    await delivery.delete_message(CHANNEL, first)
    job = replace(job, progress_message_id=first) if row == "knows" else job
    assert await delivery.show_progress(job, HALF) is None
    assert await delivery.show_progress(replace(job, progress_message_id=None), HALF) is None
    await delivery.end_progress(job, "Over.")
    assert await wire.messages(CHANNEL) == []
    assert len(await wire.requests("PATCH")) == 1


async def test_a_channel_that_refuses_is_asked_once(delivery, wire):
    await wire.channel(CHANNEL, refuse=[403, 50013])
    job = a_job(CHANNEL)
    assert await delivery.show_progress(job, WAITING) is None
    assert await delivery.show_progress(job, HALF) is None
    assert len(await wire.requests("POST", "/messages")) == 1


async def test_trouble_that_passes_costs_one_update(delivery, wire):
    job = a_job(CHANNEL)
    await wire.fault(do="cut")
    assert await delivery.show_progress(job, WAITING) is None
    first = await delivery.show_progress(job, WAITING)
    await wire.fault(method="PATCH", path="*", status=503)
    assert await delivery.show_progress(job, HALF) == first
    assert await delivery.show_progress(job, HALF) == first
    assert "50 %" in (await wire.messages(CHANNEL))[0]["content"]


async def test_private_progress_is_the_answer_to_the_command(delivery, wire):
    await wire.token("abc", CHANNEL)
    job = a_job(CHANNEL, private=True, reply=Reply(9, "abc", time.time() + 900))
    assert await delivery.show_progress(job, replace(HALF, preview=JPEG)) is not None
    assert await previews(wire) == [("preview.jpg", JPEG)]
    await delivery.end_progress(job)
    assert len(await wire.messages()) == 1
    await delivery.end_progress(job, "Cancelled.")
    assert (await wire.messages())[0]["content"].startswith("Cancelled.")
    assert await wire.requests("POST", "/messages") == []


async def test_private_progress_ends_with_the_token_and_goes_nowhere_else(delivery, wire):
    job = a_job(CHANNEL, private=True, reply=Reply(9, "abc", time.time() + 900))
    assert await delivery.show_progress(job, WAITING) is None
    late = a_job(CHANNEL, private=True, reply=Reply(9, "abc", time.time()))
    assert await delivery.show_progress(late, WAITING) is None
    await delivery.end_progress(late, "Over.")
    assert await wire.messages() == []


async def previews(wire):
    [message] = await wire.messages()
    return [(file["filename"], await wire.file(file)) for file in message["attachments"]]
