"""Files of jobs: whole or not there, and not for ever."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tilestep.bot.disk import DAY_S, MIB, ResultFiles
from tilestep.upscaler.errors import OutputError

JOBS = ["job0", "job1", "job2", "job3"]


@pytest.fixture
def files(tmp_path: Path) -> ResultFiles:
    return ResultFiles(tmp_path / "data")


def aged(files: ResultFiles, days: dict[str, float], mib: float = 1.0) -> None:
    """A file for each job, so many days old."""
    for job_id, age in days.items():
        path = files.write(job_id, "a.png", bytes(int(mib * MIB)))
        then = time.time() - age * DAY_S
        os.utime(path, (then, then))


def test_a_file_is_written_whole_and_replaced_whole(files: ResultFiles) -> None:
    for data in (b"one", b"two"):
        path = files.write("job0", "a.png", data)
        assert path.read_bytes() == data
    assert path == files.path("job0", "a.png")
    assert [entry.name for entry in files.folder("job0").iterdir()] == ["a.png"]


def test_a_file_that_cannot_be_written_is_told_and_leaves_nothing(files: ResultFiles) -> None:
    (files.folder("job0") / "a.png").mkdir()
    with pytest.raises(OutputError):
        files.write("job0", "a.png", b"x")
    assert [entry.name for entry in files.folder("job0").iterdir()] == ["a.png"]


def test_a_data_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")
    with pytest.raises(OutputError):
        ResultFiles(tmp_path / "data").folder("job0")


def test_deleting_takes_everything_of_the_job_and_nothing_else(files: ResultFiles) -> None:
    aged(files, {"job0": 0, "job1": 0})
    files.delete("job0")
    files.delete("job0")
    assert files.job_ids() == ["job1"]


def test_space_is_counted(files: ResultFiles) -> None:
    assert files.total_mib() == 0
    assert files.free_mib() > 0
    aged(files, {"job0": 0, "job1": 0}, mib=0.5)
    assert files.total_mib() == 1.0


def test_what_is_older_than_the_limit_goes(files: ResultFiles) -> None:
    aged(files, {"job0": 8, "job1": 6.9, "job2": 7.1, "job3": 0})
    assert files.prune(7, 100) == ["job0", "job2"]
    assert files.job_ids() == ["job1", "job3"]


def test_the_oldest_go_first_until_the_space_suffices(files: ResultFiles) -> None:
    aged(files, {"job0": 1, "job1": 3, "job2": 2, "job3": 0})
    assert files.prune(7, 2.5) == ["job1", "job2"]


def test_what_is_not_delivered_yet_stays_whatever_its_age(files: ResultFiles) -> None:
    aged(files, dict.fromkeys(JOBS, 30.0))
    assert files.prune(7, 0, needed={"job1", "job3"}) == ["job0", "job2"]


def test_nothing_kept_means_that_all_go_at_once(files: ResultFiles) -> None:
    aged(files, dict.fromkeys(JOBS, 0.0))
    assert files.prune(0, 100) == JOBS
    assert files.prune(0, 0) == []


def test_what_a_killed_process_left_is_swept_away(files: ResultFiles) -> None:
    files.write("job0", "a.png", b"x")
    for name in (".tilestep-0123.part", ".0123.part"):
        (files.folder("job0") / name).write_bytes(b"half")
    assert files.sweep() == 2
    assert [entry.name for entry in files.folder("job0").iterdir()] == ["a.png"]
    assert files.sweep() == 0


def test_a_stranger_in_the_folder_is_left_alone(files: ResultFiles) -> None:
    aged(files, {"job0": 30})
    (files.root / "README").write_bytes(b"x")
    files.prune(0, 0)
    assert [entry.name for entry in files.root.iterdir()] == ["README"]


def test_what_cannot_be_removed_keeps_nothing_else_from_going(files: ResultFiles, tmp_path: Path) -> None:
    aged(files, {"job1": 30, "job2": 30})
    (files.root / "job0").symlink_to(tmp_path)
    (files.root / "job3").write_bytes(b"a file where a folder is due")
    with pytest.raises(OutputError, match="job0"):
        files.delete("job0")
    assert files.prune(0, 0) == ["job1", "job2"]


def test_an_empty_folder_is_as_old_as_itself(files: ResultFiles) -> None:
    files.folder("job0")
    assert files.prune(7, 100) == []
