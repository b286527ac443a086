"""Colours of the flat illustrations: skies by time of day, light, and the colours of things."""

from __future__ import annotations

Colour = tuple[int, int, int]

THING: dict[str, Colour] = {
    "red": (216, 52, 48),
    "orange": (240, 136, 38),
    "yellow": (246, 208, 52),
    "green": (62, 160, 78),
    "blue": (48, 102, 206),
    "purple": (132, 66, 172),
    "pink": (242, 138, 176),
    "white": (246, 246, 242),
}
SKY: dict[str, tuple[Colour, Colour]] = {
    "morning": ((146, 196, 232), (252, 226, 190)),
    "noon": ((74, 156, 226), (176, 218, 246)),
    "sunset": ((94, 62, 130), (250, 150, 90)),
    "night": ((14, 20, 54), (42, 56, 104)),
}
LIGHT: dict[str, float] = {"morning": 0.96, "noon": 1.0, "sunset": 0.84, "night": 0.62}
GREY_SKY: Colour = (150, 158, 170)
OVERCAST: dict[str, float] = {"clear": 0.0, "cloudy": 0.35, "rainy": 0.6, "snowy": 0.5}


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`share` of b in a, 0 to 1."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def shade(colour: Colour, factor: float) -> Colour:
    """Darker below 1, lighter above."""
    return mix(colour, (0, 0, 0), 1 - factor) if factor <= 1 else mix(colour, (255, 255, 255), min(factor - 1, 1))


def sky_of(time: str, weather: str) -> tuple[Colour, Colour]:
    """Top and horizon."""
    grey = shade(GREY_SKY, LIGHT[time])
    top, low = SKY[time]
    return mix(top, grey, OVERCAST[weather]), mix(low, grey, OVERCAST[weather])
