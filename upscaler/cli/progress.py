"""The progress bar: tiles, steps and time left. Silent where standard error is no terminal."""

from __future__ import annotations

import sys
from types import TracebackType

from tqdm import tqdm

from tilestep.upscaler.cli.words import printable
from tilestep.upscaler.handle import Progress

_FORMAT = "{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} tiles{postfix} steps, {elapsed}, {remaining} left"
_LONGEST_NAME = 30


class TileBar:
    """One bar for one picture; call it with every `Progress`."""

    def __init__(self, name: str) -> None:
        name = printable(name)
        self._name = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
        self._bar: tqdm[None] | None = None

    def __call__(self, progress: Progress) -> None:
        """Shows where the work is; the number of steps is a forecast until all tiles have been looked at."""
        if self._bar is None:
            self._bar = tqdm(
                desc=self._name,
                total=progress.tiles_total,
                bar_format=_FORMAT,
                file=sys.stderr,
                disable=None,
                leave=False,
                dynamic_ncols=True,
            )
        self._bar.set_postfix_str(f"{progress.steps_done}/{progress.steps_expected}", refresh=False)
        self._bar.update(progress.tiles_done - self._bar.n)

    def __enter__(self) -> TileBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
