"""JPEG quality on the scale of the Independent JPEG Group (IJG), from luminance quantisation tables.

The base table is Annex K.1 of ITU-T T.81; quality scales it as libjpeg's `jpeg_set_quality` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

QuantisationTables = Mapping[int, Sequence[int]] | Sequence[Sequence[int]]

TABLE_SIZE = 64
LARGEST_BASELINE_STEP = 255
QUALITIES = np.arange(1, 101)

# fmt: off
_LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)
# fmt: on


def ijg_luminance_table(quality: int) -> NDArray[np.int64]:
    """The 64 luminance steps in row order, 1..255, of an IJG quality in 1..100."""
    if not 1 <= quality <= 100:
        raise ValueError(f"IJG quality {quality} is not between 1 and 100")
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = (np.array(_LUMINANCE, dtype=np.int64) * percent + 50) // 100
    return np.clip(steps, 1, LARGEST_BASELINE_STEP)


@cache
def ijg_luminance_tables() -> NDArray[np.int64]:
    """The tables of all `QUALITIES`, (100, 64)."""
    return np.stack([ijg_luminance_table(int(quality)) for quality in QUALITIES])


def quality_of_steps(steps: NDArray[np.float64], frequencies: NDArray[np.intp]) -> float:
    """IJG quality, 1..100, whose table has the same mean ratio to the base table as `steps` at these frequencies.

    `steps` (n,) belong to the indices `frequencies` (n,) of a table in row order. Between two qualities it is
    interpolated, so a table of libjpeg gives back its own quality and any other table the nearest in strength.
    """
    base = np.array(_LUMINANCE, dtype=np.float64)[frequencies]
    strengths = (ijg_luminance_tables()[:, frequencies] / base).mean(axis=1)
    return float(np.interp((steps / base).mean(), strengths[::-1], QUALITIES[::-1].astype(np.float64)))


def quality_from_tables(tables: QuantisationTables) -> float:
    """IJG quality, 1..100, of a file's quantisation tables as Pillow's `Image.quantization` gives them.

    `tables` maps or lists tables of 64 positive steps in row order, luminance first.
    Raises ValueError when there is no such table.
    """
    first = _first_table(tables)
    steps = np.asarray(first, dtype=np.float64)
    if steps.shape != (TABLE_SIZE,) or not (steps >= 1).all():
        raise ValueError("a quantisation table must have 64 steps of 1 or more")
    return quality_of_steps(steps, np.arange(TABLE_SIZE))


def _first_table(tables: QuantisationTables) -> Sequence[int]:
    if not tables:
        raise ValueError("there is no quantisation table")
    return tables[min(tables)] if isinstance(tables, Mapping) else tables[0]
