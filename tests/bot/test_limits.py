"""Each limit refuses what is just outside and takes what is just inside, by every way in, and says what would pass."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, get_args

import pytest

from tilestep.bot.limits import Ask, GuildLimits, largest_scale, refusal
from tilestep.bot.requests import Actor, Place, Via
from tilestep.bot.settings import Settings

ADA, BEN = Actor(1, frozenset({50, 51})), 2
HERE = Place(guild_id=3, channel_id=5)
THREAD = Place(guild_id=3, channel_id=6, parent_channel_id=5)
DIRECT = Place(guild_id=None, channel_id=9)
OPERATOR = Settings(
    max_input_megapixels=16,
    max_output_megapixels=64,
    max_scale=8,
    max_steps=20,
    max_jobs_at_once=20,
    max_gpu_seconds_per_day=86400,
    queue_limit=100,
    max_image_steps=60,
    max_image_side_px=2048,
    max_image_count=4,
)
UPSCALE = Ask(ADA, HERE, "upscale", input_px=(512, 512))
IMAGINE = Ask(ADA, HERE, "imagine", prompt="a fox", image_px=(512, 512), image_steps=20)


def ask(base: Ask = UPSCALE, **facts: Any) -> Ask:
    return replace(base, **facts)


def limits(**values: Any) -> GuildLimits:
    return replace(GuildLimits(), **values)


CASES: dict[str, tuple[GuildLimits, Ask, Ask, str]] = {
    "max_input_megapixels": (
        limits(),
        ask(input_px=(2100, 2001)),
        ask(input_px=(2100, 2000)),
        "The picture has 4.21 megapixels (2100x2001), up to 4.2 are allowed here: "
        "for 2x send one of at most 2099x2000.",
    ),
    "max_output_megapixels": (
        limits(),
        ask(input_px=(1031, 1031), scale=4),
        ask(input_px=(1030, 1030), scale=4),
        "4x of 1031x1031 makes 17.01 megapixels, up to 17 are allowed here: "
        "choose 2x, or send a picture of at most 1030x1030.",
    ),
    "max_output_megapixels of new pictures": (
        limits(max_output_megapixels=1.0),
        ask(IMAGINE, image_px=(1001, 1000)),
        ask(IMAGINE, image_px=(1000, 1000)),
        "1001x1000 makes 1.01 megapixels, up to 1 are allowed here: choose at most 1000x999.",
    ),
    "max_scale": (
        limits(),
        ask(scale=8),
        ask(scale=4),
        "A scale of 8x is not possible here: choose 2x or 4x.",
    ),
    "best_quality": (
        limits(best_quality="balanced"),
        ask(quality="best"),
        ask(quality="balanced"),
        'The quality "best" is more than is allowed here: choose fast, faithful or balanced.',
    ),
    "max_steps": (
        limits(),
        ask(steps=9),
        ask(steps=8),
        "9 steps are not possible here: choose 0 to 8.",
    ),
    "jobs_at_once": (
        limits(),
        ask(open_jobs=3),
        ask(open_jobs=2),
        "3 of your jobs are under way, and 3 at once may be here: wait until one is done, or cancel one.",
    ),
    "gpu_seconds_per_day": (
        limits(),
        ask(gpu_seconds_today=600.0),
        ask(gpu_seconds_today=599.9),
        "You have used 600 s of computing time today, and 600 s a day are allowed here: "
        "the count starts again at 0:00 UTC.",
    ),
    "allowed_role_ids": (
        limits(allowed_role_ids=frozenset({51, 60})),
        ask(actor=Actor(1, frozenset({50}))),
        ask(actor=ADA),
        "Your roles do not allow this here: you need <@&51> or <@&60>.",
    ),
    "allowed_channel_ids": (
        limits(allowed_channel_ids=frozenset({5})),
        ask(place=Place(guild_id=3, channel_id=6, parent_channel_id=7)),
        ask(place=THREAD),
        "This does not work in <#7>: go to <#5>.",
    ),
    "blocked_words": (
        limits(blocked_words=("gore",)),
        ask(IMAGINE, prompt="A fox, GORE, oil"),
        ask(IMAGINE, prompt="A fox, gorey, oil"),
        'The prompt has "gore", which is not allowed here: leave it out.',
    ),
    "blocked_words of a recipe": (
        limits(blocked_words=("gore",)),
        ask(prompt="gore"),
        ask(prompt="gorey"),
        'The prompt has "gore", which is not allowed here: leave it out.',
    ),
    "who_may_click": (
        limits(who_may_click="owner"),
        ask(source_author_id=BEN),
        ask(source_author_id=ADA.id),
        "Only who asked for a picture may have it enlarged here: <@2> can do it.",
    ),
    "blocked": (
        limits(),
        ask(blocked=True),
        ask(),
        "The admins of this server have blocked you from this bot: ask them.",
    ),
    "permission": (
        limits(),
        ask(place=replace(HERE, missing_permissions=("Attach Files", "Embed Links"))),
        ask(),
        "I cannot post pictures in this channel: an admin has to give me Attach Files and Embed Links here.",
    ),
    "age_restricted": (
        limits(),
        ask(source_age_restricted=True),
        ask(source_age_restricted=True, place=replace(HERE, age_restricted=True)),
        "This picture is from an age-restricted channel: use it in one of those.",
    ),
    "jobs_at_once of the operator": (
        limits(),
        ask(open_jobs_everywhere=20),
        ask(open_jobs_everywhere=19),
        "20 of your jobs are under way, and 20 at once may be in all places together: "
        "wait until one is done, or cancel one.",
    ),
    "gpu_seconds_per_day of the operator": (
        limits(),
        ask(gpu_seconds_everywhere=86400.0),
        ask(gpu_seconds_everywhere=86399.0),
        "You have used 86400 s of computing time today, and 86400 s a day are allowed in all places together: "
        "the count starts again at 0:00 UTC.",
    ),
    "queue": (
        limits(),
        ask(jobs_waiting=100),
        ask(jobs_waiting=99),
        "100 jobs are waiting, and no more than 100 may: try again in a few minutes.",
    ),
    "max_image_side_px": (
        limits(),
        ask(IMAGINE, image_px=(2049, 64)),
        ask(IMAGINE, image_px=(2048, 64)),
        "A picture of 2049x64 is not possible here: choose sides of 1 to 2048 pixels.",
    ),
    "max_image_steps": (
        limits(),
        ask(IMAGINE, image_steps=51),
        ask(IMAGINE, image_steps=50),
        "51 steps are not possible here: choose 1 to 50.",
    ),
    "max_image_count": (
        limits(),
        ask(IMAGINE, count=5),
        ask(IMAGINE, count=4),
        "5 pictures at once are not possible here: choose 1 to 4.",
    ),
}
WITHOUT_A_BOUND = {"default_quality", "keep_originals"}


@pytest.mark.parametrize("via", get_args(Via))
@pytest.mark.parametrize("case", CASES)
def test_a_limit_refuses_in_words_what_is_just_outside(case: str, via: Via) -> None:
    of_guild, outside, _, text = CASES[case]
    refused = refusal(replace(outside, via=via), of_guild, OPERATOR)
    assert refused is not None
    assert (refused.code, str(refused)) == (case.split(" of ")[0], text)


@pytest.mark.parametrize("via", get_args(Via))
@pytest.mark.parametrize("case", CASES)
def test_a_limit_lets_in_what_is_just_inside(case: str, via: Via) -> None:
    of_guild, _, inside, _ = CASES[case]
    assert refusal(replace(inside, via=via), of_guild, OPERATOR) is None


def test_no_limit_goes_untested() -> None:
    tested = {case.split(" of ")[0] for case in CASES}
    assert {field.name for field in fields(GuildLimits)} - tested == WITHOUT_A_BOUND


OPERATORS = {
    "max_input_megapixels": 1.0,
    "max_output_megapixels": 2.0,
    "max_scale": 2,
    "max_steps": 3,
    "max_image_steps": 30,
    "max_jobs_at_once": 2,
    "max_gpu_seconds_per_day": 60.0,
}


def drawing(**facts: Any) -> dict[str, Any]:
    return {"kind": "imagine", "input_px": None, **facts}


@pytest.mark.parametrize(
    ("bound", "outside", "inside"),
    [
        ("max_input_megapixels", {"input_px": (1001, 1000)}, {"input_px": (500, 500)}),
        ("max_output_megapixels", {"input_px": (708, 708)}, {"input_px": (707, 707)}),
        ("max_scale", {"scale": 4}, {"scale": 2}),
        ("max_steps", {"steps": 4}, {"steps": 3}),
        ("max_image_steps", drawing(image_steps=31), drawing(image_steps=30)),
        ("max_jobs_at_once", {"open_jobs": 2}, {"open_jobs": 1}),
        ("max_gpu_seconds_per_day", {"gpu_seconds_today": 60.0}, {"gpu_seconds_today": 59.0}),
    ],
)
def test_the_operators_own_bound_holds_whatever_a_guild_allows(bound: str, outside: Any, inside: Any) -> None:
    generous = limits(
        max_input_megapixels=900.0,
        max_output_megapixels=900.0,
        max_scale=8,
        max_steps=50,
        max_image_steps=60,
        jobs_at_once=99,
        gpu_seconds_per_day=9999.0,
    )
    operator = OPERATOR.model_copy(update={bound: OPERATORS[bound]})
    assert refusal(ask(**outside), generous, operator) is not None
    assert refusal(ask(**inside), generous, operator) is None
    assert refusal(ask(**outside), generous, OPERATOR) is None


def test_the_defaults_let_a_picture_of_1024_be_doubled_twice_and_no_further() -> None:
    defaults = Settings()
    for side_px in (1024, 2048):
        assert refusal(ask(input_px=(side_px, side_px)), GuildLimits(), defaults) is None
    assert refusal(ask(input_px=(4096, 4096)), GuildLimits(), defaults) is not None
    assert refusal(ask(IMAGINE, image_px=(1024, 1024)), GuildLimits(), defaults) is None


def test_a_guilds_roles_and_channels_do_not_matter_in_direct_messages() -> None:
    of_guild = limits(allowed_role_ids=frozenset({99}), allowed_channel_ids=frozenset({98}))
    assert refusal(ask(place=DIRECT), of_guild, OPERATOR) is None


def test_a_picture_of_nobody_in_particular_is_everybodys() -> None:
    assert refusal(ask(source_author_id=None), limits(who_may_click="owner"), OPERATOR) is None


def test_an_early_question_without_a_size_is_judged_by_all_the_rest() -> None:
    assert refusal(ask(input_px=None), limits(), OPERATOR) is None
    refused = refusal(ask(input_px=None, scale=8), limits(), OPERATOR)
    assert refused is not None
    assert refused.code == "max_scale"


def test_a_job_without_a_quality_gets_the_usual_one_or_the_best_allowed() -> None:
    assert limits().usual_quality == "balanced"
    assert limits(best_quality="fast").usual_quality == "fast"
    assert limits(default_quality="best").usual_quality == "best"
    assert refusal(ask(quality=None), limits(best_quality="fast"), OPERATOR) is None


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"quality": "superb"}, 'There is no quality "superb": choose fast, faithful, balanced or best.'),
        ({"scale": 3}, "A scale of 3x is not possible here: choose 2x or 4x."),
        ({"scale": 0}, "A scale of 0x is not possible here: choose 2x or 4x."),
        ({"scale": -2}, "A scale of -2x is not possible here: choose 2x or 4x."),
        ({"steps": -1}, "-1 steps are not possible here: choose 0 to 8."),
    ],
)
def test_options_that_do_not_exist_are_refused_with_what_does(facts: Any, text: str) -> None:
    assert str(refusal(ask(**facts), limits(), OPERATOR)) == text


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"image_px": (0, 512)}, "A picture of 0x512 is not possible here: choose sides of 1 to 2048 pixels."),
        ({"image_px": (-1, -1)}, "A picture of -1x-1 is not possible here: choose sides of 1 to 2048 pixels."),
        ({"image_steps": 0}, "0 steps are not possible here: choose 1 to 50."),
        ({"count": 0}, "0 pictures at once are not possible here: choose 1 to 4."),
    ],
)
def test_new_pictures_that_cannot_be_are_refused(facts: Any, text: str) -> None:
    assert str(refusal(ask(IMAGINE, **facts), limits(), OPERATOR)) == text


def test_many_roles_are_not_all_listed() -> None:
    refused = refusal(ask(), limits(allowed_role_ids=frozenset(range(900, 920))), OPERATOR)
    assert str(refused).endswith("<@&900>, <@&901>, <@&902>, <@&903>, <@&904> or another one of them.")


def test_a_button_knows_how_far_it_may_go_and_why_no_further() -> None:
    assert largest_scale(limits(max_scale=8), OPERATOR, 700, 700) == (
        4,
        "8x of 700x700 makes 31.36 megapixels, up to 17 are allowed here: "
        "choose 2x or 4x, or send a picture of at most 515x515.",
    )
    assert largest_scale(limits(), OPERATOR, 500, 500) == (
        4,
        "8x is not possible here, 4x is the largest scale allowed.",
    )
    assert largest_scale(limits(max_scale=8), OPERATOR, 500, 500) == (8, "")
    scale, reason = largest_scale(limits(), OPERATOR, 2062, 2062)
    assert scale is None
    assert reason.startswith("The picture has 4.26 megapixels (2062x2062)")
