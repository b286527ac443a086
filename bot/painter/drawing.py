"""Draws a scene: sky, place, the thing, weather. Everything that a seed may vary is varied a little."""

from __future__ import annotations

import random

from PIL import Image

from tilestep.bot.painter import places, things
from tilestep.bot.painter.brush import Brush
from tilestep.bot.painter.palette import LIGHT, THING, shade, sky_of
from tilestep.bot.painter.scenes import Scene

SIDE_PX = 256
HORIZON = 0.58


def draw(scene: Scene, seed: int, side_px: int = SIDE_PX) -> Image.Image:
    """The scene as an RGB picture, `side_px` square; the same for the same seed."""
    chance = random.Random(f"{scene} {seed}")
    brush = Brush(side_px)
    horizon = HORIZON + chance.uniform(-0.03, 0.03)
    _sky(brush, scene, horizon, chance)
    light = LIGHT[scene.time]
    places.DRAW[scene.place](brush, horizon, light, scene.weather == "snowy", chance)
    size = chance.uniform(0.36, 0.46)
    x, foot = chance.uniform(0.36, 0.64), chance.uniform(0.8, 0.88)
    colour = shade(THING[scene.colour], 0.5 + 0.5 * light)
    things.DRAW[scene.thing](brush, things.Pose(x, foot, size, colour, scene.time == "night"))
    _weather(brush, scene, chance)
    return brush.finished()


def _sky(brush: Brush, scene: Scene, horizon: float, chance: random.Random) -> None:
    top, low = sky_of(scene.time, scene.weather)
    brush.gradient(top, low, horizon)
    brush.box(0, horizon - 0.01, 1, 1, low)
    clear = scene.weather == "clear"
    if scene.time == "night":
        _night_sky(brush, clear, chance)
    elif clear or scene.weather == "cloudy":
        height = {"morning": 0.34, "noon": 0.13, "sunset": 0.47}[scene.time]
        disc = (255, 238, 150) if scene.time != "sunset" else (255, 196, 96)
        brush.ellipse(chance.choice((0.16, 0.84)) + chance.uniform(-0.05, 0.05), height, 0.065, 0.065, disc)
    if not clear:
        _clouds(brush, scene, chance)


def _night_sky(brush: Brush, clear: bool, chance: random.Random) -> None:
    x = chance.choice((0.17, 0.83)) + chance.uniform(-0.05, 0.05)
    sky = (24, 30, 66)
    brush.ellipse(x, 0.14, 0.055, 0.055, (244, 240, 214))
    brush.ellipse(x + 0.025, 0.125, 0.048, 0.048, sky)
    for _ in range(26 if clear else 0):
        point = chance.uniform(0, 1), chance.uniform(0, 0.42)
        brush.ellipse(*point, 0.004, 0.004, (250, 246, 220))


def _clouds(brush: Brush, scene: Scene, chance: random.Random) -> None:
    tone = {"cloudy": 250, "rainy": 170, "snowy": 226}[scene.weather]
    colour = shade((tone, tone, min(tone + 6, 255)), LIGHT[scene.time])
    for _ in range(4 if scene.weather == "cloudy" else 6):
        x, y, wide = chance.uniform(0.05, 0.95), chance.uniform(0.06, 0.24), chance.uniform(0.07, 0.12)
        for shift, grow in ((-0.8, 0.7), (0.0, 1.0), (0.8, 0.75)):
            brush.ellipse(x + shift * wide, y + (1 - grow) * 0.03, wide * grow, wide * 0.45 * grow, colour)


def _weather(brush: Brush, scene: Scene, chance: random.Random) -> None:
    if scene.weather == "rainy":
        for _ in range(90):
            x, y = chance.uniform(-0.05, 1), chance.uniform(0, 1)
            brush.line((x, y), (x - 0.018, y + 0.05), 0.004, (196, 210, 232))
    elif scene.weather == "snowy":
        for _ in range(110):
            radius = chance.uniform(0.004, 0.009)
            brush.ellipse(chance.uniform(0, 1), chance.uniform(0, 1), radius, radius, (250, 252, 255))
