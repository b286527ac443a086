"""The C library's heap in a run of hours: it must not grow with the picture, nor be asked for from the system anew."""

from __future__ import annotations

import ctypes
import sys

LARGE_BYTES = 32 << 20
KEPT_FREE_BYTES = 64 << 20
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def keep_activations_at_hand() -> None:
    """Lets each tile's activations take the place of the last tile's (glibc).

    By itself the library gives arrays of such sizes back to the system when they are freed, and the system clears pages
    for the next ones: a sixth of the time of `fast`. What waits long lies elsewhere, see `tiling.pages`; arrays from
    32 MiB on get pages of their own. Elsewhere than on Linux with glibc nothing happens.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, LARGE_BYTES)
        set_option(_TRIM_THRESHOLD, KEPT_FREE_BYTES)
