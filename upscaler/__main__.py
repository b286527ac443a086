"""The command `tilestep`: upscale, train, evaluate. Each command imports what it needs only when it is chosen."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tilestep.upscaler.cli.main import main as run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code; the process's own, to its end, by default."""
    return run_command(arguments, ends_process=arguments is None)


if __name__ == "__main__":
    sys.exit(main())
