"""Can the tiles be seen? Gradient energy on their borders against the same pixels away from any border.

    python benchmarks/seams.py [DIR] [--limit 4] [--presets fast balanced ...]

Each picture is upscaled twice, on a grid and on the grid moved by half a tile. Pixels on a border of one grid lie
inside a tile of the other, so the content cancels out: the ratio is 1 where tiles leave no trace. Without DIR the
pictures are drawn by the program: noise textures, stripes and smooth gradients. Also printed: the share of pixels
that differ by more than 2/255 between the two grids, with the steps of every tile the same. Fails (exit code 1) where a
preset's ratio over all pictures is above 1.02, or where in one picture more than 1 % of the pixels differ.
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tilestep.upscaler.engine import TileEngine, TileRequest
from tilestep.upscaler.evaluation.protocol import find_pictures, read_picture
from tilestep.upscaler.evaluation.resize import halve
from tilestep.upscaler.model.checkpoint import LoadedModel, load_model
from tilestep.upscaler.quality import PRESET_NAMES, Quality, preset, with_steps
from tilestep.upscaler.tiling.plan import Axis, TileGeometry
from tilestep.upscaler.tiling.rows import ArraySink, ArraySource

DRAWN_PX = 256
ALLOWED_RATIO = 1.02
ALLOWED_DIFFERENCE = 2 / 255
ALLOWED_SHARE = 0.01
Picture = NDArray[np.float32]


def drawn_pictures() -> dict[str, NDArray[np.uint8]]:
    """Low-resolution pictures (256, 256, 3) that show seams well."""
    rng, (y, x) = np.random.default_rng(0), np.mgrid[:DRAWN_PX, :DRAWN_PX]
    noise = rng.normal(128, 40, (DRAWN_PX, DRAWN_PX, 3))
    soft = sum(np.roll(noise, (i, j), (0, 1)) for i in range(3) for j in range(3)) / 9
    stripes = np.repeat((128 + 90 * np.sin((x + 0.6 * y) * 0.9))[..., None], 3, 2)
    gradient = np.stack([x / 2, y / 2, (x + y) / 4], 2) + 40
    drawn = {"noise": noise, "soft noise": soft, "stripes": stripes, "gradient": gradient}
    return {name: np.clip(picture, 0, 255).astype(np.uint8) for name, picture in drawn.items()}


def upscale_on_grid(engine: TileEngine, picture: NDArray[np.uint8], quality: Quality, origin: int) -> Picture:
    """The upscaled picture (2H, 2W, 3) with the tile grid moved by `origin` low-resolution pixels."""
    height, width, _ = picture.shape
    sink = ArraySink(2 * height, 2 * width, 3)
    handle = engine.submit(TileRequest(ArraySource(picture), sink, quality, origin_x=origin, origin_y=origin))
    while not handle.done:
        engine.step()
    if handle.error:
        raise handle.error
    return np.clip(sink.picture, 0, 1)


def border_places(axis: Axis) -> list[int]:
    """High-resolution positions inside the overlaps of neighbouring tiles."""
    spans = [axis.span(i) for i in range(axis.count)]
    overlaps = (range(2 * b.core.start, 2 * a.core.stop) for a, b in pairwise(spans))
    return [place for overlap in overlaps for place in overlap if place < 2 * axis.length - 1]


def gradient_energy(picture: Picture, places: list[int], axis: int) -> float:
    """Sum of squared differences across the given columns (axis 1) or rows (axis 0)."""
    steps = np.diff(picture.astype(np.float64), axis=axis)
    return float(np.square(steps.take(places, axis)).sum())


def seam_energies(
    geometry: TileGeometry, grids: tuple[Picture, Picture], origins: tuple[int, int]
) -> tuple[float, float]:
    """Energy on borders and at the same places without borders, both grids and both directions together."""
    on = off = 0.0
    for here, there, origin in ((0, 1, origins[0]), (1, 0, origins[1])):
        for axis in (0, 1):
            places = border_places(Axis(grids[0].shape[axis] // 2, geometry, origin))
            on += gradient_energy(grids[here], places, axis)
            off += gradient_energy(grids[there], places, axis)
    return on, off


def compare_grids(model: LoadedModel, pictures: dict[str, NDArray[np.uint8]], quality: Quality) -> bool:
    """Prints a row per picture and one for all; whether seams and differences are within what is allowed."""
    engine, shares, totals = TileEngine(model), [], np.zeros(2)
    origins = (0, engine.geometry(quality).stride_px // 4 * 2)
    fixed = with_steps(quality, quality.max_steps)
    for name, picture in pictures.items():
        grids = tuple(upscale_on_grid(engine, picture, quality, origin) for origin in origins)
        energies = seam_energies(engine.geometry(quality), (grids[0], grids[1]), origins)
        if quality.max_steps:
            grids = tuple(upscale_on_grid(engine, picture, fixed, origin) for origin in origins)
        shares.append(float((np.abs(grids[0] - grids[1]).max(2) > ALLOWED_DIFFERENCE).mean()))
        totals += energies
        print(f"{quality.name:<9} {name:<28} {energies[0] / energies[1]:8.4f} {100 * shares[-1]:10.3f} %", flush=True)
    ratio = float(totals[0] / totals[1])
    allowed = ratio <= ALLOWED_RATIO and max(shares) <= ALLOWED_SHARE
    print(f"{quality.name:<9} {'all together':<28} {ratio:8.4f} {'ok' if allowed else 'too much':>12}")
    return allowed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--limit", type=int, default=4)
    parser.add_argument("--presets", nargs="+", choices=PRESET_NAMES, default=["fast", "balanced", "faithful"])
    parser.add_argument("--checkpoint", type=Path)
    args = parser.parse_args()
    pictures = drawn_pictures()
    if args.directory:
        pictures = {path.name: halve(read_picture(path)) for path in find_pictures(args.directory, args.limit)}
    model = load_model(args.checkpoint)
    print(f"{'preset':<9} {'picture':<28} {'ratio':>8} {'over 2/255':>12}")
    fits = [compare_grids(model, pictures, preset(name, model.descriptor.calibration)) for name in args.presets]
    return 0 if all(fits) else 1


if __name__ == "__main__":
    sys.exit(main())
