"""From a request to the row of a job, with every choice made; whatever is refused is refused here, in words."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from tilestep import __version__
from tilestep.bot.errors import NoSuchJob
from tilestep.bot.gatekeeper import Gatekeeper, image_facts
from tilestep.bot.guild_limits import Ask, GuildLimits
from tilestep.bot.images import PictureFacts, ReadLimits, inspect, plain_text
from tilestep.bot.job import Job, new_job_id
from tilestep.bot.jobs import JobStore
from tilestep.bot.model import TextToImage
from tilestep.bot.progress import as_code
from tilestep.bot.requests import MIB, ImagineOptions, ImagineRequest, UpscaleOptions, UpscaleRequest
from tilestep.bot.settings import Settings
from tilestep.bot.tasks.arguments import ImageArguments, ImageWish
from tilestep.upscaler.errors import InputError, OptionError

SEEDS = 2**32
MOST_NAME = 200
MOST_PROMPT = 4000
MOST_GUIDANCE = 100
MOST_UNREAD = 200
FORMATS = ("png", "webp", "jpeg")


@dataclass(frozen=True)
class Accepted:
    """A job that may be committed. `facts` of its source."""

    job: Job
    limits: GuildLimits
    facts: PictureFacts | None = None


class Intake:
    """Makes jobs from requests. `incoming`: a folder of our own for pictures while they are looked at."""

    def __init__(
        self,
        settings: Settings,
        jobs: JobStore,
        gatekeeper: Gatekeeper,
        model: TextToImage,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings, self._jobs, self._gatekeeper, self._model = settings, jobs, gatekeeper, model
        self._clock = clock
        self.incoming = settings.data_dir / "incoming"

    def clear(self) -> None:
        """Removes what a killed process left of pictures that it looked at; blocks. Before the first request."""
        shutil.rmtree(self.incoming, ignore_errors=True)
        self.incoming.mkdir(parents=True, exist_ok=True)

    async def of_upscale(self, request: UpscaleRequest) -> Accepted:
        """Raises Refused, InputError and OptionError."""
        source, options = request.source, request.options
        recipe = await self._recipe_of(source.job_id, source.filename)
        ask = upscale_ask(request, str(recipe.get("prompt", "")))
        await self._gatekeeper.check(ask)
        self._check_options(options)
        facts = await self.look_at(source.data)
        size = facts.width_px, facts.height_px
        limits = await self._gatekeeper.check(replace(ask, input_px=size))
        options = replace(options, quality=options.quality or limits.usual_quality, seed=_seed(options.seed))
        job = replace(
            self._new(request, options),
            spoiler=source.spoiler,
            source_channel_id=source.channel_id,
            source_message_id=source.message_id,
            source_author_id=source.author_id,
            source_filename=plain_text(source.filename)[:MOST_NAME],
            source_description=source.description,
            source_width_px=size[0],
            source_height_px=size[1],
            parent_job_id=source.job_id,
            recipe=recipe,
        )
        return Accepted(job, limits, facts)

    async def of_image(self, request: ImagineRequest) -> Accepted:
        """Raises Refused, OptionError and ModelUnavailable."""
        options = request.options
        if not options.prompt.strip():
            raise OptionError("The prompt is empty: say what is to be seen.")
        if max(len(options.prompt), len(options.negative_prompt)) > MOST_PROMPT:
            raise OptionError(f"The prompt is longer than {MOST_PROMPT} characters: make it shorter.")
        _check_seed(options.seed)
        if options.guidance is not None and not 0 <= options.guidance <= MOST_GUIDANCE:
            raise OptionError(f"A guidance of {options.guidance:g} is not possible: choose 0 to {MOST_GUIDANCE}.")
        ask = image_ask(request)
        allowed = await self._gatekeeper.check(ask)
        plan = self._model.plan(wish_of(options))
        options = settled(options, plan, allowed.max_image_steps)
        limits = await self._gatekeeper.check(replace(ask, **image_facts(options)))
        note = ignored(plan, self._model)
        job = replace(self._new(request, options), recipe=recipe_of(options, self._model), note=note)
        return Accepted(job, limits)

    async def look_at(self, data: bytes) -> PictureFacts:
        """Whether these bytes are a picture that can be enlarged. Raises InputError."""
        settings = self._settings
        if len(data) > settings.max_source_mib * MIB:
            size = len(data) / MIB
            raise InputError(
                f"The file has {size:.1f} MiB, {settings.max_source_mib} are taken at most: send a smaller one."
            )
        limits = ReadLimits(int(settings.max_input_megapixels * 1e6))
        return await inspect(data, limits, settings.source_timeout_s, self.incoming)

    def _check_options(self, options: UpscaleOptions) -> None:
        if options.format not in FORMATS:
            raise OptionError(f'There is no format "{options.format}" here: choose png, webp or jpeg.')
        _check_seed(options.seed)

    def _new(self, request: UpscaleRequest | ImagineRequest, options: UpscaleOptions | ImagineOptions) -> Job:
        place, now = request.place, self._clock()
        return Job(
            id=new_job_id(),
            kind="upscale" if isinstance(options, UpscaleOptions) else "imagine",
            via=request.via,
            channel_id=place.channel_id,
            parent_channel_id=place.parent_channel_id,
            guild_id=place.guild_id,
            requester_id=request.actor.id,
            age_restricted=place.age_restricted,
            private=request.private,
            upload_limit_bytes=place.upload_limit_bytes,
            reply=request.reply if request.private else None,
            options=options,
            created_at=now,
            updated_at=now,
        )

    async def _recipe_of(self, job_id: str | None, filename: str) -> Mapping[str, Any]:
        """How our own picture was made; each picture of a job has a seed of its own."""
        if job_id is None:
            return {}
        try:
            parent = await self._jobs.get(job_id)
        except NoSuchJob:
            return {}
        if not isinstance(parent.options, ImagineOptions) or "seed" not in parent.recipe:
            return parent.recipe
        singles = [file.name for file in parent.result[1:]] or [file.name for file in parent.result]
        number = singles.index(filename) if filename in singles else 0
        return {**parent.recipe, "seed": parent.recipe["seed"] + number}


def upscale_ask(request: UpscaleRequest, prompt: str = "") -> Ask:
    """What is known of the wish before the picture has been looked at."""
    options, source = request.options, request.source
    return Ask(
        request.actor,
        request.place,
        "upscale",
        request.via,
        scale=options.scale,
        quality=options.quality,
        steps=options.steps,
        source_author_id=source.author_id,
        source_age_restricted=source.age_restricted,
        prompt=prompt,
    )


def image_ask(request: ImagineRequest) -> Ask:
    """What is asked, before the model has filled in what is left open."""
    return Ask(request.actor, request.place, "imagine", request.via, **image_facts(request.options))


def wish_of(options: ImagineOptions) -> ImageWish:
    """As the model understands it."""
    return ImageWish(
        options.prompt,
        options.negative_prompt or None,
        options.width_px,
        options.height_px,
        options.steps,
        options.guidance,
    )


def settled(options: ImagineOptions, plan: ImageArguments, most_steps: int) -> ImagineOptions:
    """With every choice made. Who names no steps gets the model's own, or as many as are allowed."""
    return replace(
        options,
        width_px=plan.width_px,
        height_px=plan.height_px,
        steps=min(plan.steps, most_steps) if options.steps is None else plan.steps,
        guidance=plan.guidance,
        seed=_seed(options.seed),
    )


