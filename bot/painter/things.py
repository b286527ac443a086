"""The twelve things, each mostly of its colour; parts that must be seen against it are dark or light."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tilestep.bot.painter.brush import Brush
from tilestep.bot.painter.palette import Colour, shade

DARK: Colour = (62, 56, 66)
WOOD: Colour = (128, 88, 56)
PANE: Colour = (178, 212, 232)
LIT: Colour = (255, 228, 130)


@dataclass(frozen=True)
class Pose:
    """Middle, lower edge and height of the thing, and its colour; windows are lit at night."""

    x: float
    foot: float
    size: float
    colour: Colour
    lit: bool

    @property
    def pane(self) -> Colour:
        return LIT if self.lit else PANE

    def at(self, across: float, up: float) -> tuple[float, float]:
        """A point in units of the size, from the middle of the foot."""
        return self.x + across * self.size, self.foot - up * self.size


def _box(brush: Brush, pose: Pose, left: float, low: float, right: float, high: float, colour: Colour) -> None:
    brush.polygon([pose.at(left, low), pose.at(right, low), pose.at(right, high), pose.at(left, high)], colour)


def _shape(brush: Brush, pose: Pose, points: list[tuple[float, float]], colour: Colour) -> None:
    brush.polygon([pose.at(*point) for point in points], colour)


def house(brush: Brush, pose: Pose) -> None:
    _box(brush, pose, -0.42, 0, 0.42, 0.55, pose.colour)
    _shape(brush, pose, [(-0.52, 0.53), (0, 0.98), (0.52, 0.53)], shade(pose.colour, 0.62))
    _box(brush, pose, -0.1, 0, 0.1, 0.32, WOOD)
    for left in (-0.34, 0.18):
        _box(brush, pose, left, 0.24, left + 0.16, 0.42, pose.pane)


def tree(brush: Brush, pose: Pose) -> None:
    _box(brush, pose, -0.07, 0, 0.07, 0.5, WOOD)
    for across, up, radius in ((-0.22, 0.58, 0.24), (0.22, 0.58, 0.24), (0, 0.76, 0.28), (0, 0.55, 0.24)):
        brush.ellipse(*pose.at(across, up), radius * pose.size, radius * pose.size, pose.colour)
    brush.ellipse(*pose.at(-0.08, 0.8), 0.1 * pose.size, 0.07 * pose.size, shade(pose.colour, 1.25))


def boat(brush: Brush, pose: Pose) -> None:
    _shape(brush, pose, [(-0.5, 0.26), (0.5, 0.26), (0.34, 0), (-0.34, 0)], WOOD)
    brush.line(pose.at(0, 0.24), pose.at(0, 1.0), 0.03 * pose.size, DARK)
    _shape(brush, pose, [(0.04, 0.32), (0.04, 0.98), (0.46, 0.34)], pose.colour)
    _shape(brush, pose, [(-0.04, 0.32), (-0.04, 0.86), (-0.36, 0.34)], shade(pose.colour, 0.85))


def car(brush: Brush, pose: Pose) -> None:
    _shape(brush, pose, [(-0.3, 0.38), (-0.2, 0.62), (0.2, 0.62), (0.34, 0.38)], shade(pose.colour, 0.88))
    _box(brush, pose, -0.58, 0.12, 0.58, 0.4, pose.colour)
    _shape(brush, pose, [(-0.23, 0.4), (-0.15, 0.57), (-0.02, 0.57), (-0.02, 0.4)], pose.pane)
    _shape(brush, pose, [(0.02, 0.4), (0.02, 0.57), (0.16, 0.57), (0.26, 0.4)], pose.pane)
    for across in (-0.32, 0.32):
        brush.ellipse(*pose.at(across, 0.11), 0.12 * pose.size, 0.12 * pose.size, DARK)
        brush.ellipse(*pose.at(across, 0.11), 0.05 * pose.size, 0.05 * pose.size, (190, 190, 196))


def lighthouse(brush: Brush, pose: Pose) -> None:
    for band in range(5):
        low, high = band * 0.15, (band + 1) * 0.15
        wide, narrow = 0.2 - 0.02 * band, 0.2 - 0.02 * (band + 1)
        colour = pose.colour if band % 2 == 0 else (250, 248, 244) if _far_from_white(pose.colour) else (150, 150, 160)
        _shape(brush, pose, [(-wide, low), (wide, low), (narrow, high), (-narrow, high)], colour)
    _box(brush, pose, -0.15, 0.75, 0.15, 0.79, DARK)
    _box(brush, pose, -0.08, 0.79, 0.08, 0.92, LIT)
    brush.half_disc(*pose.at(0, 0.92), 0.11 * pose.size, 0.1 * pose.size, pose.colour)


def castle(brush: Brush, pose: Pose) -> None:
    _box(brush, pose, -0.4, 0, 0.4, 0.5, pose.colour)
    for left in (-0.4, -0.16, 0.08, 0.28):
        _box(brush, pose, left, 0.5, left + 0.12, 0.58, pose.colour)
    for middle in (-0.42, 0.42):
        _box(brush, pose, middle - 0.12, 0, middle + 0.12, 0.68, shade(pose.colour, 0.86))
        _shape(brush, pose, [(middle - 0.16, 0.68), (middle, 0.98), (middle + 0.16, 0.68)], shade(pose.colour, 0.55))
        _box(brush, pose, middle - 0.03, 0.42, middle + 0.03, 0.54, pose.pane)
    _box(brush, pose, -0.11, 0, 0.11, 0.24, DARK)
    brush.half_disc(*pose.at(0, 0.24), 0.11 * pose.size, 0.1 * pose.size, DARK)


def rocket(brush: Brush, pose: Pose) -> None:
    _shape(brush, pose, [(-0.1, 0.1), (0, -0.08), (0.1, 0.1)], (252, 176, 60))
    _shape(brush, pose, [(-0.34, 0.06), (-0.14, 0.42), (-0.14, 0.12)], DARK)
    _shape(brush, pose, [(0.34, 0.06), (0.14, 0.42), (0.14, 0.12)], DARK)
    _box(brush, pose, -0.17, 0.1, 0.17, 0.7, pose.colour)
    _shape(brush, pose, [(-0.17, 0.7), (0, 1.02), (0.17, 0.7)], shade(pose.colour, 0.7))
    brush.ellipse(*pose.at(0, 0.54), 0.085 * pose.size, 0.085 * pose.size, DARK)
    brush.ellipse(*pose.at(0, 0.54), 0.06 * pose.size, 0.06 * pose.size, pose.pane)


def balloon(brush: Brush, pose: Pose) -> None:
    """A hot-air balloon, in the air."""
    for across in (-0.09, 0.09):
        brush.line(pose.at(across * 2.4, 0.86), pose.at(across, 0.52), 0.012 * pose.size, DARK)
    brush.ellipse(*pose.at(0, 1.06), 0.4 * pose.size, 0.42 * pose.size, pose.colour)
    brush.ellipse(*pose.at(0, 1.06), 0.15 * pose.size, 0.42 * pose.size, shade(pose.colour, 0.8))
    _box(brush, pose, -0.11, 0.38, 0.11, 0.54, WOOD)


def mushroom(brush: Brush, pose: Pose) -> None:
    _shape(brush, pose, [(-0.14, 0), (0.14, 0), (0.1, 0.5), (-0.1, 0.5)], (236, 222, 196))
    brush.half_disc(*pose.at(0, 0.46), 0.46 * pose.size, 0.46 * pose.size, pose.colour)
    dots = (250, 248, 240) if _far_from_white(pose.colour) else (170, 160, 170)
    for across, up, radius in ((-0.24, 0.6, 0.06), (0.02, 0.76, 0.07), (0.25, 0.6, 0.055), (0.0, 0.56, 0.04)):
        brush.ellipse(*pose.at(across, up), radius * pose.size, radius * pose.size, dots)


def tent(brush: Brush, pose: Pose) -> None:
    _shape(brush, pose, [(-0.56, 0), (0, 0.78), (0.56, 0)], pose.colour)
    _shape(brush, pose, [(0, 0.78), (0.56, 0), (0.3, 0)], shade(pose.colour, 0.78))
    _shape(brush, pose, [(-0.16, 0), (0, 0.5), (0.16, 0)], DARK)
    brush.line(pose.at(0, 0.76), pose.at(0, 0.92), 0.02 * pose.size, WOOD)


def windmill(brush: Brush, pose: Pose) -> None:
    _shape(brush, pose, [(-0.26, 0), (0.26, 0), (0.15, 0.66), (-0.15, 0.66)], pose.colour)
    brush.half_disc(*pose.at(0, 0.65), 0.17 * pose.size, 0.15 * pose.size, shade(pose.colour, 0.65))
    _box(brush, pose, -0.07, 0, 0.07, 0.2, WOOD)
    hub = pose.at(0, 0.7)
    for quarter in range(4):
        angle = math.radians(30 + 90 * quarter)
        tip = hub[0] + 0.42 * pose.size * math.cos(angle), hub[1] + 0.42 * pose.size * math.sin(angle)
        brush.line(hub, tip, 0.075 * pose.size, (238, 232, 220))
        brush.line(hub, tip, 0.02 * pose.size, DARK)


def umbrella(brush: Brush, pose: Pose) -> None:
    brush.line(pose.at(0, 0), pose.at(0, 0.8), 0.035 * pose.size, DARK)
    brush.half_disc(*pose.at(0, 0.5), 0.5 * pose.size, 0.44 * pose.size, pose.colour)
    brush.half_disc(*pose.at(0, 0.5), 0.17 * pose.size, 0.44 * pose.size, shade(pose.colour, 0.82))
    brush.ellipse(*pose.at(0, 0.95), 0.025 * pose.size, 0.025 * pose.size, DARK)


def _far_from_white(colour: Colour) -> bool:
    return min(colour) < 0.75 * max(colour)


DRAW: dict[str, Callable[[Brush, Pose], None]] = {
    "house": house,
    "tree": tree,
    "boat": boat,
    "car": car,
    "lighthouse": lighthouse,
    "castle": castle,
    "rocket": rocket,
    "balloon": balloon,
    "mushroom": mushroom,
    "tent": tent,
    "windmill": windmill,
    "umbrella": umbrella,
}
