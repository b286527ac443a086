"""For all tests of the bot: the helpers beside them, diffusers' own warnings, and a small card for those on CUDA."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "tasks")]

OF_DIFFUSERS = (
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning",
    "ignore:`upcast_vae` is deprecated:FutureWarning",
)


def pytest_configure(config) -> None:
    for line in OF_DIFFUSERS:
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture(autouse=True)
def a_card_of_10_gb(request) -> None:
    """Whatever card there is, torch may use what one of 10 GB has beside its context."""
    if request.node.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("there is no CUDA device here")
        torch.cuda.set_per_process_memory_fraction(min(9 * 2**30 / torch.cuda.mem_get_info()[1], 1.0))