def recipe_of(options: ImagineOptions, model: TextToImage) -> dict[str, Any]:
    """Everything that is needed to make the first picture again; further ones have the next seeds."""
    return {
        "prompt": options.prompt,
        "negative_prompt": options.negative_prompt,
        "model": public_name(model.serving),
        "width_px": options.width_px,
        "height_px": options.height_px,
        "steps": options.steps,
        "guidance": options.guidance,
        "seed": options.seed,
        "scheduler": model.sampler,
        "tilestep": __version__,
    }


def public_name(model: str | None) -> str | None:
    """What members read under pictures and in their files: a Hugging Face id, or the last two parts of a path.

    The rest of it would tell where the operator's files lie.
    """
    if model is None:
        return None
    path = Path(model)
    return "/".join([part for part in path.parts if part != path.anchor][-2:])


def ignored(plan: ImageArguments, model: TextToImage) -> str:
    """What of the wish has no effect, for the reader of the result."""
    said = [f"This model takes no {' and no '.join(plan.ignored)}: left out."] if plan.ignored else []
    for what, name in (("prompt", "prompt"), ("negative prompt", "negative_prompt")):
        if rest := model.unread(plan.call.get(name) or ""):
            said.append(f"The {what} is longer than this model reads: {as_code(rest, MOST_UNREAD)} was left out.")
    return " ".join(said)


def _seed(seed: int | None) -> int:
    return secrets.randbelow(SEEDS) if seed is None else seed


def _check_seed(seed: int | None) -> None:
    if seed is not None and not 0 <= seed < SEEDS:
        raise OptionError(f"A seed of {seed} is not possible: choose 0 to {SEEDS - 1}.")
