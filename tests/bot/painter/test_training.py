"""Training learns, and a run that was broken off ends as an unbroken one would have."""

import itertools

import pytest
import torch

from tilestep.bot.painter import parts
from tilestep.bot.painter.classifier import HEADS, SceneClassifier, classifier_loss
from tilestep.bot.painter.loop import StageSettings, StageTrainer
from tilestep.bot.painter.stages import DenoisingLoss, TextAndUnet
from tilestep.bot.painter.state import NotTrained, trained_vae


def pictures_of(step):
    generator = torch.Generator().manual_seed(step)
    words = torch.stack([torch.randint(len(head), (4,), generator=generator) for head in HEADS], 1)
    return torch.randn(4, 3, 64, 64, generator=generator), words


def batches(start_step):
    return (pictures_of(step) for step in itertools.count(start_step))


def classifier():
    torch.manual_seed(3)
    return SceneClassifier()


def breaking_at(step):
    seen = itertools.count()

    def loss(network, batch, generator):
        if next(seen) == step:
            raise KeyboardInterrupt
        return classifier_loss(network, batch, generator)

    return loss


def test_a_step_on_one_batch_lowers_its_loss(tmp_path):
    torch.manual_seed(0)
    tokenizer = parts.make_tokenizer()
    ids = tokenizer(["a red house", "a blue boat"], padding="max_length", return_tensors="pt").input_ids
    batch = torch.randn(2, parts.LATENT_CHANNELS, parts.LATENT_PX, parts.LATENT_PX), ids
    model, loss = TextAndUnet(parts.make_text_encoder(tokenizer), parts.make_unet()), DenoisingLoss()

    def mean_loss():
        with torch.no_grad():
            return sum(float(loss(model, batch, torch.Generator().manual_seed(seed))) for seed in range(2)) / 2

    before = mean_loss()
    StageTrainer("unet", model, StageSettings(tmp_path, steps=2, rate=0.05)).run(
        loss, lambda _: itertools.repeat(batch)
    )
    assert mean_loss() < 0.98 * before


def test_a_run_that_was_broken_off_ends_as_an_unbroken_one(tmp_path):
    settings = StageSettings(tmp_path / "whole", steps=5)
    whole = StageTrainer("judge", classifier(), settings).run(classifier_loss, batches).state_dict()
    settings = StageSettings(tmp_path / "broken", steps=5, resume=True)
    with pytest.raises(KeyboardInterrupt):
        StageTrainer("judge", classifier(), settings).run(breaking_at(2), batches)
    resumed = StageTrainer("judge", SceneClassifier(), settings)
    assert resumed.step == 2
    ended = resumed.run(classifier_loss, batches).state_dict()
    assert all(torch.equal(whole[name], ended[name]) for name in whole)


def test_what_was_not_trained_yet_is_said(tmp_path):
    with pytest.raises(NotTrained, match=r"vae\.pt is not there"):
        trained_vae(tmp_path)
