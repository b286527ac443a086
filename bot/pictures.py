"""New pictures from memory to disk: whole files that survive a power cut, each with its recipe in it."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tilestep.bot.crew import in_thread
from tilestep.bot.disk import ResultFiles, sync_folder
from tilestep.bot.images import describe_image, grid, write_recipe
from tilestep.bot.job import Job, ResultFile
from tilestep.bot.posting import file_name
from tilestep.upscaler.images.probe import probe

if TYPE_CHECKING:
    from PIL.Image import Image

COMPRESSION_LEVEL = 2


async def keep_pictures(
    files: ResultFiles, job: Job, images: Sequence[Image], recipe: Mapping[str, Any]
) -> tuple[ResultFile, ...]:
    """Writes all of a job's pictures, and before them a grid where there are several. Raises OutputError."""
    kept: list[ResultFile] = []
    single = len(images) == 1
    count = 1 if single else len(images) + 1
    for number, image in enumerate(images):
        name = file_name(job, number if single else number + 1, count, "png")
        path = await in_thread(_write, files, job.id, name, image)
        await write_recipe(path, path, {**recipe, "seed": recipe["seed"] + number})
        description = describe_image(str(recipe["prompt"]), number + 1, len(images))
        kept.append(ResultFile(name, *image.size, path.stat().st_size, description))
    if not single:
        kept.insert(0, await _grid(files, job, kept, str(recipe["prompt"])))
    await in_thread(sync_folder, files.folder(job.id))
    return tuple(kept)


async def _grid(files: ResultFiles, job: Job, kept: Sequence[ResultFile], prompt: str) -> ResultFile:
    path = files.path(job.id, file_name(job, 0, len(kept) + 1, "png"))
    await grid([files.path(job.id, file.name) for file in kept], path)
    await in_thread(_sync, path)
    info = await in_thread(probe, path)
    return ResultFile(path.name, info.width, info.height, path.stat().st_size, describe_image(prompt, 0, len(kept)))


def _write(files: ResultFiles, job_id: str, name: str, image: Image) -> Path:
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=COMPRESSION_LEVEL)
    return files.write(job_id, name, data.getvalue())


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
