"""What our messages say: bars, times, facts; and that nothing in a stranger's text does anything."""

from dataclasses import replace
from pathlib import Path

import pytest
from deliveries import MEMBER, a_job

from tilestep.bot.ports import JobProgress, Result, ResultPicture
from tilestep.bot.progress import (
    as_code,
    bar,
    elsewhere_text,
    progress_mark,
    progress_text,
    result_text,
    time_left,
    told_text,
)
from tilestep.bot.requests import ImagineOptions, UpscaleOptions

RESULT = Result((ResultPicture(Path("x.png"), 16, 16, ""),))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0, "a few seconds left"),
        (41, "about 40 s left"),
        (100, "about 2 min left"),
        (3600, "about 60 min left"),
        (7500, "about 2 h 5 min left"),
    ],
)
def test_time_left_is_said_as_people_say_it(seconds, words):
    assert time_left(seconds) == words


def test_a_bar_is_full_when_everything_is_done_and_not_before():
    assert bar(0, 10) == "▱" * 16
    assert bar(9_999, 10_000).endswith("▱")
    assert bar(10, 10) == bar(11, 10) == "▰" * 16
    assert bar(0, 0) == "▱" * 16


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (JobProgress("waiting", ahead=2, seconds_left=41), "Waiting, 2 ahead, about 40 s left"),
        (JobProgress("waiting"), "Next in line"),
        (JobProgress("working", 1, 4), "▰▰▰▰▱▱▱▱▱▱▱▱▱▱▱▱ 25 %"),
        (JobProgress("posting", 4, 4), "being posted"),
    ],
)
def test_progress_says_where_the_job_stands(progress, words):
    job = a_job(1)
    text = progress_text(job, progress)
    assert text.startswith(f"<@{MEMBER}> Upscaling 2x")
    assert words in text
    assert text.endswith(progress_mark(job.id))


def test_a_result_tells_how_it_was_made():
    job = a_job(1, options=UpscaleOptions(quality="best", steps=4, seed=7))
    lines = result_text(job, replace(RESULT, note="A note."), ["As WebP.", "As WebP.", ""]).splitlines()
    assert lines == [
        f"<@{MEMBER}> Upscaled 2x",
        f"-# 8x8 to 16x16 · quality best · 4 steps · seed 7 · 1.5 s of computing · job {job.id}",
        "-# A note.",
        "-# As WebP.",
    ]


def test_a_new_picture_tells_its_prompt_and_model():
    job = a_job(1, options=ImagineOptions("a cat", steps=4, seed=0), recipe={"model": "some/model", "guidance": 0.0})
    text = result_text(job, RESULT)
    assert f"<@{MEMBER}> `a cat`" in text
    assert "16x16 · model `some/model` · 4 steps · guidance 0.0 · seed 0" in text


@pytest.mark.parametrize(
    "text",
    ["@everyone <@1> [a](https://b.example) # x", "`` ` ``", "a\n# big\n-# small", "\u202egnp.exe", "", "x" * 5000],
)
def test_a_strangers_text_is_one_line_of_code(text):
    code = as_code(text, 100)
    assert code.startswith("`")
    assert code.endswith("`")
    assert code.count("`") == 2
    assert "\n" not in code
    assert "\u202e" not in code
    assert 3 <= len(code) <= 102


def test_no_message_is_longer_than_discord_takes_and_the_job_is_always_named():
    job = a_job(1)
    assert len(told_text(job, "x" * 5000)) == 2000
    assert told_text(job, "x" * 5000).endswith(f"Job {job.id}")
    assert len(result_text(job, replace(RESULT, note="x" * 5000))) == 2000


def test_why_it_is_elsewhere_is_said_only_where_it_is():
    job = a_job(5)
    assert elsewhere_text(job, "channel", "the moon is full") == ""
    assert elsewhere_text(job, "dm", "that channel is gone").startswith("It was asked for in <#5>.")
    assert "<#" not in elsewhere_text(replace(job, private=True), "dm", "it took too long")
