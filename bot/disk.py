"""Pictures on disk: one folder a job, under the data folder; whole files or none."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from tilestep.bot.naming import safe_name
from tilestep.upscaler.errors import OutputError
from tilestep.upscaler.images.sink import unwritable

log = logging.getLogger(__name__)

MIB = 1 << 20
DAY_S = 86400.0
PART = ".part"
_JOB_ID = re.compile(r"[0-9a-z]{1,40}")


class ResultFiles:
    """Files of jobs under `data_dir`/results/<job id>/. Every method blocks: call it in a thread where that matters."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir / "results"

    def folder(self, job_id: str) -> Path:
        """The job's folder, made if need be. Raises OutputError, and ValueError for what is no job's id."""
        folder = self._folder(job_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from error
        return folder

    def path(self, job_id: str, name: str) -> Path:
        """Where a file of the job lies; the folder need not be there. Raises ValueError for a name that is not safe."""
        if name != safe_name(name):
            raise ValueError(f"{name!r} is not the name of a result")
        return self._folder(job_id) / name

    def write(self, job_id: str, name: str, data: bytes) -> Path:
        """Writes a file that is whole or not there, also after a power cut. Raises OutputError."""
        target = self.path(job_id, name)
        self.folder(job_id)
        temporary = target.with_name(f".{secrets.token_hex(6)}{PART}")
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
            sync_folder(target.parent)
        except OSError as error:
            raise unwritable(target, error) from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        return target

    def delete(self, job_id: str) -> None:
        """Removes everything of the job; nothing happens where there is nothing. Raises OutputError."""
        with suppress(FileNotFoundError):
            try:
                shutil.rmtree(self._folder(job_id))
            except FileNotFoundError:
                raise
            except OSError as error:
                raise OutputError(f"The files of job {job_id} cannot be removed: {error.strerror}.") from error

    def job_ids(self) -> list[str]:
        """Jobs that have a folder."""
        with suppress(FileNotFoundError):
            return sorted(e.name for e in self.root.iterdir() if _JOB_ID.fullmatch(e.name) and e.is_dir())
        return []

    def free_mib(self) -> float:
        """Free space on the disk of the results, MiB."""
        folder = self.root
        while not folder.is_dir():
            folder = folder.parent
        return shutil.disk_usage(folder).free / MIB

    def total_mib(self) -> float:
        """Space that all results take, MiB."""
        return sum(_bytes(self.root / job_id) for job_id in self.job_ids()) / MIB

    def prune(self, keep_days: float, keep_mib: float, needed: Collection[str] = ()) -> list[str]:
        """Removes the oldest results until none is older than `keep_days` and all take `keep_mib` MiB at most.

        `needed`: jobs whose files are not touched because they are not delivered yet; they count towards the space.
        Gives the jobs whose files are gone; what cannot be removed is logged.
        """
        ages = sorted((_changed(self.root / job_id), job_id) for job_id in self.job_ids())
        sizes = {job_id: _bytes(self.root / job_id) for _, job_id in ages}
        total, oldest, gone = sum(sizes.values()), time.time() - keep_days * DAY_S, list[str]()
        for changed, job_id in ages:
            if job_id in needed or (changed > oldest and total <= keep_mib * MIB):
                continue
            try:
                self.delete(job_id)
            except OutputError as error:
                log.warning("%s", error)
                continue
            total -= sizes[job_id]
            gone.append(job_id)
        return gone

    def sweep(self) -> int:
        """Removes what a killed process left half-written; to be called before any job starts. Gives how many files."""
        left = [path for path in self.root.glob(f"*/.*{PART}") if path.is_file()]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def _folder(self, job_id: str) -> Path:
        if not _JOB_ID.fullmatch(job_id):
            raise ValueError(f"{job_id!r} is not the id of a job")
        return self.root / job_id


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a power cut, where the system can (not on Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files(folder: Path) -> Iterator[os.stat_result]:
    """What cannot be looked at counts as nothing."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            with suppress(OSError):
                yield entry.stat(follow_symlinks=False)


def _bytes(folder: Path) -> int:
    return sum(stat.st_size for stat in _files(folder))


def _changed(folder: Path) -> float:
    """When something in it was written last; an empty folder may be that of a job that is just beginning."""
    with suppress(OSError):
        return max((stat.st_mtime for stat in _files(folder)), default=folder.stat().st_mtime)
    return 0.0
