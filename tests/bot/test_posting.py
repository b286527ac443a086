"""What an answer of Discord asks for, how long to wait, names and nonces: numbers and words, no network."""

from dataclasses import replace

import pytest
from deliveries import a_job

from tilestep.bot.posting import (
    Retry,
    Verdict,
    carries,
    file_name,
    may_pass,
    progress_nonce,
    result_nonce,
    smaller_limit,
    verdict,
    why,
    words_nonce,
)
from tilestep.bot.requests import ImagineOptions


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (413, 0, Verdict.SMALLER),
        (400, 40005, Verdict.SMALLER),
        (429, 0, Verdict.AGAIN),
        (500, 0, Verdict.AGAIN),
        (503, 0, Verdict.AGAIN),
        (403, 160002, Verdict.NO_REPLY),
        (400, 50083, Verdict.ARCHIVED),
        (404, 10008, Verdict.DELETED),
        (404, 10003, Verdict.ELSEWHERE),
        (403, 50013, Verdict.ELSEWHERE),
        (401, 0, Verdict.ELSEWHERE),
        (400, 50035, Verdict.ELSEWHERE),
    ],
)
def test_each_answer_has_one_meaning(status, code, expected):
    assert verdict(status, code) is expected


def test_waits_double_up_to_a_minute_and_end():
    waits = [Retry().wait_s(tried) for tried in range(1, 11)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, None]


def test_no_wait_is_shorter_than_discord_says():
    assert Retry().wait_s(1, 30.0) == 30.0
    assert Retry().wait_s(3, 0.5) == 4.0


def test_limits_go_down_and_end():
    size, limits = 200 << 20, []
    while (size := smaller_limit(size)) is not None:
        limits.append(size)
    assert limits == sorted(limits, reverse=True)
    assert {10 << 20, 20_000_000} < set(limits)
    assert limits[-1] == 256 << 10


def test_missing_permissions_are_named_where_they_are_the_reason():
    assert "missing permission: Attach Files" in why(50013, "", ("Attach Files",))
    assert "missing" not in why(10003, "", ("Attach Files",))
    assert may_pass(50013)
    assert not may_pass(10003)


def test_words_of_discord_are_passed_on_where_there_are_none_of_ours():
    assert why(1234, " Strange ") == "Discord refused it there (Strange)"
    assert "\n" not in why(1234, "One\nline")
    assert len(why(1234, "x" * 999)) < 300
    assert why(1234, "") == "Discord refused it there (1234)"


def test_nonces_fit_and_differ():
    job = a_job(1)
    nonces = [result_nonce(job), progress_nonce(job), words_nonce(job, "a"), words_nonce(job, "b")]
    assert len(set(nonces)) == 4
    assert max(map(len, nonces)) <= 25
    assert words_nonce(job, "a") == words_nonce(replace(job, attempts=2), "a")


@pytest.mark.parametrize(
    "source", ["cat.png", "SPOILER_cat.png", "../../cat.webp", "CON", None, "é" * 300, "a" * 300 + ".png"]
)
@pytest.mark.parametrize("count", [1, 10])
def test_every_name_is_found_again_by_its_job_alone(source, count):
    job, other = a_job(1, source_filename=source), a_job(1)
    names = {file_name(job, number, count, "webp") for number in range(count)}
    assert len(names) == count
    assert all(carries(name, job.id) and len(name) <= 60 and not carries(name, other.id) for name in names)


def test_names_do_not_grow_from_result_to_result():
    first = a_job(1)
    name = file_name(first, 0, 1, "png")
    heir = a_job(1, source_filename=name)
    again = file_name(heir, 0, 1, "jpeg")
    assert again == f"cat_2x-{heir.id}.jpg"
    assert not carries(again, first.id)


def test_new_pictures_have_names_too():
    job = replace(a_job(1, options=ImagineOptions("a cat"), source_filename=None), kind="imagine")
    assert file_name(job, 2, 4, "png") == f"imagine-{job.id}-2.png"
