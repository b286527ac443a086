"""Arrays on memory pages of their own."""

from __future__ import annotations

import mmap

import numpy as np

from tilestep.upscaler.tiling.fixed import FixedPixels


def on_own_pages(shape: tuple[int, ...]) -> FixedPixels:
    """An int16 array of zeros that the system gets back as a whole when it is let go.

    What waits long lies apart from the heap, where it would end up between the network's activations and keep their
    memory from being used again. Only pages that are written to exist.
    """
    count = int(np.prod(shape))
    return np.frombuffer(mmap.mmap(-1, max(2 * count, 1)), np.int16, count).reshape(shape)
