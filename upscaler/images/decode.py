"""Pixels of a file as it stores them, top to bottom."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from tilestep.upscaler.errors import InputError
from tilestep.upscaler.images import libvips
from tilestep.upscaler.images.info import PictureInfo

Pixels = NDArray[Any]

FETCH_ROWS = 16
RELEASE_AFTER_BYTES = 4 << 20
_DTYPES: dict[str, np.dtype[Any]] = {"uchar": np.dtype(np.uint8), "ushort": np.dtype(np.uint16)}
_HARMLESS = ("extraneous bytes", "Invalid SOS parameters", "JFIF revision", "Adobe color transform")


class Decoder:
    """Reads a file's rows in the file's own orientation: grey or RGB, with alpha as the last band if any.

    Grey and RGB values are those of the file; CMYK becomes sRGB. A file that cannot be read in order is decoded whole
    by libvips at the first row.
    """

    def __init__(self, info: PictureInfo) -> None:
        """Raises InputError when the file cannot be opened."""
        libvips.prepare()
        self.path, self._info, self._strict = info.path, info, True
        image = self._open()
        if image.format not in _DTYPES:
            raise InputError(f"{info.path}: samples of this type are not read: save the picture as 8 or 16 bit.")
        self.width, self.height, self.bands = image.width, image.height, image.bands
        self.dtype = _DTYPES[image.format]
        self._fetched_bytes = 0

    def read(self, start: int, stop: int) -> Pixels:
        """Rows start..stop, (rows, width, bands); calls go downwards. Raises InputError when the file breaks off."""
        pixels = np.empty((stop - start, self.width, self.bands), self.dtype)
        for row in range(start, stop, FETCH_ROWS):
            rows = min(FETCH_ROWS, stop - row)
            pixels[row - start : row - start + rows] = self._fetch(row, rows)
        self._release(pixels.nbytes)
        return pixels

    def _open(self) -> pyvips.Image:
        try:
            image = _plain(_load(self._info, self._strict), self._info)
            self._region = pyvips.Region.new(image)
        except pyvips.Error as error:
            raise self._failure(error) from error
        return image

    def _fetch(self, row: int, rows: int) -> Pixels:
        """Rows from libvips; a file that is only odd is opened again, less strictly, and read up to here again."""
        try:
            data = self._region.fetch(0, row, self.width, rows)
        except pyvips.Error as error:
            if not self._strict or not _is_harmless(error):
                raise self._failure(error) from error
            self._strict = False
            self._open()
            for before in range(0, row, FETCH_ROWS):
                self._fetch(before, min(FETCH_ROWS, row - before))
            return self._fetch(row, rows)
        return np.frombuffer(data, self.dtype).reshape(rows, self.width, self.bands)

    def _release(self, read_bytes: int) -> None:
        self._fetched_bytes += read_bytes
        if self._fetched_bytes > RELEASE_AFTER_BYTES:
            self._fetched_bytes = 0
            libvips.release_memory()

    def _failure(self, error: pyvips.Error) -> InputError:
        return InputError(f"{self.path}: {libvips.damaged(error)}")


def _is_harmless(error: pyvips.Error) -> bool:
    """Whether all that libjpeg warns of are slips of the writing program that cost no pixels."""
    lines = [line for line in str(error.detail).splitlines() if line.startswith("VipsJpeg:")]
    return bool(lines) and all(any(words in line for words in _HARMLESS) for line in lines)


def _load(info: PictureInfo, strict: bool) -> pyvips.Image:
    """Opens the header. Sizes were checked before, so that the loaders' own limits need not hold.

    A JPEG whose data ends early but neatly only makes libjpeg warn, and fill the rest with grey: so warnings count.
    """
    common = {"access": "sequential", "fail_on": "warning" if strict and info.format == "jpeg" else "error"}
    path = os.fsencode(info.path)
    if info.format == "png":
        return pyvips.Image.pngload(path, unlimited=True, **common)
    if info.format == "jpeg":
        return pyvips.Image.jpegload(path, **common)
    if info.format == "webp":
        return pyvips.Image.webpload(path, **common)
    return pyvips.Image.tiffload(path, page=info.page, unlimited=True, **common)


def _plain(image: pyvips.Image, info: PictureInfo) -> pyvips.Image:
    """One or three bands of colour and at most one of alpha, which libvips itself makes straight."""
    if (image.width, image.height) != (info.stored_width, info.stored_height):
        raise InputError(f"{info.path}: the file contradicts itself about its size. Save it again.")
    colours = {"grey": 1, "cmyk": 4}.get(info.colour, 3)
    if image.bands < colours:
        colours = image.bands
    if image.bands > colours + info.has_alpha:
        image = image.extract_band(0, n=colours + info.has_alpha)
    if info.colour == "cmyk":
        depth = 16 if image.format == "ushort" else 8
        image = image.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=depth)
    return image
