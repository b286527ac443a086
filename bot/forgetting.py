"""What others' jobs hold of a member: the prompt in the recipe, names and descriptions of pictures, whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tilestep.bot.job import OVER_STATES
from tilestep.bot.schema import Tables


async def strip_heirs(connection: AsyncConnection, tables: Tables, member_id: int) -> list[str]:
    """Takes a member's words out of upscales of their pictures, and of upscales of those, whoever asked for them.

    Gives the ids of those that are over: the names and the insides of their files hold such words too, so the files
    are to go. A new picture that somebody else made by the member's recipe is that person's own wish, and stays.
    """
    jobs = tables.jobs
    enlarged = (jobs.c.source_author_id == member_id) & (jobs.c.kind == "upscale")
    first = sa.select(jobs.c.id).where(enlarged | (jobs.c.requester_id == member_id)).cte("heirs", recursive=True)
    heirs = first.union(sa.select(jobs.c.id).where(jobs.c.parent_job_id == first.c.id, jobs.c.kind == "upscale"))
    chosen = sa.select(jobs.c.id, jobs.c.state, jobs.c.result).where(jobs.c.id.in_(sa.select(heirs.c.id)))
    over = []
    for row in (await connection.execute(chosen)).all():
        is_over = row.state in OVER_STATES
        over += [row.id] if is_over else []
        stripped: dict[str, Any] = {
            "recipe": {},
            "source_filename": None,
            "source_description": None,
            "result": [_nameless(file, f"picture-{row.id}.png" if is_over else file["name"]) for file in row.result],
        }
        await connection.execute(sa.update(jobs).where(jobs.c.id == row.id).values(stripped))
    asked = jobs.c.source_author_id == member_id
    await connection.execute(sa.update(jobs).where(asked).values(source_author_id=None))
    return over


def _nameless(file: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {**file, "name": name, "description": ""}
