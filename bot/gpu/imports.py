"""Importing torch and diffusers in a thread without holding up the others.

Two things keep every Python thread waiting for up to half a second while such packages are imported: the loading of
torch's shared libraries, and full runs of the garbage collector, which looks through all that has been imported so far.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import importlib.util
import os
import sys
import threading
from pathlib import Path

_ONE_AT_A_TIME = threading.Lock()


def import_gently(*names: str) -> None:
    """Imports modules of these names, in the calling thread, so that other threads go on meanwhile.

    The collector rests until all are there, and leaves alone what exists by then: modules live as long as the process.
    Whoever imports one of them afterwards finds it done. Raises ImportError.
    """
    with _ONE_AT_A_TIME:
        if all(name in sys.modules for name in names):
            return
        collecting = gc.isenabled()
        gc.disable()
        try:
            _load_libraries_of_torch()
            for name in names:
                importlib.import_module(name)
        finally:
            gc.freeze()
            if collecting:
                gc.enable()


def _load_libraries_of_torch() -> None:
    """An import, and ctypes when it opens a library, keep the interpreter's lock; ctypes calling `dlopen` does not.

    In torch's own order. Does nothing where torch is imported already, or where its libraries do not lie as on Linux; a
    library that cannot be loaded is left to the import, which says why.
    """
    spec = None if "torch" in sys.modules else importlib.util.find_spec("torch")
    if sys.platform != "linux" or spec is None or spec.origin is None:
        return
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.argtypes, dlopen.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
    folder = Path(spec.origin).parent / "lib"
    for library, mode in (("libtorch_global_deps.so", os.RTLD_GLOBAL), ("libtorch_python.so", os.RTLD_LOCAL)):
        dlopen(os.fsencode(folder / library), os.RTLD_NOW | mode)
