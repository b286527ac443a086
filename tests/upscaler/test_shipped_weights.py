"""What the weights that come with the program must keep, whatever they were trained on."""

from __future__ import annotations

import numpy as np
import pytest

from tilestep.upscaler.engine import TileEngine, TileRequest
from tilestep.upscaler.model.checkpoint import LoadedModel, load_model
from tilestep.upscaler.quality import Quality, preset, with_steps
from tilestep.upscaler.tiling.rows import ArraySink, ArraySource

pytestmark = pytest.mark.slow
SIDE_PX = 100


def texture() -> np.ndarray:
    """Stripes, an edge and fine noise, (100, 100, 3) uint8."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    values = 128 + 50 * np.sin((x + 0.6 * y) * 0.9) + 40 * (x > y)
    noise = np.random.default_rng(0).normal(0, 12, (SIDE_PX, SIDE_PX, 3))
    picture: np.ndarray = np.clip(values[..., None] + noise, 0, 255).astype(np.uint8)
    return picture


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model()


def on_grid(model: LoadedModel, quality: Quality, origin: int) -> np.ndarray:
    sink = ArraySink(2 * SIDE_PX, 2 * SIDE_PX, 3)
    engine = TileEngine(model)
    handle = engine.submit(TileRequest(ArraySource(texture()), sink, quality, origin_x=origin, origin_y=origin))
    while not handle.done:
        engine.step()
    assert handle.error is None
    return np.clip(sink.picture, 0, 1)


@pytest.mark.parametrize(("name", "steps"), [("fast", 0), ("faithful", 0), ("balanced", 2)])
def test_moving_the_tile_grid_changes_hardly_a_pixel_visibly(model: LoadedModel, name: str, steps: int) -> None:
    quality = with_steps(preset(name, model.descriptor.calibration), steps)
    change = np.abs(on_grid(model, quality, 0) - on_grid(model, quality, 36)).max(2)
    assert (change <= 2 / 255).mean() >= 0.99
