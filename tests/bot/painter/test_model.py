"""The picture model through the product's own path: saved, loaded, asked for a picture, as any Stable Diffusion."""

import pytest
import torch
from PIL import Image
from tiny_tiles import ONE, pool_scheduler

from tilestep.bot import demo
from tilestep.bot.model import TextToImage
from tilestep.bot.painter import WEIGHTS, parts
from tilestep.bot.painter.captions import vocabulary
from tilestep.bot.painter.state import save_for_use
from tilestep.bot.tasks.arguments import ImageWish
from tilestep.bot.tasks.loading import load_text_to_image

MOST_BYTES = 20 << 20
ODD_TEXTS = ("", " ", "🏠🚀", "一座红色的房子", "\x00\x7f", "a red house " * 250, "ÀÉÎ — «tree» 42 %", "Ⅷ")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The model with random weights, as it would be shipped."""
    torch.manual_seed(0)
    tokenizer = parts.make_tokenizer()
    encoder, unet = parts.make_text_encoder(tokenizer).eval(), parts.make_unet().eval()
    pipeline = parts.make_pipeline(parts.make_vae().eval(), encoder, tokenizer, unet)
    path = tmp_path_factory.mktemp("painter")
    assert save_for_use(pipeline, path, steps=11, guidance=2.5) <= MOST_BYTES
    return path


def test_the_tokenizer_takes_any_text_and_knows_each_word_of_the_captions(folder):
    pipe = load_text_to_image(folder, "cpu", 1 << 32).pipe
    ids = pipe.tokenizer(ODD_TEXTS, padding="max_length", truncation=True, return_tensors="pt").input_ids
    assert ids.shape == (len(ODD_TEXTS), parts.TOKENS)
    with torch.inference_mode():
        assert pipe.text_encoder(ids)[0].isfinite().all()
    words = vocabulary()
    known = [pipe.tokenizer(word).input_ids for word in words]
    assert all(len(found) == 3 for found in known)
    assert len({found[1] for found in known}) == len(words)


def test_tokens_have_the_same_numbers_each_time_and_once_saved(folder):
    loaded = load_text_to_image(folder, "cpu", 1 << 32).pipe.tokenizer
    assert loaded("A red house, at night").input_ids == [0, 322, 659, 533, 269, 520, 647, 1]
    assert parts.make_tokenizer().get_vocab() == parts.make_tokenizer().get_vocab() == loaded.get_vocab()


async def test_it_is_asked_as_stable_diffusion_is_and_knows_its_size_steps_and_guidance(folder):
    async with pool_scheduler() as gpu:
        model = TextToImage(gpu)
        await model.load(str(folder))
        assert model.size_px == (256, 256)
        plan = model.plan(ImageWish("a red house", "rain"))
        assert (plan.width_px, plan.height_px, plan.steps, plan.guidance) == (256, 256, 11, 2.5)
        assert plan.ignored == ()
        (picture,) = await (await model.generate(ONE, prompt="a red house 🏠", seed=1, steps=2))
    assert isinstance(picture, Image.Image)
    assert picture.size == (256, 256)


async def test_the_shipped_model_is_small_and_makes_a_picture():
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) <= MOST_BYTES
    assert (WEIGHTS / "MODEL_CARD.md").is_file()
    async with pool_scheduler() as gpu:
        model = TextToImage(gpu)
        await model.load(str(WEIGHTS))
        (picture,) = await (await model.generate(ONE, prompt="a red house in a meadow", seed=1))
    assert picture.size == (256, 256)
    assert max(high - low for low, high in picture.getextrema()) > 100


def test_the_demo_draws_with_the_shipped_model_unless_another_is_named(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("TILESTEP_MODEL", raising=False)
    monkeypatch.setattr(demo, "WEIGHTS", tmp_path)
    assert demo.demo_settings(tmp_path).model is None
    monkeypatch.setattr(demo, "WEIGHTS", folder)
    assert demo.demo_settings(tmp_path).model == str(folder)
    monkeypatch.setenv("TILESTEP_MODEL", "org/another")
    assert demo.demo_settings(tmp_path).model == "org/another"
