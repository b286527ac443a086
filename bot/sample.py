"""The picture that greets in the demo: drawn by a program, four times too large, then shrunk so that details remain."""

from __future__ import annotations

import io
import math
import random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE_PX = (480, 320)
OVERSAMPLING = 4
DUSK = ((38, 42, 92), (196, 98, 110), (250, 196, 128))
Colour = tuple[int, int, int]


def sample_picture(seed: int = 7) -> bytes:
    """A lighthouse above the sea at dusk, 480 x 320, as PNG; the same bytes for the same seed and Pillow."""
    width, height = (side * OVERSAMPLING for side in SIZE_PX)
    chance = random.Random(seed)
    picture = _sky(width, height)
    draw = ImageDraw.Draw(picture)
    _clouds(picture, chance)
    _sea(draw, width, height, chance)
    _cliff(draw, width, height, chance)
    _lighthouse(draw, int(width * 0.68), int(height * 0.66), height // 2)
    _grass(draw, width, height, chance)
    out = io.BytesIO()
    picture.resize(SIZE_PX, Image.Resampling.LANCZOS).save(out, "PNG")
    return out.getvalue()


def _sky(width: int, height: int) -> Image.Image:
    stops = np.linspace(0, 1, len(DUSK))
    down = np.linspace(0, 1, height)
    rows = np.stack([np.interp(down, stops, [colour[i] for colour in DUSK]) for i in range(3)], 1)
    return Image.fromarray(np.repeat(rows[:, None], width, 1).astype(np.uint8))


def _clouds(picture: Image.Image, chance: random.Random) -> None:
    layer = Image.new("L", picture.size)
    draw = ImageDraw.Draw(layer)
    for _ in range(60):
        x, y = chance.uniform(0, picture.width), picture.height * chance.uniform(0.08, 0.42)
        wide = picture.width * chance.uniform(0.03, 0.12)
        draw.ellipse((x - wide, y - wide / 9, x + wide, y + wide / 9), fill=chance.randint(40, 120))
    picture.paste((255, 214, 190), mask=layer.filter(ImageFilter.GaussianBlur(14)))


def _sea(draw: ImageDraw.ImageDraw, width: int, height: int, chance: random.Random) -> None:
    horizon = int(height * 0.62)
    draw.rectangle((0, horizon, width, height), fill=(46, 62, 104))
    for _ in range(2600):
        y = horizon + (height - horizon) * chance.random() ** 1.6
        near = (y - horizon) / (height - horizon)
        x, long = chance.uniform(0, width), 10 + 90 * near * chance.random()
        light = chance.choice(((236, 158, 128), (92, 108, 150), (30, 44, 82)))
        draw.line((x, y, x + long, y + chance.uniform(-2, 2)), fill=light, width=1 + int(4 * near))


def _cliff(draw: ImageDraw.ImageDraw, width: int, height: int, chance: random.Random) -> None:
    top = [(width * (0.42 + 0.02 * i), height * (0.98 - 0.32 * (1 - math.exp(-i / 5)))) for i in range(31)]
    draw.polygon([*top, (width, height), (width * 0.4, height)], fill=(58, 50, 58))
    for _ in range(900):
        x = chance.uniform(width * 0.45, width)
        y = chance.uniform(height * 0.7, height)
        shade: Colour = chance.choice(((84, 72, 76), (44, 38, 46), (108, 88, 82)))
        points = [(x + chance.uniform(-26, 26), y + chance.uniform(-14, 14)) for _ in range(4)]
        if y > height * (0.98 - 0.32 * (1 - math.exp(-(x / width - 0.42) / 0.1))) + 16:
            draw.polygon(points, fill=shade)


def _lighthouse(draw: ImageDraw.ImageDraw, x: int, foot: int, tall: int) -> None:
    for band in range(8):
        low, high = foot - tall * band / 8, foot - tall * (band + 1) / 8
        wide, narrow = tall * (0.13 - 0.007 * band), tall * (0.13 - 0.007 * (band + 1))
        colour = (226, 66, 58) if band % 2 else (246, 236, 222)
        draw.polygon([(x - wide, low), (x + wide, low), (x + narrow, high), (x - narrow, high)], fill=colour)
    top = foot - tall
    draw.rectangle((x - tall * 0.1, top - 10, x + tall * 0.1, top + 8), fill=(40, 34, 44))
    draw.rectangle((x - tall * 0.055, top - tall * 0.11, x + tall * 0.055, top - 10), fill=(255, 236, 150))
    for bar in range(-2, 3):
        draw.line((x + bar * tall * 0.026, top - tall * 0.11, x + bar * tall * 0.026, top - 10), (60, 50, 50), 4)
    draw.pieslice((x - tall * 0.075, top - tall * 0.2, x + tall * 0.075, top - tall * 0.03), 180, 360, (170, 44, 44))
    for window in (0.25, 0.5, 0.75):
        y = foot - tall * window
        draw.rectangle((x - 9, y - 16, x + 9, y + 16), fill=(52, 44, 60))


def _grass(draw: ImageDraw.ImageDraw, width: int, height: int, chance: random.Random) -> None:
    for _ in range(2200):
        x = chance.uniform(width * 0.46, width)
        y = height * (0.98 - 0.32 * (1 - math.exp(-(x / width - 0.42) / 0.1))) + chance.uniform(-4, 26)
        tip = (x + chance.uniform(-22, 30), y - chance.uniform(14, 46))
        green: Colour = chance.choice(((70, 92, 58), (104, 120, 66), (48, 66, 50), (150, 140, 84)))
        draw.line(((x, y), tip), fill=green, width=chance.randint(2, 4))
