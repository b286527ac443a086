"""The command `tilestep`: the bot's commands beside the upscaler's. Each imports what it needs once it is chosen."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from tilestep.upscaler.cli.main import COMMANDS, FAILED, leave
from tilestep.upscaler.cli.main import main as run_command

BOT_COMMANDS = {
    "demo": ("tilestep.bot.demo", "try the bot in the browser: no token, no GPU"),
    "run": ("tilestep.bot.run", "run the bot with the token in .env"),
    "doctor": ("tilestep.bot.doctor", "check token, database, GPU, disk and models"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line (the process's own by default) and returns its exit code."""
    try:
        return run_command(arguments, {**BOT_COMMANDS, **COMMANDS})
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("tilestep"):
            raise
        wanted = "demo" if error.name == "simcord" else "bot"
        print(f"tilestep: {error.name} is not installed: pip install 'tilestep[{wanted}]'.", file=sys.stderr)
        return FAILED


def command() -> NoReturn:
    """The process's own command line, to its end."""
    leave(main())


if __name__ == "__main__":
    command()
