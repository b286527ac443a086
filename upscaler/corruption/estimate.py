"""Estimates of a picture's corruption from a sample of its rows, on the scale of `corruption.scale`.

Both estimates prefer 0: a repair of what is not broken costs more than a repair left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilestep.upscaler.corruption.blur import blur_sigma
from tilestep.upscaler.corruption.jpeg_pixels import pixel_quality
from tilestep.upscaler.corruption.jpeg_tables import QuantisationTables, quality_from_tables
from tilestep.upscaler.corruption.scale import deblur_from_sigma, dejpeg_from_quality


@dataclass(frozen=True)
class Sample:
    """Strips of whole rows of one picture, in any number: (first row in the picture, uint8 RGB (rows, width, 3)).

    Strips of 64 rows or more are best, 250,000 pixels in all are plenty, and more pixels cost little time: the
    estimates look at a part that is spread over them. Raises ValueError for strips of other shapes, types or widths.
    """

    strips: tuple[tuple[int, NDArray[np.uint8]], ...]

    def __post_init__(self) -> None:
        for first_row, rows in self.strips:
            if first_row < 0 or rows.ndim != 3 or rows.shape[2] != 3 or rows.dtype != np.uint8:
                raise ValueError("a strip must be uint8 RGB rows (rows, width, 3) from row 0 or later")
        if len({rows.shape[1] for _, rows in self.strips}) > 1:
            raise ValueError("the strips of a sample must have the same width")


def estimate_dejpeg(sample: Sample, tables: QuantisationTables | None = None) -> float:
    """JPEG value in [0, 1] from the file's quantisation tables where it has any, else from the pixels.

    0 for a picture that shows no JPEG grid, or one of a quality above 95. `tables`: see `quality_from_tables`.
    """
    quality = quality_from_tables(tables) if tables else pixel_quality(sample.strips)
    return 0.0 if quality is None else dejpeg_from_quality(quality)


def estimate_deblur(sample: Sample, dejpeg: float = 0.0) -> float:
    """Blur value in [0, 1] from the sharpest edges; 0 for a picture that has some, or has no strong edges at all.

    `dejpeg`: the JPEG value of the same picture.
    """
    return deblur_from_sigma(blur_sigma(sample.strips, dejpeg))
