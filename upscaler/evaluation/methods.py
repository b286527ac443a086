"""What is compared: plain enlargements, our presets, and other programs by their command line.

A method takes a file and leaves a file; so every one of them is given the same thing, JPEG's traces included.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from tilestep.upscaler.errors import OptionError, TilestepError
from tilestep.upscaler.evaluation.protocol import SCALE, read_picture
from tilestep.upscaler.evaluation.resize import BICUBIC, LANCZOS3, Kernel, enlarge

COMMAND_FORM = "NAME=PROGRAM ... {input} ... {output} ..."


class MethodError(TilestepError):
    """A method did not give a picture; the text says why."""


class Method(Protocol):
    """Enlarges a picture file by two."""

    @property
    def name(self) -> str:
        """What the tables call it."""

    def __call__(self, input_path: Path, output_path: Path) -> float | None:
        """Reads `input_path`, writes `output_path` (PNG, sides twice as long); TilestepError if it cannot.

        Returns the mean number of denoising steps per tile, None where there is no such thing.
        """


@dataclass(frozen=True)
class Enlargement:
    """Plain interpolation."""

    name: str
    kernel: Kernel

    def __call__(self, input_path: Path, output_path: Path) -> None:
        large = enlarge(read_picture(input_path), SCALE, self.kernel)
        Image.fromarray(large).save(output_path, compress_level=1)


@dataclass(frozen=True)
class Command:
    """Another program; in its arguments `{input}` and `{output}` stand for the files. No shell is involved.

    Its time includes starting it and loading its model.
    """

    name: str
    arguments: tuple[str, ...]

    def __call__(self, input_path: Path, output_path: Path) -> None:
        files = {"{input}": str(input_path), "{output}": str(output_path)}
        try:
            done = subprocess.run(
                [_filled(argument, files) for argument in self.arguments],
                capture_output=True,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except OSError as error:
            raise MethodError(f"{self.arguments[0]} cannot be started ({error.strerror})") from error
        if done.returncode != 0:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise MethodError(f"{self.arguments[0]} ended with code {done.returncode}: {''.join(last) or 'no message'}")
        if not output_path.exists():
            raise MethodError(f"{self.arguments[0]} wrote no {output_path.suffix} file to {{output}}")


def baselines() -> list[Method]:
    """Bicubic and Lanczos."""
    return [Enlargement("bicubic", BICUBIC), Enlargement("Lanczos", LANCZOS3)]


def parse_command(text: str) -> Command:
    """A method from `NAME=PROGRAM ... {input} ... {output} ...`, quoted as in a shell; OptionError for another form."""
    name, _, line = text.partition("=")
    try:
        arguments = tuple(shlex.split(line))
    except ValueError as error:
        raise OptionError(f"--command {text!r} has a quotation mark without its partner.") from error
    if not name.strip() or not arguments:
        raise OptionError(f"--command {text!r} is not of the form {COMMAND_FORM}.")
    for placeholder in ("{input}", "{output}"):
        if not any(placeholder in argument for argument in arguments):
            raise OptionError(f"--command {text!r} does not say where {placeholder} goes: write {COMMAND_FORM}.")
    return Command(name.strip(), arguments)


def check_names(methods: Sequence[Method]) -> None:
    """Raises OptionError if two methods share a name."""
    names = [method.name for method in methods]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"There are two methods called {name!r}: give each --command a name of its own.")


def _filled(argument: str, files: dict[str, str]) -> str:
    for placeholder, path in files.items():
        argument = argument.replace(placeholder, path)
    return argument
