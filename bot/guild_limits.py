"""The values of the decision in `limits.py`: what a guild allows, and what somebody asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from tilestep.bot.job import JobKind
from tilestep.bot.requests import Actor, Place, Via
from tilestep.bot.settings import Settings

SCALES = (2, 4, 8)
QUALITIES = ("fast", "faithful", "balanced", "best")
"""The presets by what they cost, the cheapest first."""

WhoMayClick = Literal["everyone", "owner"]
Size = tuple[int, int]
"""Width and height, pixels."""


@dataclass(frozen=True)
class GuildLimits:
    """What the admins of a guild allow. No roles or channels named: all of them. A thread counts as its channel.

    The defaults let a picture of 1024x1024 be enlarged to 2048x2048, and that to 4096x4096. `max_steps`: denoising
    steps a tile; `max_image_steps`: of a new picture. `jobs_at_once` and `gpu_seconds_per_day` (UTC): of each member.
    `who_may_click`: who may enlarge a picture that somebody asked for or posted. `keep_originals`: the source stays on
    record beside the result.
    """

    max_input_megapixels: float = 4.2
    max_output_megapixels: float = 17.0
    max_scale: int = 4
    best_quality: str = "best"
    default_quality: str = "balanced"
    max_steps: int = 8
    max_image_steps: int = 50
    jobs_at_once: int = 3
    gpu_seconds_per_day: float = 600.0
    allowed_role_ids: frozenset[int] = frozenset()
    allowed_channel_ids: frozenset[int] = frozenset()
    blocked_words: tuple[str, ...] = ()
    who_may_click: WhoMayClick = "everyone"
    keep_originals: bool = True

    def capped(self, settings: Settings) -> GuildLimits:
        """The same, where the operator's own limits are lower with those."""
        return replace(
            self,
            max_input_megapixels=min(self.max_input_megapixels, settings.max_input_megapixels),
            max_output_megapixels=min(self.max_output_megapixels, settings.max_output_megapixels),
            max_scale=min(self.max_scale, settings.max_scale),
            max_steps=min(self.max_steps, settings.max_steps),
            max_image_steps=min(self.max_image_steps, settings.max_image_steps),
            jobs_at_once=min(self.jobs_at_once, settings.max_jobs_at_once),
            gpu_seconds_per_day=min(self.gpu_seconds_per_day, settings.max_gpu_seconds_per_day),
        )

    @property
    def usual_quality(self) -> str:
        """What a job gets that names no quality: the default, or the best allowed where that is less."""
        return min(self.default_quality, self.best_quality, key=QUALITIES.index)


@dataclass(frozen=True)
class Ask:
    """Everything that the decision needs.

    `input_px`: of the picture to enlarge, None while nobody knows it yet. `prompt`: what is to be drawn; of an upscale,
    what its recipe says. `source_author_id`: who asked for the source or posted it. `image_*` and `count`: of a new
    picture. `open_jobs` and `gpu_seconds_today` are the member's in this guild, `*_everywhere` in all places,
    `jobs_waiting` everybody's.
    """

    actor: Actor
    place: Place
    kind: JobKind
    via: Via = "command"
    input_px: Size | None = None
    scale: int = 2
    quality: str | None = None
    steps: int | None = None
    source_author_id: int | None = None
    source_age_restricted: bool = False
    prompt: str = ""
    image_px: Size | None = None
    image_steps: int | None = None
    count: int = 1
    blocked: bool = False
    open_jobs: int = 0
    open_jobs_everywhere: int = 0
    jobs_waiting: int = 0
    gpu_seconds_today: float = 0.0
    gpu_seconds_everywhere: float = 0.0
