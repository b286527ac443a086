"""How much is under way, in words: said by the limits, and by the table of jobs where two come at once."""

from __future__ import annotations

EVERYWHERE = "in all places together"


def too_many_jobs(open_jobs: int, bound: int, where: str = "here") -> str:
    """Why a member's next job is refused."""
    under_way = "1 of your jobs is" if open_jobs == 1 else f"{open_jobs} of your jobs are"
    return f"{under_way} under way, and {bound} at once may be {where}: wait until one is done, or cancel one."


def queue_full(waiting: int, bound: int) -> str:
    """Why nobody's next job is taken."""
    return f"{waiting} jobs are waiting, and no more than {bound} may: try again in a few minutes."
