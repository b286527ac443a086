"""A file that is too large becomes smaller until it is taken, and the reader is told what was done."""

import io

import pytest
from deliveries import AT_ONCE, a_job, a_result
from PIL import Image

from tilestep.bot.delivery import Delivery
from tilestep.bot.errors import Undeliverable
from tilestep.bot.requests import UpscaleOptions

CHANNEL = 1001


@pytest.fixture
async def delivery(client, wire):
    await wire.channel(CHANNEL)
    return Delivery(client, retry=AT_ONCE)


async def test_what_does_not_fit_by_the_guilds_limit_is_never_sent(delivery, wire, tmp_path):
    posted = await delivery.post(a_job(CHANNEL, upload_limit_bytes=20_000), a_result(tmp_path, side_px=100))
    [message] = await wire.messages(CHANNEL)
    assert posted.format == "webp"
    assert posted.attachment_bytes[0] <= 20_000
    assert "Posted as" in message["content"]
    assert await statuses(wire) == [200]


async def test_a_413_is_answered_with_the_next_smaller_and_said(delivery, wire, tmp_path):
    await wire.channel(CHANNEL, limit_bytes=270_000)
    job = a_job(CHANNEL)
    posted = await delivery.post(job, a_result(tmp_path, side_px=320))
    [message] = await wire.messages(CHANNEL)
    data = await wire.file(message["attachments"][0])
    assert Image.open(io.BytesIO(data)).format == "WEBP"
    assert message["attachments"][0]["filename"] == f"cat_2x-{job.id}.webp"
    assert (posted.format, posted.attachment_bytes) == ("webp", (len(data),))
    assert "WebP" in message["content"]
    assert "0.25 MiB" in message["content"]
    assert await statuses(wire) == [413, 200]


async def test_of_several_pictures_only_those_that_are_too_large_change(delivery, wire, tmp_path):
    await wire.channel(CHANNEL, limit_bytes=270_000)
    small, large = a_result(tmp_path / "small", 64), a_result(tmp_path / "large", 320)
    both = type(small)((*small.pictures, *large.pictures))
    await delivery.post(a_job(CHANNEL), both)
    [message] = await wire.messages(CHANNEL)
    assert [file["filename"].rpartition(".")[2] for file in message["attachments"]] == ["png", "webp"]


async def test_413_after_413_goes_down_to_a_smaller_picture(delivery, wire, tmp_path):
    await wire.fault(status=413, code=40005, times=2)
    await delivery.post(a_job(CHANNEL), a_result(tmp_path, side_px=700))
    [message] = await wire.messages(CHANNEL)
    assert message["attachments"][0]["size"] <= 512 << 10
    assert await statuses(wire) == [413, 413, 200]


async def test_when_nothing_is_small_enough_it_is_said(delivery, wire, tmp_path):
    await wire.fault(status=413, code=40005, times=9)
    with pytest.raises(Undeliverable, match="in no size that is worth posting") as caught:
        await delivery.post(a_job(CHANNEL), a_result(tmp_path, side_px=320))
    assert not caught.value.again_later
    assert await statuses(wire) == [413, 413]
    assert [path.name for path in tmp_path.iterdir()] == ["picture-0.png"]


async def test_a_413_that_comes_before_the_upload_is_over_is_understood(delivery, wire, tmp_path):
    await wire.fault(status=413, code=40005, when="early")
    await delivery.post(a_job(CHANNEL), a_result(tmp_path, side_px=600))
    assert len(await wire.messages(CHANNEL)) == 1


async def test_the_format_that_was_asked_for_is_the_one_that_comes(delivery, wire, tmp_path):
    job = a_job(CHANNEL, options=UpscaleOptions(format="jpeg"))
    posted = await delivery.post(job, a_result(tmp_path))
    [message] = await wire.messages(CHANNEL)
    assert message["attachments"][0]["filename"] == f"cat_2x-{job.id}.jpg"
    assert posted.format == "jpeg"


async def statuses(wire):
    return [status for _, _, status in await wire.requests("POST", "/messages")]
