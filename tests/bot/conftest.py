"""For all tests of the bot: makes `tiny_pipelines` importable, and lets diffusers' own warnings pass."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

OF_DIFFUSERS = (
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    "ignore:`upcast_vae` is deprecated:FutureWarning",
)


def pytest_configure(config) -> None:
    for line in OF_DIFFUSERS:
        config.addinivalue_line("filterwarnings", line)
