"""What can go wrong for a person who uses the upscaler.

    TilestepError
    ├── InputError         a picture that cannot be read or is refused
    ├── OutputError        a picture that cannot be written
    ├── CheckpointError    weights that cannot be used
    └── OptionError        an option that makes no sense here

The text of each is one line: what is wrong, and what to do about it.
"""

from __future__ import annotations


class TilestepError(Exception):
    """Root of the tree; `str(error)` is one line in plain words."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class InputError(TilestepError):
    """The picture cannot be used: missing, broken, too large, or of a kind that is not upscaled."""


class OutputError(TilestepError):
    """The result cannot be written: no such folder, no right to write, a full disk, a format with too small a limit."""


class CheckpointError(TilestepError):
    """The checkpoint cannot be used: missing, broken, or of another kind."""


class OptionError(TilestepError):
    """A value that was asked for is not possible."""
