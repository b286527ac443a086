"""Raised-cosine weights with which neighbouring tiles fade into each other, at the resolution of the result."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tilestep.upscaler.tiling.plan import Span

Weights = NDArray[np.float32]


def ramp(length: int) -> Weights:
    """Rising half of a raised cosine, sampled at pixel centres: (length,) in (0, 1); ramp + reversed ramp = 1."""
    phase = (np.arange(length, dtype=np.float64) + 0.5) / max(length, 1)
    rising = (0.5 - 0.5 * np.cos(np.pi * phase)).astype(np.float32)
    half = length // 2
    rising[length - half :] = 1 - rising[:half][::-1]
    return rising


def axis_weights(span: Span, overlap_px: int, scale: int) -> Weights:
    """Weight of each pixel of `span.written` along one axis, (scale * len(span.written),) in (0, 1].

    1 where no neighbour writes; the border of the picture does not fade. The weights of all tiles at a pixel add up
    to 1.
    """
    weights = np.ones(scale * len(span.core), np.float32)
    fade = scale * overlap_px
    if fade and span.fade_in:
        weights[:fade] = ramp(fade)
    if fade and span.fade_out:
        weights[-fade:] = ramp(fade)[::-1]
    skipped = scale * (span.written.start - span.core.start)
    return weights[skipped : skipped + scale * len(span.written)]
