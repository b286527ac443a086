"""A member's wish as arguments of a pipeline: what it leaves open is filled in, what has no effect is left out.

Nothing here imports torch; a pipeline is only asked what it takes and what its own defaults are.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST_USUAL_STEPS = 25
SIDE_MULTIPLE = 16
DISTILLED_STEPS = {"schnell": 4, "turbo": 4, "lightning": 4, "hyper": 8, "lcm": 6}
DISTILLED_GUIDANCE = 0.0
_NAME_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@dataclass(frozen=True)
class UsualArguments:
    """What a model's maker recommends; None: nothing is said."""

    steps: int | None = None
    guidance: float | None = None


def parse_usual(text: str) -> UsualArguments:
    """From `generation_config.json`: num_inference_steps and guidance_scale. What makes no sense counts as not said."""
    try:
        entries = json.loads(text)
    except ValueError:
        return UsualArguments()
    entries = entries if isinstance(entries, dict) else {}
    steps, guidance = entries.get("num_inference_steps"), entries.get("guidance_scale")
    return UsualArguments(
        steps if isinstance(steps, int) and steps > 0 else None,
        float(guidance) if isinstance(guidance, (int, float)) and guidance >= 0 else None,
    )


@dataclass(frozen=True)
class ImageWish:
    """None: as is usual for the model. Sides in pixels; they are brought to a multiple of 16."""

    prompt: str
    negative_prompt: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    steps: int | None = None
    guidance: float | None = None


@dataclass(frozen=True)
class ImageArguments:
    """What will be made. `guidance` None: the model has none. `ignored`: words for what was asked and has no effect."""

    steps: int
    guidance: float | None
    width_px: int | None
    height_px: int | None
    ignored: tuple[str, ...]
    call: Mapping[str, Any]


def image_arguments(
    pipe: Any,
    model: str,
    wish: ImageWish,
    width_px: int | None = None,
    height_px: int | None = None,
    usual: UsualArguments | None = None,
) -> ImageArguments:
    """What `pipe` is to be called with.

    `model`: its name, which tells models of few steps. `width_px`, `height_px`: the size that it was made for. `usual`:
    what its maker says, which comes before all but the wish.
    """
    known = inspect.signature(type(pipe).__call__).parameters
    guidance: float | None
    steps, guidance = _defaults(known, model)
    if usual is not None:
        steps = usual.steps or steps
        guidance = guidance if usual.guidance is None else usual.guidance
    steps = wish.steps or steps
    width_px, height_px = _side(wish.width_px or width_px), _side(wish.height_px or height_px)
    asked: dict[str, Any] = {"num_inference_steps": steps, "width": width_px, "height": height_px}
    ignored: list[str] = []
    if not _is_guided(pipe, known):
        if wish.guidance is not None:
            ignored.append("guidance")
        guidance = None
    else:
        guidance = asked["guidance_scale"] = guidance if wish.guidance is None else wish.guidance
    if wish.negative_prompt:
        if "negative_prompt" in known and "true_cfg_scale" not in known and (guidance or 0) > 1:
            asked["negative_prompt"] = wish.negative_prompt
        else:
            ignored.append("negative prompt")
    call = {name: value for name, value in asked.items() if name in known and value is not None}
    return ImageArguments(steps, guidance, width_px, height_px, tuple(ignored), {"prompt": wish.prompt, **call})


def picture_count(arguments: Mapping[str, Any]) -> int:
    """Pictures that one call of a pipeline makes at once: so many of each prompt, or of each embedding of one."""
    prompts = arguments.get("prompt")
    prompts = arguments.get("prompt_embeds") if prompts is None else prompts
    count = 1 if prompts is None or isinstance(prompts, str) else len(prompts)
    return max(count * (arguments.get("num_images_per_prompt") or 1), 1)


def _defaults(known: Mapping[str, inspect.Parameter], model: str) -> tuple[int, float]:
    """The pipeline's own, with fewer steps where it is cautious; distilled models say by their name what they are."""
    words = _name_words(model)
    for word, steps in DISTILLED_STEPS.items():
        if word in words:
            return steps, DISTILLED_GUIDANCE
    return min(_default(known, "num_inference_steps", MOST_USUAL_STEPS), MOST_USUAL_STEPS), _default(
        known, "guidance_scale", 0.0
    )


def _name_words(model: str) -> list[str]:
    """Of a repository's or file's own name, lower case: `v51HyperVAE` has hyper, `hyperrealism` and HyperRealism not.

    The cache of Hugging Face has the name two folders above the one to load, which is called by its commit.
    """
    parts = re.split(r"[\\/]+", model.rstrip("\\/"))
    name = parts[-3] if len(parts) > 2 and parts[-2] == "snapshots" else parts[-1]
    words = [word.lower() for word in _NAME_WORDS.findall(name)]
    return [word for word, after in zip(words, [*words[1:], ""], strict=True) if not after.startswith("real")]


def _default(known: Mapping[str, inspect.Parameter], name: str, otherwise: Any) -> Any:
    value = known[name].default if name in known else None
    return value if isinstance(value, (int, float)) else otherwise


def _is_guided(pipe: Any, known: Mapping[str, inspect.Parameter]) -> bool:
    """Some transformers were distilled without guidance (FLUX.1-schnell): they take it and do nothing with it."""
    config = getattr(getattr(pipe, "transformer", None), "config", {})
    return "guidance_scale" in known and config.get("guidance_embeds", True)


def _side(px: int | None) -> int | None:
    return None if px is None else max(px // SIDE_MULTIPLE, 1) * SIDE_MULTIPLE
