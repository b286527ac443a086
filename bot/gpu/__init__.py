"""The GPU scheduler: who may touch the device next, for one step at a time."""

from tilestep.bot.gpu.errors import DoesNotFit, GpuError, JobCancelled, JobOutOfMemory, QueueFull, SchedulerClosed
from tilestep.bot.gpu.facade import GpuScheduler
from tilestep.bot.gpu.gate import Progress
from tilestep.bot.gpu.memory import MemoryNeed
from tilestep.bot.gpu.options import GpuSettings
from tilestep.bot.gpu.task import Flow, JobStatus, Task

__all__ = [
    "DoesNotFit",
    "Flow",
    "GpuError",
    "GpuScheduler",
    "GpuSettings",
    "JobCancelled",
    "JobOutOfMemory",
    "JobStatus",
    "MemoryNeed",
    "Progress",
    "QueueFull",
    "SchedulerClosed",
    "Task",
]
