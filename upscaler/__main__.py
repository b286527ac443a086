"""The command `tilestep`: upscale, train, evaluate. Each command imports what it needs only when it is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from tilestep.upscaler.cli.main import leave
from tilestep.upscaler.cli.main import main as run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line (the process's own by default) and returns its exit code."""
    return run_command(arguments)


def command() -> NoReturn:
    """The process's own command line, to its end."""
    leave(main())


if __name__ == "__main__":
    command()
