"""Which pictures a command line means, and what their results are called."""

from __future__ import annotations

import errno
import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tilestep.upscaler.cli.words import brief
from tilestep.upscaler.errors import InputError, OptionError
from tilestep.upscaler.images.info import NAMES, FileFormat
from tilestep.upscaler.images.probe import format_of
from tilestep.upscaler.images.result import SUFFIXES
from tilestep.upscaler.images.sink import unwritable

_SUFFIX_OF: dict[FileFormat, str] = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif"}
_OUR_NAME = re.compile(r"(.+)_[248]x")
_OUR_MAP = re.compile(r"((.+)_[248]x)_map\.png")
_MARK_BYTES = 16


def find_pictures(arguments: Sequence[str]) -> tuple[list[Path], list[InputError]]:
    """Files, the pictures in folders (not in folders within) and what patterns match; and arguments that name nothing.

    Each file comes once, in the order of the arguments. In a folder, results of earlier runs (`a_2x.png` beside
    `a.jpg`) and their maps are passed over.
    """
    found: dict[str, Path] = {}
    errors = []
    for argument in arguments:
        try:
            for path in _meant(argument):
                found.setdefault(os.path.realpath(path), path)
        except InputError as error:
            errors.append(error)
        except OSError as error:
            errors.append(_unreadable(argument, error))
    return list(found.values()), errors


def name_results(
    pictures: Sequence[Path], output: str | None, scale: int, file_format: FileFormat | None
) -> list[Path]:
    """Where each result goes: into the file `output`, or as NAME_2x.png into that folder, or beside the picture.

    Pictures that differ in their suffix only keep it in the name: a_png_2x.png. Raises OptionError when pictures would
    go into the same file, or when a file's name stands for another format; OutputError when nothing can be there.
    """
    out = None if output is None else Path(output)
    if out is not None and not is_folder(out):
        if len(pictures) > 1 or str(output).endswith(("/", os.sep)):
            raise OptionError(f"{output} is not a folder that exists: create it first, or name a file for one picture.")
        _check_suffix(out, file_format)
        return [out]
    folders = [out or path.parent for path in pictures]
    plain = Counter((folder, path.stem) for folder, path in zip(folders, pictures, strict=True))
    suffix = _SUFFIX_OF[file_format or "png"]
    names = []
    for folder, path in zip(folders, pictures, strict=True):
        stem = path.stem if plain[folder, path.stem] == 1 else _stem_with_suffix(path)
        names.append(folder / f"{stem}_{scale}x{suffix}")
    check_distinct(pictures, names)
    return names


def check_distinct(pictures: Sequence[Path], names: Sequence[Path]) -> None:
    """Raises OptionError when two pictures would be written under one name."""
    owners: dict[str, Path] = {}
    for picture, name in zip(pictures, names, strict=True):
        first = owners.setdefault(os.path.realpath(name), picture)
        if first is not picture:
            raise OptionError(f"{first} and {picture} would both be written to {name}: upscale one after the other.")


def is_folder(path: Path) -> bool:
    """Whether results can go into it by names of their own. Raises OutputError when the system cannot tell."""
    try:
        return path.is_dir()
    except OSError as error:
        raise unwritable(Path(brief(str(path))), error) from error


def _check_suffix(out: Path, file_format: FileFormat | None) -> None:
    named = SUFFIXES.get(out.suffix.lower())
    if file_format and named and named != file_format:
        raise OptionError(
            f"{out} ends in {out.suffix}, but --format says {NAMES[file_format]}: leave --format out, or end the name "
            f"in {_SUFFIX_OF[file_format]}."
        )


def _stem_with_suffix(path: Path) -> str:
    return path.name.replace(".", "_")


def _meant(argument: str) -> Iterator[Path]:
    if not argument:
        raise InputError("An empty name names no picture: leave it out, or give . for the pictures of this folder.")
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


def _unreadable(name: str, error: OSError) -> InputError:
    advice = "Check the name."
    if error.errno in (errno.EACCES, errno.EPERM):
        advice = "Ask for the right to read it, or have the pictures copied elsewhere."
    return InputError(f"{brief(name)} cannot be read: {error.strerror or error}. {advice}")


def _pictures_in(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    origins = {path.stem for path in files} | {_stem_with_suffix(path) for path in files}
    pictures = [path for path in files if _is_picture(path) and not _is_result(path, origins)]
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


def _is_result(path: Path, origins: set[str]) -> bool:
    """Whether it is named as the result of a file beside it, or as the map of one or of its result."""
    match = _OUR_NAME.fullmatch(path.stem) or _OUR_MAP.fullmatch(path.name)
    return match is not None and not origins.isdisjoint(match.groups())
