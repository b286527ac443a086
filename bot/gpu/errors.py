"""What can go wrong on the way to the GPU.

    TilestepError
    └── GpuError
        ├── QueueFull        too much is waiting already; passes later
        ├── DoesNotFit       needs more memory than the budget, whatever else runs
        ├── JobOutOfMemory   ran out of memory all the same; only this job failed
        ├── JobCancelled     somebody cancelled the job
        ├── NoSuchDevice     the operator asks for a device that is not there
        └── SchedulerClosed  the scheduler is shutting down and takes nothing new

`TaskCancelled` stands beside the tree: it is a signal inside a worker thread, never seen by who awaits a job.
"""

from __future__ import annotations

from tilestep.upscaler.errors import TilestepError


class GpuError(TilestepError):
    """Root of the GPU's errors; `str(error)` is one line that a member can read."""


class QueueFull(GpuError):  # noqa: N818
    """A bound of the queue is reached; the text says which."""


class DoesNotFit(GpuError):  # noqa: N818
    """The work needs more memory than the budget has; the text holds the numbers."""

    def __init__(self, message: str, needed_bytes: int, budget_bytes: int) -> None:
        super().__init__(message)
        self.needed_bytes = needed_bytes
        self.budget_bytes = budget_bytes


class JobOutOfMemory(GpuError):  # noqa: N818
    """The device ran out of memory in a step that could not be made smaller."""


class NoSuchDevice(GpuError):  # noqa: N818
    """The device has a name that means nothing here, or is not there; the text says which to choose."""


class JobCancelled(GpuError):  # noqa: N818
    """The job was cancelled before it was done."""


class SchedulerClosed(GpuError):  # noqa: N818
    """Nothing is taken any more."""


class TaskCancelled(BaseException):
    """Unwinds a worker thread at a step boundary.

    Derived from BaseException so that no `except Exception` inside a pipeline can swallow it.
    """
