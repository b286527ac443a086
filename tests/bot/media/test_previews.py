"""A small copy of a picture while it is being made."""

from __future__ import annotations

import numpy as np
import pytest

from tilestep.bot.previews import PreviewSink
from tilestep.upscaler.tiling.rows import FinishedRows


class Kept:
    """A sink that keeps what it gets, and uses the rows up as a file does."""

    def __init__(self) -> None:
        self.rows: list[FinishedRows] = []

    def room(self, rows: int) -> bool:
        return rows < 100

    def write(self, rows: FinishedRows) -> None:
        self.rows.append(rows.copy())
        rows[:] = 0


def ramp(height: int, width: int, channels: int = 3) -> FinishedRows:
    rows = np.ones((height, width, channels), np.float32)
    rows[..., :3] = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    return rows


@pytest.mark.parametrize("band", [1, 7, 16, 100])
@pytest.mark.parametrize(("height", "width"), [(100, 30), (33, 99), (5, 3), (1, 90), (90, 1)])
def test_the_copy_does_not_depend_on_how_the_rows_come(height: int, width: int, band: int) -> None:
    whole, parts = PreviewSink(Kept(), width, height, 20), PreviewSink(Kept(), width, height, 20)
    whole.write(ramp(height, width))
    picture = ramp(height, width)
    for start in range(0, height, band):
        parts.write(picture[start : start + band])
    assert np.array_equal(whole.picture(), parts.picture())
    assert max(whole.picture().shape[:2]) <= 20


def test_rows_go_on_unchanged_and_room_is_that_of_the_file() -> None:
    kept = Kept()
    sink = PreviewSink(kept, 8, 4, 4)
    sink.write(ramp(4, 8))
    assert np.array_equal(kept.rows[0], ramp(4, 8))
    assert (sink.room(99), sink.room(100)) == (True, False)


def test_what_is_not_made_yet_is_grey_and_transparency_white() -> None:
    sink = PreviewSink(Kept(), 8, 8, 8)
    sink.write(np.zeros((4, 8, 4), np.float32))
    assert np.all(sink.picture()[:4] == 255)
    assert np.all(sink.picture()[4:] == 128)
