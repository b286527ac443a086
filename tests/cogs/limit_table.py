"""What each limit refuses and what it lets in, by every way in; and where a limit cannot be met, why not.

A side of a case is what is set (`limits`), how things stand (`open_jobs`, `blocked`, `paused`) and what is wished for.
Alice is a painter and no artist, and has used `world.used_s` GPU seconds today; the drawn picture is "a red fox" of
128x96 pixels in 2 steps, and hers.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest
from ways import DRAWS, UPSCALES, WAYS

LIKE_RECIPE = ("again", "new seed")
WITH_OPTIONS = ("command", "link", "api")


@dataclass(frozen=True)
class Side:
    """`limits` is a function of the world where ids are needed."""

    limits: Any = field(default_factory=dict)
    wish: dict[str, Any] = field(default_factory=dict)
    open_jobs: int = 0
    blocked: bool = False
    paused: bool = False


@dataclass(frozen=True)
class Case:
    """`words`: part of the refusal."""

    ways: tuple[str, ...]
    outside: Side
    inside: Side
    words: str


def sized(*size):
    return {"size": size}


def steps(most, asked=None):
    return Side({"max_image_steps": most}, {} if asked is None else {"steps": asked})


CASES: dict[str, list[Case]] = {
    "max_input_megapixels": [
        Case(
            tuple(UPSCALES),
            Side({"max_input_megapixels": 0.01}, sized(101, 100)),
            Side({"max_input_megapixels": 0.01}, sized(100, 100)),
            "(101x100), up to 0.01 are allowed here: for 2x send one of at most 100x99.",
        )
    ],
    "max_output_megapixels": [
        Case(
            tuple(UPSCALES),
            Side({"max_output_megapixels": 0.01}, sized(51, 50)),
            Side({"max_output_megapixels": 0.01}, sized(50, 50)),
            "2x of 51x50 makes 0.02 megapixels, up to 0.01 are allowed here: send a picture of at most",
        ),
        Case(
            ("imagine", "image api"),
            Side({"max_output_megapixels": 0.01}, {"image_px": (128, 80)}),
            Side({"max_output_megapixels": 0.01}, {"image_px": (120, 80)}),
            "128x80 makes 0.02 megapixels, up to 0.01 are allowed here: choose at most",
        ),
        Case(
            LIKE_RECIPE,
            Side({"max_output_megapixels": 0.0122}),
            Side({"max_output_megapixels": 0.0123}),
            "128x96 makes 0.02 megapixels, up to 0.0122 are allowed here: choose at most",
        ),
    ],
    "max_scale": [
        Case(
            WITH_OPTIONS,
            Side({"max_scale": 2}, {"scale": 4}),
            Side({"max_scale": 2}, {"scale": 2}),
            "A scale of 4x is not possible here: choose 2x.",
        )
    ],
    "max_scale of the operator": [
        Case(
            WITH_OPTIONS,
            Side({"max_scale": 8}, {"scale": 8}),
            Side({"max_scale": 8}, {"scale": 4}),
            "A scale of 8x is not possible here: choose 2x or 4x.",
        )
    ],
    "best_quality": [
        Case(
            WITH_OPTIONS,
            Side({"best_quality": "balanced"}, {"quality": "best"}),
            Side({"best_quality": "balanced"}, {"quality": "balanced"}),
            "choose fast, faithful or balanced.",
        )
    ],
    "max_steps": [
        Case(
            ("api",),
            Side({"max_steps": 3}, {"steps": 4}),
            Side({"max_steps": 3}, {"steps": 3}),
            "4 steps are not possible here: choose 0 to 3.",
        )
    ],
    "max_image_steps": [
        Case(("imagine", "image api"), steps(20, 21), steps(20, 20), "21 steps are not possible here: choose 1 to 20."),
        Case(LIKE_RECIPE, steps(1), steps(2), "2 steps are not possible here: choose 1 to 1."),
    ],
    "jobs_at_once": [
        Case(
            tuple(WAYS),
            Side({"jobs_at_once": 1}, open_jobs=1),
            Side({"jobs_at_once": 2}, open_jobs=1),
            "1 of your jobs is under way, and 1 at once may be here: wait until one is done, or cancel one.",
        )
    ],
    "gpu_seconds_per_day": [
        Case(
            tuple(WAYS),
            Side(lambda world: {"gpu_seconds_per_day": world.used_s * 0.9}),
            Side(lambda world: {"gpu_seconds_per_day": world.used_s * 1.1 + 0.001}),
            "s a day are allowed here: the count starts again at 0:00 UTC.",
        )
    ],
    "allowed_role_ids": [
        Case(
            tuple(WAYS),
            Side(lambda world: {"allowed_role_ids": frozenset({world.artists.id})}),
            Side(lambda world: {"allowed_role_ids": frozenset({world.artists.id, world.painters.id})}),
            "Your roles do not allow this here: you need <@&",
        )
    ],
    "allowed_channel_ids": [
        Case(
            tuple(WAYS),
            Side(lambda world: {"allowed_channel_ids": frozenset({world.other_channel.id})}),
            Side(lambda world: {"allowed_channel_ids": frozenset({world.other_channel.id, world.channel.id})}),
            ": go to <#",
        )
    ],
    "blocked_words": [
        Case(
            ("button", "link", "menu", "api"),
            Side({"blocked_words": ("fox",)}, {"drawn": True}),
            Side({"blocked_words": ("ox",)}, {"drawn": True}),
            'The prompt has "fox", which is not allowed here: leave it out.',
        ),
        Case(
            tuple(DRAWS),
            Side({"blocked_words": ("dog", "fox")}),
            Side({"blocked_words": ("dog", "ox")}),
            'The prompt has "fox", which is not allowed here: leave it out.',
        ),
    ],
    "who_may_click": [
        Case(
            ("button", "link", "menu", "api"),
            Side({"who_may_click": "owner"}, {"owner": "ben"}),
            Side({"who_may_click": "owner"}, {"owner": "alice"}),
            "Only who asked for a picture may have it enlarged here: <@",
        )
    ],
    "blocked members": [Case(tuple(WAYS), Side(blocked=True), Side(), "have blocked you from this bot: ask them.")],
    "a pause by the operator": [Case(tuple(WAYS), Side(paused=True), Side(), "paused it: try again later.")],
}

NO_PICTURE_IN = dict.fromkeys(DRAWS, "takes no picture in")
ALWAYS_TWICE = dict.fromkeys(("button", "menu"), "always 2x, and less there is not")
NOT_MET: dict[str, dict[str, str]] = {
    "max_input_megapixels": NO_PICTURE_IN,
    "max_scale": ALWAYS_TWICE | NO_PICTURE_IN,
    "max_scale of the operator": ALWAYS_TWICE | NO_PICTURE_IN,
    "best_quality": dict.fromkeys(("button", "menu"), "names none, and gets the best allowed") | NO_PICTURE_IN,
    "max_steps": dict.fromkeys(set(UPSCALES) - {"api"}, "names none: those of the quality are cut") | NO_PICTURE_IN,
    "max_image_steps": dict.fromkeys(UPSCALES, "draws nothing new"),
    "blocked_words": {"command": "a file of one's own has no prompt"},
    "who_may_click": {"command": "a file of one's own"} | dict.fromkeys(DRAWS, "enlarges nobody's picture"),
    "default_quality": dict.fromkeys(WAYS, "no bound: what a job gets that names none"),
    "keep_originals": dict.fromkeys(WAYS, "no bound: what is kept when a job is over"),
}
OF_PEOPLE = (
    "jobs_at_once",
    "gpu_seconds_per_day",
    "allowed_role_ids",
    "allowed_channel_ids",
    "blocked members",
    "a pause by the operator",
)
"""The same check whatever is asked for: with these the rarer ways wait for the slow tests."""
RARER = ("link", *LIKE_RECIPE, "image api")


def cell(limit, way, case):
    is_slow = limit in OF_PEOPLE and way in RARER
    return pytest.param(way, case, id=f"{limit}, by {way}", marks=pytest.mark.slow if is_slow else ())


CELLS = [cell(limit, way, case) for limit, cases in CASES.items() for case in cases for way in case.ways]
