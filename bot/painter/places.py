"""The six places: everything below and at the horizon."""

from __future__ import annotations

import random
from collections.abc import Callable

from tilestep.bot.painter.brush import Brush
from tilestep.bot.painter.palette import Colour, mix, shade

Draw = Callable[[Brush, float, float, bool, random.Random], None]
SNOW: Colour = (236, 240, 248)


def _ground(brush: Brush, horizon: float, colour: Colour, light: float, snow: bool) -> None:
    brush.box(0, horizon, 1, 1, shade(mix(colour, SNOW, 0.75 if snow else 0), light))


def beach(brush: Brush, horizon: float, light: float, snow: bool, chance: random.Random) -> None:
    """A strip of sea with foam, then sand with a palm at the side."""
    shore = horizon + chance.uniform(0.1, 0.13)
    brush.box(0, horizon, 1, shore, shade((42, 120, 186), light))
    _ground(brush, shore, (238, 208, 148), light, snow)
    brush.box(0, shore - 0.008, 1, shore + 0.008, shade((250, 250, 250), light))
    side = chance.choice((0.09, 0.91))
    foot = shore + 0.08
    brush.line((side, foot), (side + 0.02, horizon - 0.14), 0.018, shade((132, 92, 56), light))
    for dx, dy in ((-0.09, -0.01), (0.11, 0.0), (-0.06, -0.06), (0.08, -0.07), (-0.05, 0.05), (0.07, 0.06)):
        top = side + 0.02, horizon - 0.14
        brush.line(top, (top[0] + dx, top[1] + dy), 0.018, shade((56, 142, 76), light))


def meadow(brush: Brush, horizon: float, light: float, snow: bool, chance: random.Random) -> None:
    """Rolling green with flowers."""
    far, near = (126, 186, 92), (96, 164, 74)
    white = 0.7 if snow else 0
    for x, wide in ((0.2, 0.5), (0.85, 0.55)):
        brush.ellipse(x + chance.uniform(-0.05, 0.05), horizon + 0.1, wide, 0.16, shade(mix(far, SNOW, white), light))
    brush.box(0, horizon + 0.08, 1, 1, shade(mix(near, SNOW, white), light))
    for _ in range(40):
        x, y = chance.uniform(0, 1), chance.uniform(horizon + 0.14, 0.98)
        petal: Colour = chance.choice(((250, 236, 120), (250, 250, 250), (236, 130, 160)))
        brush.ellipse(x, y, 0.007, 0.007, shade(petal, light))


def desert(brush: Brush, horizon: float, light: float, snow: bool, chance: random.Random) -> None:
    """Dunes and a cactus."""
    white = 0.7 if snow else 0
    back, front = mix((224, 168, 96), SNOW, white), mix((238, 190, 118), SNOW, white)
    peak = chance.uniform(0.2, 0.8)
    brush.polygon([(-0.1, horizon + 0.1), (peak, horizon - 0.05), (1.1, horizon + 0.1)], shade(back, light))
    brush.box(0, horizon + 0.06, 1, 1, shade(front, light))
    x = chance.choice((0.1, 0.9))
    green = shade((70, 132, 76), light)
    brush.box(x - 0.02, horizon - 0.06, x + 0.02, horizon + 0.18, green)
    brush.box(x - 0.065, horizon + 0.02, x, horizon + 0.05, green)
    brush.box(x - 0.065, horizon - 0.03, x - 0.04, horizon + 0.05, green)
    brush.box(x, horizon + 0.05, x + 0.06, horizon + 0.08, green)
    brush.box(x + 0.035, horizon - 0.01, x + 0.06, horizon + 0.08, green)


def mountains(brush: Brush, horizon: float, light: float, snow: bool, chance: random.Random) -> None:
    """Peaks with snow, dark grass before them."""
    for x, wide, tall in ((0.12, 0.3, 0.26), (0.5, 0.34, 0.34), (0.88, 0.3, 0.28)):
        x, tall = x + chance.uniform(-0.06, 0.06), tall + chance.uniform(-0.04, 0.04)
        top = horizon - tall
        rock, cap = shade((112, 116, 136), light), shade((248, 250, 254), light)
        brush.polygon([(x - wide, horizon + 0.03), (x, top), (x + wide, horizon + 0.03)], rock)
        brush.polygon([(x - wide * 0.3, top + tall * 0.3), (x, top), (x + wide * 0.3, top + tall * 0.3)], cap)
    _ground(brush, horizon + 0.02, (104, 130, 92), light, snow)


def city(brush: Brush, horizon: float, light: float, snow: bool, chance: random.Random) -> None:
    """Towers with windows behind a street."""
    x = -0.02
    while x < 1:
        wide, tall = chance.uniform(0.1, 0.16), chance.uniform(0.16, 0.4)
        grey = chance.choice(((120, 126, 146), (146, 140, 150), (98, 108, 130)))
        brush.box(x, horizon - tall, x + wide, horizon + 0.04, shade(grey, light))
        pane = (252, 226, 140) if light < 0.7 else (206, 224, 238)
        for row in range(int(tall / 0.055)):
            for column in range(int(wide / 0.04)):
                left, top = x + 0.014 + column * 0.04, horizon - tall + 0.02 + row * 0.055
                brush.box(left, top, left + 0.018, top + 0.026, pane)
        x += wide + 0.008
    _ground(brush, horizon + 0.04, (110, 112, 118), light, snow)
    for i in range(6):
        brush.box(0.02 + i * 0.18, 0.93, 0.12 + i * 0.18, 0.945, shade((236, 232, 220), light))


def lake(brush: Brush, horizon: float, light: float, snow: bool, chance: random.Random) -> None:
    """A row of firs, water, a green bank."""
    fir = shade(mix((44, 98, 70), SNOW, 0.4 if snow else 0), light)
    for i in range(14):
        x, tall = i * 0.078 + chance.uniform(-0.02, 0.02), chance.uniform(0.09, 0.16)
        brush.polygon([(x - 0.045, horizon + 0.01), (x, horizon - tall), (x + 0.045, horizon + 0.01)], fir)
    bank = chance.uniform(0.74, 0.77)
    brush.box(0, horizon, 1, bank, shade((86, 152, 196), light))
    for _ in range(14):
        x, y = chance.uniform(0, 0.9), chance.uniform(horizon + 0.02, bank - 0.02)
        brush.box(x, y, x + chance.uniform(0.04, 0.1), y + 0.006, shade((150, 200, 226), light))
    brush.box(0, bank, 1, 1, shade(mix((88, 148, 82), SNOW, 0.7 if snow else 0), light))


DRAW: dict[str, Draw] = {
    "beach": beach,
    "meadow": meadow,
    "desert": desert,
    "mountains": mountains,
    "city": city,
    "lake": lake,
}
