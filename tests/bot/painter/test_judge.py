"""The judge tells pictures apart, and counts honestly."""

import itertools
import random

import pytest
import torch

from tilestep.bot.painter import WEIGHTS
from tilestep.bot.painter.classifier import SceneClassifier, any_scene, classifier_loss, indices, see, small, varied
from tilestep.bot.painter.counting import Share, count, table, weakest
from tilestep.bot.painter.drawing import draw
from tilestep.bot.painter.judge import MEMORY_BYTES, make_judge, make_pictures, orders
from tilestep.bot.painter.loop import StageSettings, StageTrainer
from tilestep.bot.painter.scenes import Scene
from tilestep.bot.painter.sheet import CAPTION_PX, sheet
from tilestep.bot.tasks.loading import load_text_to_image

HOUSE, BOAT = Scene("house", "red", "meadow"), Scene("boat", "blue", "lake")


def test_the_judge_learns_to_tell_a_red_house_from_a_blue_boat(tmp_path):
    torch.manual_seed(0)
    scenes = [HOUSE, BOAT] * 4
    pictures = torch.stack([small(draw(scene, seed)) for seed, scene in enumerate(scenes)])
    words = torch.tensor([indices(scene) for scene in scenes])
    batches = ((varied(pictures, torch.Generator().manual_seed(n)), words) for n in itertools.count())
    trainer = StageTrainer("judge", SceneClassifier(), StageSettings(tmp_path, steps=30, rate=4e-3))
    judge = trainer.run(classifier_loss, lambda _: batches)
    seen = see(judge, [draw(scene, 100 + seed) for seed, scene in enumerate(scenes)])
    assert [(s.thing, s.colour) for s in seen] == [(s.thing, s.colour) for s in scenes]


def test_an_untrained_judge_is_unsure():
    torch.manual_seed(0)
    assert see(SceneClassifier(), [draw(HOUSE, 1)]) == [Scene("unsure", "unsure", "unsure")]


def test_shuffled_prompts_fall_to_chance():
    chance = random.Random(0)
    asked = [any_scene(chance) for _ in range(1200)]
    together, thing, _, place = count(asked, asked)
    assert together.share == thing.share == 1
    assert together.shuffled / 1200 < 0.01
    assert abs(thing.shuffled / 1200 - 1 / 12) < 0.03
    assert thing.chance == pytest.approx(1 / 12, rel=0.05)
    assert place.chance == pytest.approx(1 / 6, rel=0.05)


def test_a_picture_counts_only_when_thing_colour_and_place_are_right():
    asked = [HOUSE, BOAT, HOUSE, BOAT]
    seen = [HOUSE, Scene("boat", "red", "lake"), Scene("unsure", "red", "meadow"), BOAT]
    shares = count(asked, seen)
    assert [share.right for share in shares] == [2, 3, 3, 4]
    assert "all three" in table(shares)
    assert weakest(asked, seen) == "blue 50 % (else red 1); house 50 % (else unsure 1)"


def test_the_interval_is_wilsons():
    low, high = Share("", 9, 10, 0, 0.0).interval
    assert (low, high) == (pytest.approx(0.596, abs=1e-3), pytest.approx(0.982, abs=1e-3))


def test_every_held_out_combination_is_asked_for_once_a_seed():
    wanted = orders(seeds=3)
    assert len(wanted) == 3 * 116
    assert all(order.scene.held_out for order in wanted)
    assert len({(o.scene.thing, o.scene.colour, o.scene.place, o.seed) for o in wanted}) == len(wanted)
    assert wanted == orders(seeds=3)
    some = orders(seeds=1, limit=24)
    assert len(some) == 24
    assert {order.scene.thing for order in some} == {order.scene.thing for order in wanted}


def test_a_sheet_shows_pictures_over_their_captions():
    whole = sheet([draw(HOUSE, 0, 64)] * 3, ["a red house"] * 3, columns=2)
    assert whole.size == (2 * 64, 2 * (64 + CAPTION_PX))


@pytest.mark.slow
def test_what_was_held_out_of_training_comes_out_right(tmp_path):
    loaded = load_text_to_image(WEIGHTS, "cpu", MEMORY_BYTES)
    judge = make_judge(tmp_path, loaded.pipe.vae)
    wanted = orders(seeds=3, limit=40)
    seen = see(judge, make_pictures(loaded, wanted, None, None, 8))
    together = count([order.scene for order in wanted], seen)[0]
    assert together.share >= 0.8
    assert together.shuffled <= 0.1 * together.total
