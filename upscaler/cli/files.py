"""Which pictures a command line means, and what their results are called."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tilestep.upscaler.errors import InputError, OptionError
from tilestep.upscaler.images.info import FileFormat
from tilestep.upscaler.images.probe import format_of
from tilestep.upscaler.images.result import SUFFIXES

_SUFFIX_OF: dict[FileFormat, str] = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif"}
_OUR_NAME = re.compile(r"(.+)_[248]x")
_MARK_BYTES = 16


def find_pictures(arguments: Sequence[str]) -> tuple[list[Path], list[InputError]]:
    """Files, the pictures in folders (not in folders within) and what patterns match; and arguments that name nothing.

    Each file comes once, in the order of the arguments. In a folder, results of earlier runs (`a_2x.png` beside
    `a.jpg`) are passed over.
    """
    found: dict[Path, Path] = {}
    errors = []
    for argument in arguments:
        try:
            for path in _meant(argument):
                found.setdefault(path.resolve(), path)
        except InputError as error:
            errors.append(error)
    return list(found.values()), errors


def name_results(
    pictures: Sequence[Path], output: str | None, scale: int, file_format: FileFormat | None
) -> list[Path]:
    """Where each result goes: into the file `output`, or as NAME_2x.png into that folder, or beside the picture.

    Pictures that differ in their suffix only keep it in the name: a_png_2x.png. Raises OptionError when pictures would
    go into the same file.
    """
    out = None if output is None else Path(output)
    if out is not None and not out.is_dir():
        if len(pictures) > 1 or str(output).endswith(("/", os.sep)):
            raise OptionError(f"{output} is not a folder that exists: create it first, or name a file for one picture.")
        return [out]
    folders = [out or path.parent for path in pictures]
    plain = Counter((folder, path.stem) for folder, path in zip(folders, pictures, strict=True))
    suffix = _SUFFIX_OF[file_format or "png"]
    names = []
    for folder, path in zip(folders, pictures, strict=True):
        stem = path.stem if plain[folder, path.stem] == 1 else path.name.replace(".", "_")
        names.append(folder / f"{stem}_{scale}x{suffix}")
    check_distinct(pictures, names)
    return names


def check_distinct(pictures: Sequence[Path], names: Sequence[Path]) -> None:
    """Raises OptionError when two pictures would be written under one name."""
    owners: dict[Path, Path] = {}
    for picture, name in zip(pictures, names, strict=True):
        first = owners.setdefault(name.resolve(), picture)
        if first is not picture:
            raise OptionError(f"{first} and {picture} would both be written to {name}: upscale one after the other.")


def _meant(argument: str) -> Iterator[Path]:
    path = Path(argument)
    if path.is_dir():
        yield from _pictures_in(path)
    elif not os.path.lexists(path) and glob.has_magic(argument):
        matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute patterns
        if not matches:
            raise InputError(f"{argument} matches no file.")
        yield from (Path(match) for match in matches if not Path(match).is_dir())
    else:
        yield path


def _pictures_in(folder: Path) -> list[Path]:
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}.") from error
    stems = {path.stem for path in files}
    pictures = [path for path in files if _is_picture(path) and not _is_result(path, stems)]
    if not pictures:
        raise InputError(f"{folder} holds no PNG, JPEG, WebP or TIFF pictures.")
    return pictures


def _is_picture(path: Path) -> bool:
    """By name or by content; the name counts so that a damaged picture is reported and not passed over."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return format_of(file.read(_MARK_BYTES)) is not None
    except OSError:
        return False


def _is_result(path: Path, stems: set[str]) -> bool:
    match = _OUR_NAME.fullmatch(path.stem)
    return match is not None and match[1] in stems
