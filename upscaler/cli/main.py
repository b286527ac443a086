"""Picks the command, and turns what goes wrong into one line and an exit code."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType, ModuleType
from typing import NoReturn

from tilestep.upscaler.cli.words import brief, printable
from tilestep.upscaler.errors import TilestepError

DONE, FAILED, INTERRUPTED = 0, 2, 130
COMMANDS = {
    "upscale": ("tilestep.upscaler.cli.upscale", "enlarge pictures by 2, 4 or 8"),
    "train": ("tilestep.upscaler.training.cli", "train a model on a folder of pictures"),
    "evaluate": ("tilestep.upscaler.evaluation.cli", "measure presets and other upscalers on a folder of pictures"),
}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(FAILED, f"{self.prog}: {brief(message)}. See {self.prog} --help.\n")


def main(
    arguments: Sequence[str] | None = None,
    commands: Mapping[str, tuple[str, str]] = COMMANDS,
    ends_process: bool = False,
) -> int:
    """Runs one of `commands` (name: module and summary): 0 all done, 2 something was not, 130 interrupted.

    `ends_process`: nothing comes after it, so that what is interrupted is not interrupted again on the way out.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.getLogger("pyvips").addHandler(logging.NullHandler())
    before = {number: signal.signal(number, _stop) for number in _ending_signals()}
    try:
        parser, command = _parser(arguments, commands)
        if command is None:
            parser.parse_args(arguments)
            parser.print_help()
            return FAILED
        code = int(command.run(parser.parse_args(arguments[1:])))
        sys.stdout.flush()
        return code
    except TilestepError as error:
        return _fail(f"tilestep {arguments[0]}: {error}", FAILED)
    except KeyboardInterrupt:
        if ends_process:
            _ignore_ending_signals()
        return _fail(f"tilestep {arguments[0]}: stopped", INTERRUPTED)
    except BrokenPipeError:
        _forget_output()
        return FAILED
    except OSError as error:
        _forget_output()
        where = error.filename or "standard output"
        return _fail(f"tilestep {arguments[0]}: {where}: {error.strerror or error}", FAILED)
    finally:
        if not ends_process:
            for number, handler in before.items():
                signal.signal(number, handler)


def _ignore_ending_signals() -> None:
    for number in (signal.SIGINT, *_ending_signals()):
        signal.signal(number, signal.SIG_IGN)


def _parser(arguments: Sequence[str], commands: Mapping[str, tuple[str, str]]) -> tuple[Parser, ModuleType | None]:
    """The parser of the chosen command and its module; without a command, a parser of the commands' names."""
    if arguments and arguments[0] in commands:
        module_name, summary = commands[arguments[0]]
        parser = Parser(prog=f"tilestep {arguments[0]}", description=f"{summary[0].upper()}{summary[1:]}.")
        module = importlib.import_module(module_name)
        module.add_arguments(parser)
        return parser, module
    parser = Parser(prog="tilestep", description="Diffusion upscaling in tiles.")
    names = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)
    for name, (_, summary) in commands.items():
        names.add_parser(name, help=summary)
    return parser, None


def _fail(line: str, code: int) -> int:
    with contextlib.suppress(OSError):
        print(printable(line), file=sys.stderr, flush=True)
    return code


def _forget_output() -> None:
    """Standard output is gone: lets the interpreter end without a second complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _ending_signals() -> Iterator[signal.Signals]:
    """Beside Ctrl-C: the request to end, and a terminal that was closed, unless that is ignored as under nohup."""
    yield signal.SIGTERM
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        yield signal.SIGHUP


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
