"""Memory while the model is changed: what is left of the one that goes, and how it is counted."""

import asyncio
import weakref

import pytest
import tiny_pipelines
from diffusers import ModelMixin, UNet2DConditionModel
from tiny_tiles import ONE

from tilestep.bot.gpu import GpuScheduler, GpuSettings, JobCancelled
from tilestep.bot.gpu.device import Device
from tilestep.bot.model import TextToImage
from tilestep.bot.tasks.errors import ModelError

FOX = {"prompt": "a red fox", "steps": 2}
SETTINGS = GpuSettings(device="cpu", grace_ms=10_000, upscaler_bytes=1 << 40)  # budgets have no room for upscales


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of saved models by name; "half-built" has no sampler, which is noticed last."""
    root = tmp_path_factory.mktemp("models")
    tiny_pipelines.stable_diffusion().save_pretrained(root / "stable diffusion")
    tiny_pipelines.stable_diffusion_xl().save_pretrained(root / "stable diffusion xl")
    tiny_pipelines.stable_diffusion().save_pretrained(root / "half-built")
    (root / "half-built" / "scheduler" / "scheduler_config.json").write_text("no json")
    return {path.name: str(path) for path in root.iterdir()}


class Watching(GpuScheduler):
    """Notes how many U-Nets there are whenever a model is loaded by its name."""

    def __init__(self, *options):
        super().__init__(*options)
        self.unets = weakref.WeakSet()
        self.counts = []

    async def load_text_to_image(self, model, token=None):
        self.counts.append(len(self.unets))
        return await super().load_text_to_image(model, token)


async def test_nothing_of_the_new_one_is_left_when_the_old_one_is_loaded_again(folders, monkeypatch):
    async with Watching(SETTINGS) as gpu:
        need = (await gpu.prepare_text_to_image(folders["half-built"])).need
    room_for_one = Device(budget_bytes=need.alone_bytes + need.resident_bytes // 2)
    async with Watching(SETTINGS, room_for_one) as gpu:
        monkeypatch.setattr(UNet2DConditionModel, "eval", lambda unet: gpu.unets.add(unet) or ModelMixin.eval(unet))
        model = TextToImage(gpu)
        await model.load(folders["stable diffusion"])
        assert len(gpu.unets) == 1
        with pytest.raises(ModelError, match="cannot be loaded"):
            await model.change(folders["half-built"])
        assert gpu.counts == [0]
        assert len(await (await model.generate(ONE, seed=1, **FOX))) == 1


async def test_a_model_that_comes_back_before_its_last_job_is_over_is_counted_beside_itself(folders):
    async with GpuScheduler(SETTINGS, Device(budget_bytes=1 << 30)) as gpu:
        model = TextToImage(gpu)
        await model.load(folders["stable diffusion"])
        weights_bytes = gpu.statistics().memory.resident_bytes
        running = await model.generate(ONE, seed=1, **{**FOX, "steps": 900})
        await model.change(folders["stable diffusion xl"])
        await model.change(folders["stable diffusion"])
        assert not running.done
        assert gpu.statistics().memory.resident_bytes >= 2 * weights_bytes
        running.cancel()
        with pytest.raises(JobCancelled):
            await running
        await asyncio.gather(*model._farewells)
        assert gpu.statistics().memory.resident_bytes == weights_bytes
