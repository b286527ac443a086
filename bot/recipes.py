"""How a picture was made, as text in its PNG file; the pixels are not touched.

Two text chunks: `parameters`, in the words that web interfaces for diffusion models read and write, and `tilestep`, the
whole recipe as JSON.
"""

from __future__ import annotations

import json
import os
import secrets
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from tilestep.bot.threads import Overdue, Patience, run_bounded
from tilestep.upscaler.errors import OutputError, TilestepError
from tilestep.upscaler.images.info import PngChunk
from tilestep.upscaler.images.probe import probe
from tilestep.upscaler.images.read_png import SIGNATURE
from tilestep.upscaler.images.sink import unwritable

PARAMETERS, TILESTEP = "parameters", "tilestep"
MAX_RECIPE_BYTES = 1 << 16
LIMIT_S = 60.0
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_MAX_KEYWORD_BYTES = 80
_NAMES = {
    "steps": "Steps",
    "scheduler": "Sampler",
    "guidance": "CFG scale",
    "seed": "Seed",
    "size": "Size",
    "model": "Model",
}


async def write_recipe(source: Path, target: Path, recipe: Mapping[str, Any]) -> None:
    """Copies a PNG file to `target` with the recipe in it, in place of an earlier one. Raises OutputError."""
    try:
        await run_bounded(lambda patience: _write(source, target, recipe, patience), LIMIT_S)
    except Overdue as error:
        raise OutputError("Writing the recipe into the picture took too long: try again.") from error


async def read_recipe(path: Path) -> dict[str, Any] | None:
    """The recipe in a PNG file; None where there is none that can be read. Anybody may have written it."""
    try:
        return await run_bounded(lambda patience: _read(path), LIMIT_S)
    except (Overdue, TilestepError):
        return None


def parameters_text(recipe: Mapping[str, Any]) -> str:
    """Prompt, negative prompt, then one line of settings; what the recipe does not have is left out."""
    settings = dict(recipe)
    if recipe.get("width_px") and recipe.get("height_px"):
        settings["size"] = f"{recipe['width_px']}x{recipe['height_px']}"
    line = ", ".join(f"{name}: {settings[key]}" for key, name in _NAMES.items() if settings.get(key) is not None)
    negative = recipe.get("negative_prompt")
    parts = [str(recipe.get("prompt", "")), f"Negative prompt: {negative}" if negative else "", line]
    return "\n".join(part for part in parts if part)


def _read(path: Path) -> dict[str, Any] | None:
    for chunk in probe(path).metadata.png_text:
        keyword, _, rest = chunk.data.partition(b"\0")
        if chunk.kind != b"iTXt" or keyword != TILESTEP.encode() or rest[:2] != b"\0\0":
            continue
        text = rest[2:].split(b"\0", 2)[-1]
        try:
            recipe = json.loads(text.decode()) if len(text) <= MAX_RECIPE_BYTES else None
        except (ValueError, RecursionError):
            return None
        return recipe if isinstance(recipe, dict) else None
    return None


def _write(source: Path, target: Path, recipe: Mapping[str, Any], patience: Patience) -> None:
    text = json.dumps(dict(recipe), ensure_ascii=False, sort_keys=True, default=str)
    if len(text.encode()) > MAX_RECIPE_BYTES:
        raise OutputError(f"The recipe is longer than {MAX_RECIPE_BYTES >> 10} KiB: use a shorter prompt.")
    chunks = [_chunk(PARAMETERS, parameters_text(recipe)), _chunk(TILESTEP, text)]
    temporary = target.with_name(f".tilestep-{secrets.token_hex(6)}.part")
    try:
        with source.open("rb") as old, temporary.open("xb") as new:
            _copy(old, new, chunks, patience)
            new.flush()
            os.fsync(new.fileno())
        temporary.replace(target)
    except OSError as error:
        raise unwritable(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _copy(old: BinaryIO, new: BinaryIO, chunks: list[PngChunk], patience: Patience) -> None:
    """All chunks, with ours behind the header and without those of the same names."""
    if old.read(len(SIGNATURE)) != SIGNATURE:
        raise OutputError("A recipe can only be kept in a PNG file: choose the format PNG.")
    new.write(SIGNATURE)
    for kind, size in _heads(old):
        patience.check()
        begin = old.read(min(size, _MAX_KEYWORD_BYTES))
        if kind in _TEXT and begin.partition(b"\0")[0].decode("latin-1") in (PARAMETERS, TILESTEP):
            old.seek(size - len(begin) + 4, os.SEEK_CUR)
            continue
        new.write(struct.pack(">I", size) + kind + begin)
        _copy_bytes(old, new, size - len(begin) + 4)
        if kind == b"IHDR":
            for chunk in chunks:
                new.write(_framed(chunk))


def _heads(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and size of each chunk; whoever asks reads the data and the checksum."""
    while len(head := file.read(8)) == 8:
        yield head[4:], int.from_bytes(head[:4], "big")
        if head[4:] == b"IEND":
            return


def _copy_bytes(old: BinaryIO, new: BinaryIO, count: int) -> None:
    while count:
        data = old.read(min(count, 1 << 20))
        if not data:
            raise OutputError("The PNG file is cut short: make the picture again.")
        new.write(data)
        count -= len(data)


def _chunk(keyword: str, text: str) -> PngChunk:
    """As tEXt where every program reads it, else as iTXt, which is UTF-8; `tilestep` always as iTXt."""
    text = text.replace("\0", " ")
    if keyword == PARAMETERS and text.isascii():
        return PngChunk(b"tEXt", f"{keyword}\0{text}".encode())
    return PngChunk(b"iTXt", f"{keyword}\0\0\0\0\0{text}".encode("utf-8", "replace"))


def _framed(chunk: PngChunk) -> bytes:
    body = chunk.kind + chunk.data
    return struct.pack(">I", len(chunk.data)) + body + struct.pack(">I", zlib.crc32(body))
