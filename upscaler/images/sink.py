"""A result file that is written while the engine makes it, and that appears whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from tilestep.upscaler.errors import OutputError
from tilestep.upscaler.images.decode import Pixels
from tilestep.upscaler.images.encoder import Band, Encoder, Layout
from tilestep.upscaler.images.info import FileFormat
from tilestep.upscaler.images.result import FinishedRows, Result
from tilestep.upscaler.images.write_jpeg import JpegEncoder
from tilestep.upscaler.images.write_png import PngEncoder
from tilestep.upscaler.images.write_tiff import TiffEncoder
from tilestep.upscaler.images.write_webp import WebpEncoder

MAX_THREADS = 4
_ENCODERS: dict[FileFormat, Callable[[Layout], Encoder]] = {
    "png": PngEncoder,
    "jpeg": JpegEncoder,
    "webp": WebpEncoder,
    "tiff": TiffEncoder,
}


class PictureSink:
    """Writes rows to a file beside the target and renames it in the end; a `RowSink`.

    Bands are compressed by a few threads while the next rows are made; `write` waits when they fall behind, so that no
    more than a few bands exist at once. Leaving the `with` block without `finish` removes what was written.
    """

    def __init__(self, result: Result, overwrite: bool = False) -> None:
        """Raises OutputError when the target cannot be written, is there already, or is no ordinary file."""
        check_target(result.path, overwrite)
        self._result, self._target = result, Path(os.path.realpath(result.path))
        self._encoder = _ENCODERS[result.layout.format](result.layout)
        self._temporary = self._target.parent / f".tilestep-{secrets.token_hex(6)}.part"
        self._threads = min(max((os.cpu_count() or 2) // 2, 1), MAX_THREADS)
        self._pool = ThreadPoolExecutor(self._threads, "tilestep-encode")
        self._pending: deque[Future[bytes]] = deque()
        layout = result.layout
        self._band: Pixels = np.empty((self._encoder.band_rows, layout.width, layout.bands), layout.dtype)
        self._above: Pixels = np.zeros((1, layout.width, layout.bands), layout.dtype)
        self._filled = self._rows = 0
        self._file: BinaryIO | None = None
        try:
            self._file = _created(self._temporary)
            self._encoder.begin(self._file)
        except OSError as error:
            self.abort()
            raise unwritable(result.path, error) from error
        except BaseException:
            self.abort()
            raise

    def room(self, rows: int) -> bool:
        """Always: `write` waits instead."""
        return True

    def write(self, rows: FinishedRows) -> None:
        """The next rows, (n, width, 3 or 4) float32, nominally in [0, 1]; overwritten. Raises OutputError."""
        samples = self._result.samples(rows)
        while len(samples):
            part = samples[: len(self._band) - self._filled]
            self._band[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            self._rows += len(part)
            samples = samples[len(part) :]
            if self._filled == len(self._band) or self._rows == self._result.layout.height:
                self._submit()

    def complete(self) -> None:
        """Waits until all is on disk, still without its name. Raises OutputError, and ValueError if rows lack."""
        if self._rows != self._result.layout.height or self._file is None:
            raise ValueError(f"{self._rows} of {self._result.layout.height} rows were written")
        self._drain(0)
        try:
            self._encoder.end(self._file)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise unwritable(self._result.path, error) from error

    def finish(self) -> None:
        """Gives the file its name, once it is complete. Raises what `complete` raises."""
        if self._file is None or not self._file.closed:
            self.complete()
        try:
            self._temporary.replace(self._target)
        except OSError as error:
            raise unwritable(self._result.path, error) from error
        self._file = None
        self._pool.shutdown()

    def abort(self) -> None:
        """Removes what was written, if the file is not finished; safe to call at any time."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._temporary.unlink(missing_ok=True)
            self._file = None
        self._pending.clear()
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> PictureSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _submit(self) -> None:
        rows = self._band[: self._filled]
        band = Band(rows, self._above, is_last=self._rows == self._result.layout.height)
        self._pending.append(self._pool.submit(self._encoder.compress, band))
        self._above, self._band, self._filled = rows[-1:], np.empty_like(self._band), 0
        self._drain(self._threads)

    def _drain(self, most: int) -> None:
        """Writes compressed bands in order until at most `most` are being compressed."""
        while len(self._pending) > most:
            compressed = self._pending.popleft().result()
            if self._file is None:
                raise ValueError("the sink is closed")
            try:
                self._encoder.append(self._file, compressed)
            except OSError as error:
                raise unwritable(self._result.path, error) from error


def check_target(path: Path, overwrite: bool) -> None:
    """Raises OutputError when nothing can be written to `path`: to be asked before the work starts."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise OutputError(f"{path} cannot be written: there is no folder {path.parent}. Create it first.") from None
    except OSError as error:
        raise unwritable(path, error) from error
    else:
        if stat.S_ISDIR(mode):
            raise OutputError(f"{path} cannot be written: it is a folder. Name a file in it.")
        if not stat.S_ISREG(mode):
            raise OutputError(f"{path} cannot be written: it is not an ordinary file. Name a file on a disk.")
        if not overwrite:
            raise OutputError(f"{path} is there already: choose another name, or overwrite it with --force.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path} cannot be written: no right to write in {path.parent}. Choose another folder.")


def unwritable(path: Path, error: OSError) -> OutputError:
    """Words for a failure of the file system."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OutputError(f"{path} cannot be written: {error.strerror}. Free some space or choose another disk.")
    return OutputError(f"{path} cannot be written: {error.strerror or error}. Choose another folder or name.")


def _created(path: Path) -> BinaryIO:
    """A new file with the rights that new files have."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    return os.fdopen(descriptor, "w+b")
