"""Sentences that say what a scene shows; each tells the truth, some leave things out."""

from __future__ import annotations

import random

from tilestep.bot.painter.scenes import Scene

WHERE = {
    "beach": ("at the beach", "on a beach", "by the sea"),
    "meadow": ("in a meadow", "on a green meadow", "in the grass"),
    "desert": ("in the desert", "in a desert"),
    "mountains": ("in the mountains", "before mountains"),
    "city": ("in a city", "in the city"),
    "lake": ("at a lake", "by the lake"),
}
WEATHER = {
    "clear": ("under a clear sky", "clear sky"),
    "cloudy": ("under clouds", "cloudy", "cloudy sky"),
    "rainy": ("in the rain", "rain", "rainy"),
    "snowy": ("in the snow", "snow", "snowy"),
}
TIME = {
    "morning": ("in the morning", "morning light"),
    "noon": ("at noon", "by day"),
    "sunset": ("at sunset", "sunset"),
    "night": ("at night", "night"),
}
OPENINGS = ("", "", "", "a picture of ", "an illustration of ", "flat illustration of ")
LEAVE_OUT = 0.3


def caption(scene: Scene, chance: random.Random) -> str:
    """One sentence. Thing, colour and place are always named; weather and time of day most times, in either order."""
    article = "an" if scene.colour[0] in "aeiou" else "a"
    parts = [f"{chance.choice(OPENINGS)}{article} {scene.colour} {scene.thing} {chance.choice(WHERE[scene.place])}"]
    rest = [chance.choice(WEATHER[scene.weather]), chance.choice(TIME[scene.time])]
    chance.shuffle(rest)
    parts += [words for words in rest if chance.random() > LEAVE_OUT]
    return (", " if chance.random() < 0.5 else " ").join(parts)


def vocabulary() -> list[str]:
    """Every word that a caption may hold, sorted."""
    from tilestep.bot.painter import scenes

    phrases = [p for table in (WHERE, WEATHER, TIME) for choices in table.values() for p in choices]
    words = {word for phrase in (*phrases, *OPENINGS, "a an") for word in phrase.split()}
    return sorted(words | {*scenes.THINGS, *scenes.COLOURS})
