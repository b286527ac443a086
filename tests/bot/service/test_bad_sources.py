"""Bad pictures, names and downloads on the way that a member's picture takes: fetched, then handed to the service.

`bad_input` tests every case of a family by itself; here some of each meet rows, files and tasks.
"""

import asyncio

import pytest
import test_bad_downloads as downloads
import test_bad_names as names
import test_bad_pictures as pictures
from plain_words import check_words, join_threads
from small_bot import GUILD, MEMBER, SmallBot, flat, wish
from strange_pictures import good

from tilestep.bot.fetch import HttpFetcher
from tilestep.bot.naming import plain_text, safe_name
from tilestep.bot.requests import SourcePicture
from tilestep.upscaler.errors import TilestepError

EACH = 5
FAMILIES = ("truncated", "bombs", "lying_headers", "wrong_types", "zero_sized", "animated")
ANSWERS = {"oversized": downloads.OVERSIZED, "slow": downloads.SLOW, "broken": downloads.BROKEN}


@pytest.fixture
async def small(tmp_path):
    """A bot that takes a megapixel."""
    async with SmallBot(tmp_path, max_input_megapixels=1.0) as bot:
        await bot.service.start()
        yield bot


def some(cases):
    """A few of a family, from its first case to its last."""
    cases = list(cases)
    return cases[:: max(1, (len(cases) - 1) // (EACH - 1))]


async def submitted(bot, answer, name="picture.png", timeout_s=60.0):
    """From an address to the end of the job: the job, or None where there is none, and what the member is told."""
    async with downloads.serving(answer) as origin:
        return await submitted_from(bot, f"{origin}/picture", name, HttpFetcher(None, {origin}, timeout_s))


async def submitted_from(bot, url, name, fetcher):
    try:
        data = await fetcher.fetch(url, 25 << 20)
        job = await bot.service.upscale(wish(source=SourcePicture(data, name)))
    except TilestepError as error:
        return None, str(error)
    finally:
        await fetcher.close()
    job = await bot.service.wait(job.id)
    return job, job.error or ""


def sending(data):
    return downloads.saying(downloads.head(Content_Length=len(data)), data)


async def check_refused(bot, tasks, job, words):
    """Words, no row or a failed one that has them, no file, and no task or thread of the attempt."""
    check_words(words)
    rows = await bot.jobs.history(MEMBER, GUILD, 50)
    assert [(row.state, row.error) for row in rows] == ([] if job is None else [("failed", words)])
    assert [row.id for row in rows] == ([] if job is None else [job.id])
    assert bot.letters.posts == []
    await check_nothing_open(bot, tasks)
    assert [path for path in (bot.settings.data_dir / "results").rglob("*") if path.is_file()] == []


async def check_nothing_open(bot, tasks):
    await asyncio.to_thread(join_threads)
    assert list((bot.settings.data_dir / "incoming").iterdir()) == []
    assert not bot.service._runner.lives
    async with asyncio.timeout(20):
        while not asyncio.all_tasks() <= tasks:  # connections that are being closed
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("family", [*FAMILIES, pytest.param("metadata_bombs", marks=pytest.mark.slow)])
async def test_a_bad_picture_leaves_words_and_nothing_else(small, family):
    tasks = asyncio.all_tasks()
    for _, data in some(getattr(pictures, family)()):
        await check_refused(small, tasks, *await submitted(small, sending(data)))


@pytest.mark.parametrize("family", ANSWERS)
async def test_a_bad_download_leaves_words_and_nothing_else(small, family):
    tasks = asyncio.all_tasks()
    for answer in some(ANSWERS[family].values()):
        found = await submitted(small, answer, timeout_s=0.25 if family == "slow" else 60.0)
        await check_refused(small, tasks, *found)


async def test_an_address_that_is_not_discords_leaves_words_and_nothing_else(small):
    tasks = asyncio.all_tasks()
    for url in some(downloads.FOREIGN):
        await check_refused(small, tasks, *await submitted_from(small, url, "x.png", HttpFetcher()))


async def test_a_hostile_name_does_no_harm_to_the_job(small):
    tasks = asyncio.all_tasks()
    for name in some(names.HOSTILE):
        job, words = await submitted(small, sending(flat(8, 8)), name)
        assert (job.state, words) == ("delivered", ""), name
        kept = {path.name for path in small.files.folder(job.id).iterdir()}
        original = safe_name(f"original-{safe_name(plain_text(name))}")
        assert {job.result[0].name} <= kept <= {job.result[0].name, original}, name
        assert job.result[0].name.endswith(f"_2x-{job.id}.png")
        await check_nothing_open(small, tasks)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff"])
async def test_damage_that_is_found_late_ends_in_a_failed_row_with_the_same_words(small, kind, monkeypatch):
    """The bytes in the database are damaged after they were looked at."""
    tasks, source = asyncio.all_tasks(), small.jobs.source

    async def damaged(job_id):
        return (await source(job_id))[:200]

    monkeypatch.setattr(small.jobs, "source", damaged)
    job, words = await submitted(small, sending(good()[kind]))
    await check_refused(small, tasks, job, words)
    assert small.letters.words_for(job.id) == [words]
