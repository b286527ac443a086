"""`tilestep upscale` as the tests run it: in this process, quickly, in a folder of small pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tilestep.upscaler.__main__ import main

Captured = pytest.CaptureFixture[str]


def draw(path: Path | str, width: int = 9, height: int = 7) -> None:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def upscale(checkpoint: Path, *arguments: str) -> int:
    """Runs the command; what the arguments say goes first."""
    return main(
        ["upscale", "--quality", "fast", "--dejpeg", "0", "--deblur", "0", "--checkpoint", str(checkpoint), *arguments]
    )


def lines(capsys: Captured) -> list[str]:
    """What standard error says."""
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.err.splitlines()
