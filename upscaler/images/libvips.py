"""libvips as this package uses it: for decoding, row by row, through pyvips."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

import pyvips

from tilestep.upscaler.errors import InputError


def prepare() -> None:
    """Sets libvips up for the whole process; called whenever a picture is opened, never at import.

    No operation is cached, so that no file stays open and no pixels stay in memory; one worker thread, because rows are
    fetched in order and libvips' row buffers grow with its threads.
    """
    pyvips.cache_set_max(0)
    pyvips.concurrency_set(1)


def damaged(error: pyvips.Error) -> InputError:
    """Words for what libvips found wrong with a file."""
    lines = [line.strip() for line in str(error.detail or error.message).splitlines() if line.strip()]
    reason = next(iter(dict.fromkeys(lines)), "unknown error")
    return InputError(f"The picture is truncated or damaged ({reason}). Download or save it again.")


def release_memory() -> None:
    """Gives freed memory back to the system where the C library keeps it (glibc); elsewhere does nothing.

    libvips' row buffers of a wide picture otherwise leave tens of megabytes of holes.
    """
    if trim := _trim():
        trim(0)


@cache
def _trim() -> ctypes._NamedFuncPointer | None:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
