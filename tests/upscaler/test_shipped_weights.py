"""What the weights that come with the program must keep, whatever they were trained on."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from tilestep.upscaler.engine import TileEngine, TileRequest
from tilestep.upscaler.model.checkpoint import LoadedModel, load_model
from tilestep.upscaler.passes import upscale_array
from tilestep.upscaler.quality import Quality, preset, with_steps
from tilestep.upscaler.tiling.rows import ArraySink, ArraySource

SIDE_PX = 100
GARISH = {"green on black": "#0f0 #000", "yellow on blue": "#ff0 #00f", "magenta on green": "#f0f #0f0"}


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


def writing(colours: str, is_soft: bool) -> np.ndarray:
    """Lines of small text, (64, 96, 3) uint8, antialiased or not."""
    letters, ground = colours.split()
    image = Image.new("RGB", (96, 64), ground)
    draw = ImageDraw.Draw(image)
    draw.fontmode = "L" if is_soft else "1"
    for row in range(6):
        draw.text((1, 11 * row), "user@host:~$ WMBx#@%&", fill=letters, font=ImageFont.load_default(10))
    return np.asarray(image)


def patterns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    dither = np.repeat(rng.integers(0, 2, (64, 64, 1), np.uint8) * 255, 3, 2)
    sprite = np.kron(rng.integers(0, 2, (16, 16, 3), np.uint8) * 255, np.ones((4, 4, 1), np.uint8))
    checks = np.where((np.indices((64, 64)).sum(0) % 2)[..., None], [255, 0, 255], [0, 255, 0]).astype(np.uint8)
    text = {f"{n}, {s}": writing(c, s == "soft") for n, c in GARISH.items() for s in ("soft", "hard")}
    return {"dither": dither, "sprite": sprite, "checks": checks, **text}


@pytest.mark.parametrize("name", ["fast", "faithful", "balanced"])
@pytest.mark.parametrize("pattern", patterns())
def test_no_pattern_however_garish_becomes_noise(model: LoadedModel, name: str, pattern: str) -> None:
    """Averaged back to its size the result is the picture, at least as nearly as a bicubic enlargement."""
    picture = patterns()[pattern]
    height, width = picture.shape[:2]
    result = upscale_array(model, picture, preset(name, model.descriptor.calibration))
    bicubic = np.asarray(Image.fromarray(picture).resize((2 * width, 2 * height), Image.Resampling.BICUBIC)) / 255
    ours, theirs = [
        np.abs(large.reshape(height, 2, width, 2, 3).mean((1, 3)) * 255 - picture).mean() for large in (result, bicubic)
    ]
    assert ours <= theirs + 1


@pytest.mark.slow
@pytest.mark.parametrize(("name", "steps"), [("fast", 0), ("faithful", 0), ("balanced", 2)])
def test_moving_the_tile_grid_changes_hardly_a_pixel_visibly(model: LoadedModel, name: str, steps: int) -> None:
    quality = with_steps(preset(name, model.descriptor.calibration), steps)
    change = np.abs(on_grid(model, quality, 0) - on_grid(model, quality, 36)).max(2)
    assert (change <= 2 / 255).mean() >= 0.99
