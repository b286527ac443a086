"""The command `tilestep`: the bot's commands beside the upscaler's. Each imports what it needs once it is chosen."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tilestep.upscaler.cli.main import COMMANDS, FAILED
from tilestep.upscaler.cli.main import main as run_command

BOT_COMMANDS = {
    "demo": ("tilestep.bot.demo", "try the bot in the browser: no token, no GPU"),
    "run": ("tilestep.bot.run", "run the bot with the token in .env"),
    "doctor": ("tilestep.bot.doctor", "check token, database, GPU, disk and models"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code; the process's own, to its end, by default."""
    try:
        return run_command(arguments, {**BOT_COMMANDS, **COMMANDS}, ends_process=arguments is None)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("tilestep"):
            raise
        wanted = "demo" if error.name == "simcord" else "bot"
        print(f"tilestep: {error.name} is not installed: pip install 'tilestep[{wanted}]'.", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
