"""The text-to-image model: loaded, changed, missing; real tiny models, saved to a folder."""

import asyncio
import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest
import tiny_pipelines
from PIL import Image
from tiny_pipelines import FAMILIES
from tiny_tiles import ONE, TWO, add_pool, order, pixels, pool_scheduler

from tilestep.bot.errors import ModelUnavailable
from tilestep.bot.gpu import DoesNotFit, GpuScheduler, GpuSettings
from tilestep.bot.gpu.device import Device
from tilestep.bot.gpu.jobs import JobHandle
from tilestep.bot.model import ModelState, TextToImage
from tilestep.bot.tasks.arguments import ImageWish, UsualArguments, image_arguments, parse_usual
from tilestep.bot.tasks.errors import ModelError

FOX = {"prompt": "a red fox", "steps": 2}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of saved models by name; the weights of "broken" end too early."""
    root = tmp_path_factory.mktemp("models")
    for name in ("stable diffusion", "stable diffusion xl"):
        FAMILIES[name]().save_pretrained(root / name)
    tiny_pipelines.stable_diffusion().save_pretrained(root / "broken")
    weights = root / "broken" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    return {path.name: str(path) for path in root.iterdir()}


def arrays(pictures):
    return [np.asarray(picture) for picture in pictures]


async def picture(model, seed=1, **other):
    return arrays(await (await model.generate(ONE, seed=seed, **{**FOX, **other})))


def bounded(budget_bytes, upscaler_bytes=1 << 40):
    """With a budget that is, by default, too small for any upscale, so that models have all of it."""
    settings = GpuSettings(grace_ms=10_000, upscaler_bytes=upscaler_bytes)
    return GpuScheduler(settings, Device(budget_bytes=budget_bytes))


async def need_of(folder):
    async with pool_scheduler() as gpu:
        return (await gpu.prepare_text_to_image(folder)).need


async def test_without_a_model_new_pictures_are_refused_in_words():
    async with pool_scheduler() as gpu:
        model = TextToImage(gpu)
        assert model.state == ModelState(None, "none", None)
        with pytest.raises(ModelUnavailable, match="no text-to-image model"):
            await picture(model)


async def test_a_picture_is_the_same_alone_and_among_several(folders):
    async with pool_scheduler() as gpu:
        model = TextToImage(gpu)
        await model.load(folders["stable diffusion"])
        assert model.state == ModelState(folders["stable diffusion"], "ready")
        several = await picture(model, seed=5, count=3)
        alone = [(await picture(model, seed=seed))[0] for seed in (5, 6, 7)]
    np.testing.assert_array_equal(several, alone)
    assert not np.array_equal(alone[0], alone[1])


async def test_progress_of_several_pictures_is_that_of_all(folders):
    seen = []
    async with pool_scheduler() as gpu:
        model = TextToImage(gpu)
        await model.load(folders["stable diffusion"])
        await picture(model, count=3, on_progress=seen.append)
    steps = [(progress.done, progress.total) for progress in seen if progress.phase == "denoise"]
    assert steps == sorted(steps)
    assert {total for _, total in steps} == {6}


async def test_changing_the_model_lets_running_jobs_finish_and_then_frees_the_old_one(folders):
    async with bounded(1 << 30) as gpu:
        model = TextToImage(gpu)
        await model.load(folders["stable diffusion"])
        expected = await picture(model)
        old = weakref.ref(model._held().loaded.pipe)
        running: JobHandle = await model.generate(ONE, seed=1, **FOX)
        await model.change(folders["stable diffusion xl"])
        new = await picture(model)
        np.testing.assert_array_equal(arrays(await running), expected)
        assert not np.array_equal(new, expected)
        await gpu.until_idle()
        await asyncio.gather(*model._farewells)
        gc.collect()
        assert old() is None
        need = await need_of(folders["stable diffusion xl"])
        assert gpu.statistics().memory.resident_bytes == need.resident_bytes


async def test_a_model_leaves_room_for_the_upscales_that_come_after_it(folders):
    """The budget has room for one decoding of the picture whole, or for it in tiles beside a step of upscaling."""
    mib = 1 << 20
    async with bounded(260 * mib, upscaler_bytes=200 * mib) as gpu:
        prepared = await gpu.prepare_text_to_image(folders["stable diffusion"])
        taken = gpu.statistics().memory
        assert taken.resident_bytes + taken.held_bytes + taken.largest_phase_bytes == 200 * mib
        loaded = await gpu.load_prepared(prepared)
        larger = await gpu.upscale(Image.new("RGB", (8, 8), "red"), ONE, quality="fast")
        assert larger.size == (16, 16)
        assert len(await gpu.run_pipeline(loaded, ONE, prompt="a fox", num_inference_steps=1)) == 1


async def test_a_model_that_cannot_be_had_leaves_the_old_one_at_work(folders):
    async with pool_scheduler() as gpu:
        model = TextToImage(gpu)
        await model.load(folders["stable diffusion"])
        with pytest.raises(ModelError, match=r"There is no model at \./typo"):
            await model.change("./typo")
        assert (model.state.name, model.state.status) == (folders["stable diffusion"], "ready")
        assert "There is no model at ./typo" in model.state.error
        assert len(await picture(model)) == 1


async def room_for_one(folders, old, new):
    """A scheduler that has room for the new model, but not beside the old one."""
    old_need, new_need = [await need_of(folders[name]) for name in (old, new)]
    return bounded(new_need.alone_bytes + old_need.resident_bytes // 2)


async def test_where_both_do_not_fit_the_old_one_goes_first(folders):
    async with await room_for_one(folders, "stable diffusion", "stable diffusion xl") as gpu:
        model = TextToImage(gpu)
        await model.load(folders["stable diffusion"])
        new = await gpu.prepare_text_to_image(folders["stable diffusion xl"], None, model._held().loaded)
        assert not gpu.fits_now(new)
        running = await model.generate(ONE, seed=1, **FOX)
        await model.change(folders["stable diffusion xl"])
        assert running.done
        assert len(await picture(model)) == 1
        assert gpu.statistics().memory.resident_bytes == new.need.resident_bytes


async def test_the_old_one_is_loaded_again_when_the_new_one_fails_after_it_had_to_go(folders, caplog):
    async with await room_for_one(folders, "stable diffusion", "broken") as gpu:
        model = TextToImage(gpu)
        await model.load(folders["stable diffusion"])
        expected = await picture(model)
        with pytest.raises(ModelError, match="cannot be loaded"):
            await model.change(folders["broken"])
        assert "is loaded again" in caplog.text
        assert (model.serving, model.state.status) == (folders["stable diffusion"], "ready")
        assert "cannot be loaded" in model.state.error
        np.testing.assert_array_equal(await picture(model), expected)


async def test_upscales_go_on_when_the_model_cannot_load(folders):
    async with pool_scheduler() as gpu:
        add_pool(gpu)
        model = TextToImage(gpu)
        with pytest.raises(ModelError):
            await model.load(folders["broken"])
        assert model.state.status == "failed"
        with pytest.raises(ModelUnavailable, match="cannot be loaded"):
            await picture(model)
        assert (await gpu.submit_upscale(order(pixels(40, 40)), TWO)).picture.any()


async def test_a_model_too_large_for_the_budget_is_refused_with_the_numbers(folders):
    async with bounded(1000) as gpu:
        model = TextToImage(gpu)
        with pytest.raises(DoesNotFit, match="budget"):
            await model.load(folders["stable diffusion"])
        assert model.state.status == "failed"


async def test_while_a_model_is_being_loaded_members_are_told(folders):
    async with pool_scheduler() as gpu:
        model = TextToImage(gpu)
        gpu.pause()
        loading = asyncio.create_task(model.load(folders["stable diffusion"]))
        await asyncio.sleep(0)
        assert model.state.status == "loading"
        with pytest.raises(ModelUnavailable, match="is being loaded"):
            await picture(model)
        gpu.resume()
        await loading


async def test_loading_that_is_interrupted_is_no_model(folders):
    async with pool_scheduler() as gpu:
        model = TextToImage(gpu)
        gpu.pause()
        loading = asyncio.create_task(model.load(folders["stable diffusion"]))
        await asyncio.sleep(0)
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading
        assert model.state.status == "failed"


def test_what_is_left_open_is_as_usual_for_the_model():
    usual = image_arguments(tiny_pipelines.stable_diffusion(), "org/sd", ImageWish("fox", "dark"), 512, 512)
    assert (usual.steps, usual.guidance, usual.width_px, usual.ignored) == (25, 7.5, 512, ())
    assert usual.call["negative_prompt"] == "dark"
    turbo = image_arguments(tiny_pipelines.stable_diffusion_xl(), "stabilityai/sdxl-turbo", ImageWish("fox", "dark"))
    assert (turbo.steps, turbo.guidance, turbo.ignored) == (4, 0.0, ("negative prompt",))
    odd = image_arguments(tiny_pipelines.pixart(), "pixart", ImageWish("fox", width_px=1000, height_px=1024))
    assert (odd.width_px, odd.height_px) == (992, 1024)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("stabilityai/sdxl-turbo", 4),
        ("ByteDance/SDXL-Lightning", 4),
        ("ByteDance/Hyper-SD", 8),
        ("/models/realisticVision_v51HyperVAE.safetensors", 8),
        ("C:\\models\\DreamshaperXL_v21TurboDPMSDE.safetensors", 4),
        ("/hub/models--SimianLuo--LCM_Dreamshaper_v7/snapshots/4f8a2c", 6),
        ("stablediffusionapi/hyperrealism-v3", 25),
        ("org/HyperRealistic", 25),
        ("/srv/hyperion/sd15.safetensors", 25),
        ("/home/turbo/models/stable-diffusion-v1-5/", 25),
    ],
)
def test_distilled_models_are_told_by_a_word_of_their_own_name(name, steps):
    assert image_arguments(tiny_pipelines.stable_diffusion(), name, ImageWish("fox")).steps == steps


def test_what_a_models_maker_recommends_comes_before_what_is_usual():
    said = parse_usual('{"num_inference_steps": 12, "guidance_scale": 3}')
    plan = image_arguments(tiny_pipelines.stable_diffusion(), "org/turbo", ImageWish("fox"), usual=said)
    assert (plan.steps, plan.guidance) == (12, 3.0)
    asked = ImageWish("fox", steps=2, guidance=0.0)
    plan = image_arguments(tiny_pipelines.stable_diffusion(), "org/sd", asked, usual=said)
    assert (plan.steps, plan.guidance) == (2, 0.0)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"num_inference_steps": "4", "guidance_scale": -1}', "no json"])
def test_a_recommendation_that_makes_no_sense_counts_as_none(text):
    assert parse_usual(text) == UsualArguments()


def test_what_a_model_does_not_take_is_left_out_and_said():
    wish = ImageWish("fox", "dark", guidance=5.0)
    plan = image_arguments(tiny_pipelines.flux(), "black-forest-labs/FLUX.1-schnell", wish)
    assert plan.ignored == ("guidance", "negative prompt")
    assert (plan.steps, plan.guidance) == (4, None)
    assert "negative_prompt" not in plan.call
    assert "guidance_scale" not in plan.call


def test_importing_the_model_imports_no_torch():
    code = "import sys, tilestep.bot.model; sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
