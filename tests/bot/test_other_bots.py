"""The code that docs/other-bots.md shows, run as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest
import tiny_pipelines
from tiny_tiles import MODEL

from tilestep.bot import gpu as gpu_package
from tilestep.bot.gpu import Flow, GpuScheduler, GpuSettings, QueueFull
from tilestep.bot.gpu.waiting import QueueLimits
from tilestep.upscaler.model.checkpoint import save_checkpoint

DOCUMENT = Path(__file__).parents[2] / "docs" / "other-bots.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
SHORT, BUILDING = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def run(code: str, **given):
    names = dict(given)
    exec(compile(code, str(DOCUMENT), "exec"), names)
    return names


@pytest.fixture
def on_the_cpu(monkeypatch, tmp_path):
    """What the document builds with no settings runs here on the CPU, with a tiny tile model."""
    checkpoint = tmp_path / "tiny.safetensors"
    save_checkpoint(checkpoint, MODEL.network, MODEL.descriptor)
    settings = GpuSettings(device="cpu", upscaler=checkpoint)
    monkeypatch.setattr("tilestep.bot.gpu.scheduler.GpuSettings", lambda: settings)


async def test_the_ten_lines_draw_a_picture_and_enlarge_it(on_the_cpu):
    pipe = tiny_pipelines.stable_diffusion()
    larger = await run(SHORT)["draw_and_enlarge"](pipe, 1, 2, "a lighthouse")
    expected = pipe("a lighthouse", num_inference_steps=4, generator=tiny_pipelines.torch.Generator().manual_seed(7))
    width_px, height_px = expected.images[0].size
    assert larger.size == (2 * width_px, 2 * height_px)
    assert np.asarray(larger).std() > 0


def test_they_are_ten_lines():
    assert len([line for line in SHORT.splitlines() if line]) <= 10


async def test_a_pipeline_is_built_in_a_thread(tmp_path):
    tiny_pipelines.stable_diffusion().save_pretrained(tmp_path)
    pipe = await run(BUILDING, MODEL=str(tmp_path), DEVICE="cpu")["build_pipeline"]()
    assert type(pipe).__name__ == "StableDiffusionPipeline"


def test_every_error_that_is_named_is_there():
    named = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
    assert len(named) == 5
    assert all(issubclass(getattr(gpu_package, name), gpu_package.GpuError) for name in named)


async def test_a_full_queue_reaches_the_other_bot_in_words():
    settings = GpuSettings(device="cpu", limits=QueueLimits(per_member=1))
    async with GpuScheduler(settings) as gpu:
        gpu.pause()
        pipe, flow = tiny_pipelines.stable_diffusion(), Flow(1, 2)
        first = await gpu.submit_pipeline(pipe, flow, prompt="a lighthouse")
        with pytest.raises(QueueFull, match="You have 1 job in the queue already"):
            await gpu.run_pipeline(pipe, flow=flow, prompt="a lighthouse")
        first.cancel()
