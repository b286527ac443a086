"""What is true of limits whatever their values: capping never widens, less is never refused where more is allowed."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tilestep.bot.limits import QUALITIES, SCALES, Ask, GuildLimits, largest_scale, refusal
from tilestep.bot.requests import Actor, Place
from tilestep.bot.settings import Settings

SIZES = st.tuples(st.integers(1, 9000), st.integers(1, 9000))
MEGAPIXELS = st.floats(0.01, 80)
LIMITS = st.builds(
    GuildLimits,
    max_input_megapixels=MEGAPIXELS,
    max_output_megapixels=MEGAPIXELS,
    max_scale=st.sampled_from(SCALES),
    best_quality=st.sampled_from(QUALITIES),
    default_quality=st.sampled_from(QUALITIES),
    max_steps=st.integers(0, 50),
    max_image_steps=st.integers(1, 100),
    jobs_at_once=st.integers(1, 100),
    gpu_seconds_per_day=st.floats(1, 86400),
    who_may_click=st.sampled_from(["everyone", "owner"]),
)
OPERATORS = st.builds(
    Settings.model_construct,
    max_input_megapixels=MEGAPIXELS,
    max_output_megapixels=MEGAPIXELS,
    max_scale=st.sampled_from(SCALES),
    max_steps=st.integers(0, 50),
    max_jobs_at_once=st.integers(1, 100),
    max_gpu_seconds_per_day=st.floats(1, 86400),
    queue_limit=st.integers(1, 100),
    max_image_side_px=st.integers(64, 4096),
    max_image_steps=st.integers(1, 100),
    max_image_count=st.integers(1, 9),
)
FACTS = {
    "actor": st.just(Actor(1)),
    "place": st.just(Place(3, 5)),
    "input_px": SIZES,
    "scale": st.sampled_from(SCALES),
    "quality": st.sampled_from([None, *QUALITIES]),
    "steps": st.none() | st.integers(0, 50),
    "image_px": SIZES,
    "image_steps": st.integers(1, 100),
    "count": st.integers(1, 9),
    "open_jobs": st.integers(0, 110),
    "gpu_seconds_today": st.floats(0, 90000),
}
ASKS = st.builds(Ask, kind=st.sampled_from(["upscale", "imagine"]), **FACTS)
ROOMY = Settings.model_construct(max_input_megapixels=1e6, max_output_megapixels=1e6, max_scale=8)
CAPPED = (
    "max_input_megapixels",
    "max_output_megapixels",
    "max_scale",
    "max_steps",
    "max_image_steps",
    "jobs_at_once",
    "gpu_seconds_per_day",
)


@given(LIMITS, OPERATORS, ASKS)
def test_capping_never_widens(limits: GuildLimits, operator: Settings, ask: Ask) -> None:
    capped = limits.capped(operator)
    assert all(getattr(capped, name) <= getattr(limits, name) for name in CAPPED)
    assert capped.capped(operator) == capped
    assert str(refusal(ask, capped, operator)) == str(refusal(ask, limits, operator))


@given(LIMITS, OPERATORS, ASKS, st.data())
def test_less_than_what_is_accepted_is_accepted(
    limits: GuildLimits, operator: Settings, ask: Ask, data: st.DataObject
) -> None:
    if refusal(ask, limits, operator):
        return
    less = replace(
        ask,
        input_px=data.draw(st.tuples(*(st.integers(1, side) for side in ask.input_px or ()))),
        image_px=data.draw(st.tuples(*(st.integers(1, side) for side in ask.image_px or ()))),
        scale=data.draw(st.sampled_from([scale for scale in SCALES if scale <= ask.scale])),
        steps=None if ask.steps is None else data.draw(st.integers(0, ask.steps)),
        count=data.draw(st.integers(1, ask.count)),
        open_jobs=data.draw(st.integers(0, ask.open_jobs)),
        gpu_seconds_today=data.draw(st.floats(0, ask.gpu_seconds_today)),
    )
    assert refusal(less, limits, operator) is None


@given(LIMITS, OPERATORS, SIZES)
def test_the_largest_scale_is_what_is_accepted(limits: GuildLimits, operator: Settings, size: tuple[int, int]) -> None:
    ask = Ask(Actor(1), Place(3, 5), "upscale", input_px=size)
    accepted = [scale for scale in SCALES if refusal(replace(ask, scale=scale), limits, operator) is None]
    scale, reason = largest_scale(limits, operator, *size)
    assert accepted == [possible for possible in SCALES if scale and possible <= scale]
    assert bool(reason) == (scale != SCALES[-1])


@given(LIMITS, SIZES, st.sampled_from(SCALES))
def test_what_a_refusal_suggests_would_pass(limits: GuildLimits, size: tuple[int, int], scale: int) -> None:
    limits = replace(limits, max_scale=8)
    ask = Ask(Actor(1), Place(3, 5), "upscale", input_px=size, scale=scale, quality="fast")
    operator = ROOMY.model_copy(update=dict.fromkeys(("max_jobs_at_once", "max_steps", "queue_limit"), 99))
    operator = operator.model_copy(update={"max_gpu_seconds_per_day": 9e9})
    text = str(refusal(ask, limits, operator) or "")
    if suggested := re.search(r"at most (\d+)x(\d+)\.$", text):
        smaller = int(suggested[1]), int(suggested[2])
        assert refusal(replace(ask, input_px=smaller), limits, operator) is None
    if choices := re.search(r"choose ([^:]+), or send", text):
        for choice in re.findall(r"(\d)x", choices[1]):
            assert refusal(replace(ask, scale=int(choice)), limits, operator) is None
