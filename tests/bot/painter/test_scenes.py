"""What the picture model learns from: drawings that are the same for a seed, captions that tell the truth."""

import itertools
import random
import re
from collections import Counter

import numpy as np
import pytest

from tilestep.bot.painter.captions import TIME, WEATHER, WHERE, caption
from tilestep.bot.painter.drawing import draw
from tilestep.bot.painter.scenes import COLOURS, PLACES, THINGS, TIMES, WEATHERS, Scene, combinations, random_scene
from tilestep.bot.painter.stages import CaptionedLatents, drawing_batches, scene_of

SOME = list(itertools.islice((scene_of(number) for number in itertools.count()), 300))


def test_a_drawing_is_the_same_for_its_seed_and_differs_with_it():
    scene = Scene("lighthouse", "red", "beach", "rainy", "night")
    first, again, other = (np.asarray(draw(scene, seed)) for seed in (1, 1, 2))
    assert first.shape == (256, 256, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_every_word_can_be_drawn():
    tables = THINGS, COLOURS, PLACES, WEATHERS, TIMES
    for number in range(max(map(len, tables))):
        scene = Scene(*(words[number % len(words)] for words in tables))
        assert np.asarray(draw(scene, 0, 64)).std() > 10


@pytest.mark.parametrize(("field", "words"), [("thing", THINGS), ("colour", COLOURS)])
def test_a_caption_names_the_thing_and_its_colour_and_no_other(field, words):
    for number, scene in enumerate(SOME):
        said = caption(scene, random.Random(number)).replace("green meadow", "meadow").replace(",", "").split()
        assert [word for word in said if word in words] == [getattr(scene, field)]


@pytest.mark.parametrize(("field", "phrases"), [("place", WHERE), ("weather", WEATHER), ("time", TIME)])
def test_what_a_caption_says_of_place_weather_and_time_is_true(field, phrases):
    told = 0
    for number, scene in enumerate(SOME):
        text = caption(scene, random.Random(number))
        found = {word for word, ways in phrases.items() for way in ways if re.search(rf"\b{way}\b", text)}
        assert found <= {getattr(scene, field)}, text
        told += bool(found)
    assert told == len(SOME) if field == "place" else told > len(SOME) / 2


def test_a_fifth_of_the_combinations_is_held_out_evenly():
    held_out = [scene for scene in combinations() if scene.held_out]
    assert len(held_out) == 116
    for field, words in (("thing", THINGS), ("colour", COLOURS), ("place", PLACES)):
        counts = Counter(getattr(scene, field) for scene in held_out)
        assert set(counts) == set(words)
        assert max(counts.values()) - min(counts.values()) <= 2


def test_weather_and_time_do_not_change_what_is_held_out():
    for scene in combinations():
        assert len({Scene(scene.thing, scene.colour, scene.place, w, "night").held_out for w in WEATHERS}) == 1


def test_what_is_held_out_is_never_trained_on_and_every_other_combination_is():
    trained = {(s.thing, s.colour, s.place) for s in map(scene_of, range(6000))}
    assert trained == {(s.thing, s.colour, s.place) for s in combinations() if not s.held_out}
    chance = random.Random(0)
    assert not any(random_scene(chance).held_out for _ in range(1000))


def test_training_goes_on_in_the_middle_with_the_pictures_that_would_have_come():
    unbroken = drawing_batches(0, 2, 64, workers=0)
    for _ in range(3):
        next(unbroken)
    assert np.array_equal(next(unbroken), next(drawing_batches(3, 2, 64, workers=0)))


def test_captions_of_a_batch_belong_to_its_latents():
    asked = []

    class Listener:
        def __call__(self, texts, **options):
            import torch

            asked.extend(texts)
            return type("Ids", (), {"input_ids": torch.zeros(len(texts), 32, dtype=torch.long)})

    latents = np.arange(500, dtype=np.float16)[:, None, None, None]
    batch, _ = next(CaptionedLatents(latents, 1.0, Listener(), 64).batches(7))
    scenes = [scene_of(int(number)) for number in batch.flatten()]
    said = [(text, scene) for text, scene in zip(asked, scenes, strict=True) if text]
    assert 48 < len(said) < 64
    assert all(f"{scene.colour} {scene.thing}" in text for text, scene in said)
