"""For the tests of the library: the helpers beside them, a model too small to be good, and a folder to work in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tilestep.upscaler.model.checkpoint import save_checkpoint
from tilestep.upscaler.model.descriptor import ModelDescriptor
from tilestep.upscaler.model.network import NetworkConfig, TileNetwork

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained: its heads start at zero, so that it enlarges as bicubic does."""
    config = NetworkConfig(width=8, shallow_blocks=1, deep_blocks=1, denoiser_width=8, outer_blocks=1, inner_blocks=1)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_checkpoint(path, TileNetwork(config), ModelDescriptor(network=config, read_px=48))
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
