"""What others' jobs hold of a member: the prompt in the recipe, names and descriptions of pictures, whose they are."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tilestep.bot.schema import Tables


async def strip_heirs(connection: AsyncConnection, tables: Tables, member_id: int) -> None:
    """Takes a member's words out of upscales of their pictures, and of upscales of those, whoever asked for them.

    A new picture that somebody else made by the member's recipe is that person's own wish, and stays.
    """
    jobs = tables.jobs
    enlarged = (jobs.c.source_author_id == member_id) & (jobs.c.kind == "upscale")
    first = sa.select(jobs.c.id).where(enlarged | (jobs.c.requester_id == member_id)).cte("heirs", recursive=True)
    heirs = first.union(sa.select(jobs.c.id).where(jobs.c.parent_job_id == first.c.id, jobs.c.kind == "upscale"))
    chosen = sa.select(jobs.c.id, jobs.c.result).where(jobs.c.id.in_(sa.select(heirs.c.id)))
    for row in (await connection.execute(chosen)).all():
        stripped: dict[str, Any] = {
            "recipe": {},
            "source_filename": None,
            "source_description": None,
            "result": [{**file, "description": ""} for file in row.result],
        }
        await connection.execute(sa.update(jobs).where(jobs.c.id == row.id).values(stripped))
    asked = jobs.c.source_author_id == member_id
    await connection.execute(sa.update(jobs).where(asked).values(source_author_id=None))
