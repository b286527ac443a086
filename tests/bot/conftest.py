"""For all tests of the bot: makes the helpers beside the tests importable, and lets diffusers' own warnings pass."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "tasks")]

OF_DIFFUSERS = (
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning",
    "ignore:`upcast_vae` is deprecated:FutureWarning",
)


def pytest_configure(config) -> None:
    for line in OF_DIFFUSERS:
        config.addinivalue_line("filterwarnings", line)
