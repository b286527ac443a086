"""The command `tilestep`: upscale, train, evaluate. Each command imports what it needs only when it is chosen."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tilestep.upscaler.cli.main import main as run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line (the process's own by default) and returns its exit code."""
    return run_command(arguments)


if __name__ == "__main__":
    sys.exit(main())
