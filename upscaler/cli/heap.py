"""The C library's heap in a run of hours: it must not grow with the picture."""

from __future__ import annotations

import ctypes
import sys

LARGE_BYTES = 2 << 20
KEPT_FREE_BYTES = 16 << 20
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def keep_large_arrays_apart() -> None:
    """Gives every array from 2 MiB on pages of its own, which the system gets back when it is freed (glibc).

    Otherwise the finished tiles that wait for their row can end up between the network's activations, and the holes
    that they leave are too small for the next ones. Elsewhere than on Linux with glibc nothing happens.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, LARGE_BYTES)
        set_option(_TRIM_THRESHOLD, KEPT_FREE_BYTES)
