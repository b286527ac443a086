"""What there is to draw: a thing of a colour, in a place, in some weather, at some time of day."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

THINGS = (
    "house",
    "tree",
    "boat",
    "car",
    "lighthouse",
    "castle",
    "rocket",
    "balloon",
    "mushroom",
    "tent",
    "windmill",
    "umbrella",
)
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
PLACES = ("beach", "meadow", "desert", "mountains", "city", "lake")
WEATHERS = ("clear", "cloudy", "rainy", "snowy")
TIMES = ("morning", "noon", "sunset", "night")

HELD_OUT_ONE_IN = 5


@dataclass(frozen=True)
class Scene:
    """One picture's content; each field is one of the words above."""

    thing: str
    colour: str
    place: str
    weather: str = "clear"
    time: str = "noon"

    @property
    def held_out(self) -> bool:
        """A fifth of all combinations of thing, colour and place, evenly spread, is never trained on."""
        number = 3 * THINGS.index(self.thing) + COLOURS.index(self.colour) + 2 * PLACES.index(self.place)
        return number % HELD_OUT_ONE_IN == 0


def combinations() -> Iterator[Scene]:
    """All of thing, colour and place, on a clear noon."""
    return (Scene(*words) for words in itertools.product(THINGS, COLOURS, PLACES))


def random_scene(chance: random.Random) -> Scene:
    """A scene to train on; never one that is held out."""
    while True:
        scene = Scene(*(chance.choice(words) for words in (THINGS, COLOURS, PLACES, WEATHERS, TIMES)))
        if not scene.held_out:
            return scene
