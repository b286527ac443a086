"""What the tile pool needs is told from the header of its checkpoint, in the numbers of the engine."""

import subprocess
import sys

import pytest
from tiny_tiles import MODEL

from tilestep.bot.gpu.memory import MemoryNeed
from tilestep.bot.tasks.tile_memory import TileSizes, shipped_checkpoint, tile_pool_need, tile_sizes
from tilestep.upscaler.model.checkpoint import load_model, save_checkpoint
from tilestep.upscaler.model.checkpoint import shipped_checkpoint as engines_own
from tilestep.upscaler.runner import TileRunner

GIB = 1 << 30


@pytest.fixture
def tiny(tmp_path):
    save_checkpoint(tmp_path / "tiny.safetensors", MODEL.network, MODEL.descriptor)
    return tmp_path / "tiny.safetensors"


def by_the_engine(checkpoint) -> TileSizes:
    model = load_model(checkpoint)
    one, two = (TileRunner(model, batch).memory_need() for batch in (1, 2))
    work_bytes = two.fixed_bytes - one.fixed_bytes
    return TileSizes(one.fixed_bytes - work_bytes, work_bytes, one.tile_bytes // 2)


def test_the_sizes_are_those_that_the_engine_reckons_with(tiny) -> None:
    assert shipped_checkpoint() == engines_own()
    for checkpoint in (tiny, shipped_checkpoint()):
        assert tile_sizes(checkpoint, 4) == by_the_engine(checkpoint)


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_weights_stay_and_waiting_tiles_are_held_and_all_together_is_the_limit(device) -> None:
    need = tile_pool_need(None, device, GIB)
    assert need.resident_bytes == tile_sizes(shipped_checkpoint(), 2 if device == "cuda:0" else 4).weights_bytes
    assert need.held_bytes > 50 << 20
    assert need.phase_peaks["tiles"] > 0
    assert need.alone_bytes == GIB


def test_where_hardly_anything_may_be_used_that_is_all() -> None:
    assert tile_pool_need(None, "cuda", 1000).alone_bytes == 1000


@pytest.mark.parametrize("content", [None, b"", b"\x02\x00\x00\x00\x00\x00\x00\x00{}"])
def test_of_what_is_no_checkpoint_all_counts_as_the_steps(tmp_path, content) -> None:
    path = tmp_path / "no.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert tile_pool_need(path, "cuda", GIB) == MemoryNeed(phase_peaks={"tiles": GIB})


def test_nothing_of_torch_is_imported_for_it() -> None:
    code = "import sys, tilestep.bot.gpu; from tilestep.bot.tasks.tile_memory import tile_pool_need as need;"
    code += "need(None, 'cuda', 1 << 30); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
