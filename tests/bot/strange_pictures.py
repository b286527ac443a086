"""Picture files for the tests: good ones of every kind, and the pieces to make bad ones from."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIZE = (64, 48)


def noise(height: int, width: int, bands: int = 3, bits: int = 8) -> np.ndarray[Any, Any]:
    generator = np.random.default_rng(height * 1000 + width)
    dtype = np.uint8 if bits == 8 else np.uint16
    return generator.integers(0, 2**bits - 1, (height, width, bands), dtype, endpoint=True)


def encoded(file_format: str, pixels: np.ndarray[Any, Any] | None = None, **options: Any) -> bytes:
    """A file by Pillow; 64x48 pixels of noise by default."""
    buffer = io.BytesIO()
    picture = Image.fromarray(noise(SIZE[1], SIZE[0]) if pixels is None else pixels)
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


@cache
def good() -> dict[str, bytes]:
    """One file of each kind that is read."""
    return {
        "png": encoded("PNG"),
        "png, alpha": encoded("PNG", noise(SIZE[1], SIZE[0], 4)),
        "png, 16 bit": png(noise(SIZE[1], SIZE[0], 3, 16)),
        "jpeg": encoded("JPEG", quality=90),
        "jpeg, progressive": encoded("JPEG", quality=90, progressive=True),
        "webp": encoded("WEBP", quality=90),
        "webp, lossless": encoded("WEBP", lossless=True),
        "tiff": encoded("TIFF"),
        "tiff, deflate": encoded("TIFF", compression="tiff_adobe_deflate"),
    }


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, bits: int = 8, colour: int = 2, interlace: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace))


def png(pixels: np.ndarray[Any, Any], *extra: bytes) -> bytes:
    """A PNG file of RGB or RGBA, 8 or 16 bits, with more chunks before the pixels."""
    height, width, bands = pixels.shape
    bits = 8 * pixels.dtype.itemsize
    rows = pixels.astype(">u2" if bits == 16 else np.uint8).reshape(height, -1).view(np.uint8)
    filtered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)
    data = chunk(b"IDAT", zlib.compress(filtered.tobytes(), 1)) + chunk(b"IEND", b"")
    return SIGNATURE + header(width, height, bits, 6 if bands == 4 else 2) + b"".join(extra) + data


def png_with(*extra: bytes) -> bytes:
    """A small PNG file with more chunks before the pixels."""
    return png(noise(8, 8), *extra)


def jpeg_with(extra: bytes) -> bytes:
    """A small JPEG file with more bytes before its first segment."""
    data = encoded("JPEG", noise(8, 8))
    return data[:2] + extra + data[2:]


def segment(marker: int, data: bytes) -> bytes:
    """A segment of a JPEG file."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def webp_with(*extra: bytes) -> bytes:
    """A small WebP file with more chunks behind the pixels."""
    body = encoded("WEBP", noise(8, 8))[8:] + b"".join(extra)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def tiff(width: int = 4, height: int = 4, more: Iterable[tuple[int, int, int, int]] = ()) -> bytes:
    """A grey TIFF file; `more`: further entries (tag, type, count, value or offset)."""
    pixels = b"\x55" * 16
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, len(pixels)), *more,
    ]  # fmt: skip
    table = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return (
        b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels
        + struct.pack("<H", len(entries)) + table + bytes(4)
    )  # fmt: skip


def zeros(mebibytes: int) -> bytes:
    """So many MiB of zeros, deflated to a thousandth."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(mebibytes)) + packer.flush()
