"""Draws the picture at the top of the README: a scene made by this program, halved, and enlarged again.

python benchmarks/comparison.py [-o docs/comparison.png]
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tilestep.upscaler.evaluation.resize import enlarge, halve
from tilestep.upscaler.model.checkpoint import load_model
from tilestep.upscaler.passes import upscale_array
from tilestep.upscaler.quality import preset

SIZE = (960, 720)
CROP = (500, 345, 740, 525)
LABEL_PX = 22


def draw_scene(seed: int = 4) -> Image.Image:
    """A tree on a meadow under a soft sky, with a sign: thin lines, leaves, grass, letters and smooth ground."""
    rng = np.random.default_rng(seed)
    large = (SIZE[0] * 2, SIZE[1] * 2)
    down = np.linspace(0, 1, large[1])[:, None, None]
    sky = (1 - down) * np.array([92, 140, 205]) + down * np.array([245, 214, 180])
    image = Image.fromarray(np.broadcast_to(sky, (large[1], large[0], 3)).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    horizon = int(large[1] * 0.72)
    draw.rectangle((0, horizon, *large), fill=(96, 124, 58))
    for _ in range(26_000):
        x, y = rng.integers(0, large[0]), rng.integers(horizon, large[1])
        length, lean = 14 + 40 * (y - horizon) / (large[1] - horizon), rng.normal(0, 6)
        shade = rng.integers(-34, 34)
        colour = tuple(int(c) for c in np.clip(np.array([98, 132, 56]) + shade, 0, 255))
        draw.line((x, y, x + lean, y - length), fill=colour, width=2)
    branch(draw, rng, (large[0] * 0.4, large[1] * 0.86), -math.pi / 2, 250, 44)
    draw.rectangle((1130, 900, 1560, 1120), fill=(226, 208, 170), outline=(70, 50, 34), width=8)
    draw.text((1165, 930), "TILESTEP", fill=(52, 38, 28), font_size=84)
    draw.text((1168, 1030), "twice as large, step by step", fill=(52, 38, 28), font_size=28)
    return image.filter(ImageFilter.GaussianBlur(0.6)).resize(SIZE, Image.Resampling.LANCZOS)


def branch(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    start: tuple[float, float],
    angle: float,
    length: float,
    width: float,
) -> None:
    """A branch with smaller ones on it, and leaves where it is thin."""
    end = (start[0] + length * math.cos(angle), start[1] + length * math.sin(angle))
    draw.line((*start, *end), fill=(74 + int(rng.integers(-8, 8)), 54, 38), width=max(2, round(width)))
    if width < 6:
        for _ in range(9):
            x, y = (p + rng.normal(0, 16) for p in end)
            green = int(rng.integers(80, 165))
            draw.ellipse((x, y, x + rng.integers(5, 15), y + rng.integers(4, 9)), fill=(green // 2, green, 42))
        if width < 3:
            return
    for turn in (-0.42, 0.05, 0.46):
        branch(draw, rng, end, angle + turn + rng.normal(0, 0.14), length * rng.uniform(0.66, 0.8), width * 0.62)


def sheet(pictures: dict[str, np.ndarray]) -> Image.Image:
    """The crop of each picture, twice as large, with its name above."""
    left, top, right, bottom = CROP
    width, height = 2 * (right - left), 2 * (bottom - top)
    canvas = Image.new("RGB", (len(pictures) * (width + 6) - 6, height + LABEL_PX), "white")
    draw = ImageDraw.Draw(canvas)
    for i, (name, picture) in enumerate(pictures.items()):
        crop = Image.fromarray(picture).crop(CROP).resize((width, height), Image.Resampling.NEAREST)
        canvas.paste(crop, (i * (width + 6), LABEL_PX))
        draw.text((i * (width + 6) + 4, 2), name, fill="black", font_size=16)
    return canvas


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/comparison.png"))
    parser.add_argument("--checkpoint", type=Path)
    args = parser.parse_args()
    model, scene = load_model(args.checkpoint), np.asarray(draw_scene())
    small = halve(scene)
    pictures = {"bicubic": enlarge(small)}
    for name in ("faithful", "balanced"):
        larger = upscale_array(model, small, preset(name, model.descriptor.calibration))
        pictures[name] = (larger * 255).round().astype(np.uint8)
    sheet({**pictures, "original": scene}).save(args.out, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
