"""Values on the command line, each with words for what is wrong with them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from tilestep.upscaler.images.info import FileFormat

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_LARGEST = 2**63 - 1
_DIGITS = 19
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
FORMATS: dict[str, FileFormat] = {
    "png": "png",
    "jpeg": "jpeg",
    "jpg": "jpeg",
    "webp": "webp",
    "tiff": "tiff",
    "tif": "tiff",
}


def auto_or_share(text: str) -> float | None:
    """None for `auto`, else a number from 0 to 1."""
    if text == "auto":
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor a number from 0 to 1")
    return value


def byte_count(text: str) -> int:
    """Bytes from `2G`, `512M` or a plain number; K, M, G and T are powers of 1024."""
    return _scaled(text, _BINARY_UNITS, "a size such as 2G or 512M")


def count(text: str) -> int:
    """A number of things from `100M` or plain; K, M, G and T are powers of 1000."""
    return _scaled(text, _UNITS, "a number such as 100M")


def file_format(text: str) -> FileFormat:
    """A format by its name or suffix."""
    if text.lower().lstrip(".") not in FORMATS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of png, jpeg, webp and tiff")
    return FORMATS[text.lower().lstrip(".")]


def name(text: str) -> str:
    """A name of a file or a folder; an empty one would mean the folder that the person happens to be in."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty: name a file or a folder, or leave the option out")
    return text


def path(text: str) -> Path:
    """A path that is not empty."""
    return Path(name(text))


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Reads an integer between two bounds, both allowed."""

    def read(text: str) -> int:
        if not re.fullmatch(rf"[+-]?\d{{1,{_DIGITS}}}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return read


def _scaled(text: str, units: dict[str, int], example: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?", text.strip().lower())
    value = float(match[1]) * units[match[2]] if match else 0
    if not 1 <= value <= _LARGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not {example}")
    return int(value)
